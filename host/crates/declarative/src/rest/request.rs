use super::plan::{Place, Plan};
use super::template::FillError;
use super::values::Text;
use gestalt_core::{ExecError, Params};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use url::form_urlencoded::Serializer;

/// Longest value of one request header in bytes. Servers commonly refuse heads over 8 to 16 KiB; the caller learns it
/// here, by the parameter's name, instead of from an upstream that just hangs up.
const MAX_HEADER_VALUE: usize = 8 << 10;

/// An HTTP request before its credential.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// JSON text, or no body at all.
    pub(super) body: Option<String>,
}

/// The values of one call, by where they go.
#[derive(Default)]
struct Sorted<'a> {
    query: Vec<(Cow<'a, str>, &'a RawValue)>,
    headers: Vec<(&'a HeaderName, &'a str, &'a RawValue)>,
    bag: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl Plan {
    /// The request of one call.
    ///
    /// # Errors
    /// [`ExecError::InvalidInput`] when a required value is missing, or one cannot stand where it has to go.
    pub(super) fn request(&self, params: &Params) -> Result<Built, ExecError> {
        let given = serde_json::from_str(params.as_str()).map_err(|e| ExecError::InvalidInput(e.to_string()))?;
        let mut sorted = self.sort(&given)?;
        let path = self.fill_path(&mut sorted.bag)?;
        let mut headers = self.headers.clone();
        let body = if self.has_body() {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            headers.entry(CONTENT_TYPE).or_insert(json);
            Some(serde_json::to_string(&sorted.bag).map_err(|e| ExecError::InvalidInput(e.to_string()))?)
        } else {
            sorted.query.extend(sorted.bag);
            None
        };
        for (header, name, raw) in sorted.headers {
            if let Some(value) = header_value(name, raw)? {
                headers.insert(header, value);
            }
        }
        let uri = self.uri(&path, &sorted.query)?;
        Ok(Built { method: self.method.clone(), uri, headers, body })
    }

    fn sort<'a>(&'a self, given: &'a BTreeMap<String, &'a RawValue>) -> Result<Sorted<'a>, ExecError> {
        let mut sorted = Sorted::default();
        for input in &self.inputs {
            let caller = if input.internal { None } else { given.get(&input.name).copied() };
            let in_path = || input.place == Place::Bag && self.path.places().any(|place| place == input.wire);
            let Some(value) = caller.or(input.default.as_deref()) else {
                // A missing value of the path is reported as one, whether it was declared as required or not.
                if input.required && !in_path() {
                    return invalid(format!("missing required parameter: {}", input.name));
                }
                continue;
            };
            match &input.place {
                Place::Query => sorted.query.push((Cow::Borrowed(&input.wire), value)),
                Place::Header(header) => sorted.headers.push((header, &input.name, value)),
                Place::Bag => {
                    sorted.bag.insert(Cow::Borrowed(&input.wire), value);
                }
            }
        }
        let to_query = matches!(self.method, Method::GET | Method::DELETE);
        for (name, value) in given.iter().filter(|(name, _)| !self.taken.contains(*name)) {
            // The manifest may leave a place of the path undeclared (seed 003's `get_ticket`), also on a GET.
            if to_query && !self.path.places().any(|place| place == name) {
                sorted.query.push((Cow::Borrowed(name), value));
            } else {
                sorted.bag.insert(Cow::Borrowed(name), value);
            }
        }
        Ok(sorted)
    }

    /// Fills the path from the bag and takes what it used out of it.
    fn fill_path(&self, bag: &mut BTreeMap<Cow<'_, str>, &RawValue>) -> Result<String, ExecError> {
        let mut structured = None;
        let filled = self.path.fill(|place| match Text::of(bag.get(place)?) {
            Text::One(text) => Some(text),
            Text::Absent => None,
            Text::Many(_) | Text::Structured => {
                structured = Some(place.to_owned());
                None
            }
        });
        if let Some(name) = structured {
            return invalid(format!("path parameter {name} must be a single value"));
        }
        let path = filled.or_else(|error| match error {
            FillError::Missing(name) => invalid(format!("missing required path parameter: {name}")),
            FillError::Segment(name) => invalid(format!("path parameter {name} must not be empty, `.` or `..`")),
        })?;
        for place in self.path.places() {
            bag.remove(place);
        }
        Ok(path)
    }

    fn uri(&self, path: &str, query: &[(Cow<'_, str>, &RawValue)]) -> Result<Uri, ExecError> {
        let mut pairs = Serializer::new(String::new());
        for (name, raw) in query {
            match Text::of(raw) {
                Text::Absent => {}
                Text::One(text) => {
                    pairs.append_pair(name, &text);
                }
                Text::Many(texts) => {
                    pairs.extend_pairs(texts.iter().map(|text| (name, text)));
                }
                Text::Structured => return invalid(format!("query parameter {name} must be a value or a flat list")),
            }
        }
        let pairs = pairs.finish();
        let joint = match (pairs.is_empty(), path.contains('?')) {
            (true, _) => "",
            (false, false) => "?",
            (false, true) => "&",
        };
        // The template was checked with sample values and values are encoded, so what is left is http's bound on the
        // length of a URL, 64 KiB.
        let text = format!("{}{path}{joint}{pairs}", self.base);
        text.parse().or_else(|_| invalid("the parameters make a URL that is too long".to_owned()))
    }
}

fn header_value(name: &str, raw: &RawValue) -> Result<Option<HeaderValue>, ExecError> {
    let text = match Text::of(raw) {
        Text::Absent => return Ok(None),
        Text::One(text) => text,
        Text::Many(_) | Text::Structured => return invalid(format!("header parameter {name} must be a single value")),
    };
    if text.len() > MAX_HEADER_VALUE {
        return invalid(format!("header parameter {name} is longer than {MAX_HEADER_VALUE} bytes"));
    }
    match HeaderValue::from_str(&text) {
        Ok(value) => Ok(Some(value)),
        Err(_) => invalid(format!("header parameter {name} has a character that no header may have")),
    }
}

fn invalid<T>(problem: String) -> Result<T, ExecError> {
    Err(ExecError::InvalidInput(problem))
}
