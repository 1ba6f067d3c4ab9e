use super::surface::{RestOperation, RestSurface};
use super::template::PathTemplate;
use crate::DeclarativeError;
use gestalt_core::egress::fields::is_of_connection;
use gestalt_core::{Parameter, ParameterLocation};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Uri};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashSet;
use url::{Position, Url};

/// Whether a header concerns one connection only, or is made from the request itself, and is neither settable nor passed
/// on. A manifest that sets one of them would contradict what is really sent.
pub(super) fn is_connection_header(name: &str) -> bool {
    name == CONTENT_LENGTH || is_of_connection(name)
}

/// One operation, compiled: all a call needs but its values.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) method: Method,
    /// Base URL up to and with its path, without final slash.
    pub(super) base: String,
    pub(super) path: PathTemplate,
    /// Static headers and the user agent; a caller's header parameter replaces the one of its name.
    pub(super) headers: HeaderMap,
    pub(super) inputs: Vec<Input>,
    /// Names an undeclared value may not have: every declared name, public and on the wire. Without the latter an
    /// undeclared value could stand in for an internal parameter.
    pub(super) taken: HashSet<String>,
}

/// One declared parameter that is sent.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) wire: String,
    pub(super) place: Place,
    /// Set by the manifest only: a caller's value is not looked at.
    pub(super) internal: bool,
    pub(super) required: bool,
    pub(super) default: Option<Box<RawValue>>,
}

/// Where a value travels.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(super) enum Place {
    /// The query string.
    Query,
    /// This header.
    Header(HeaderName),
    /// The bag from which the places of the path are filled; what is left of it is the body.
    Bag,
}

impl Plan {
    /// Compiles one operation of a surface whose `base` and static `headers` are already checked.
    ///
    /// # Errors
    /// When the method, the path or a header parameter cannot be sent, or a parameter is declared twice.
    pub(super) fn compile(base: &str, headers: &HeaderMap, source: &RestOperation) -> Result<Self, DeclarativeError> {
        let operation = || source.name.clone();
        let method = match source.method.to_ascii_uppercase().as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err(DeclarativeError::Method { operation: operation(), method: source.method.clone() }),
        };
        let path_error = |reason| DeclarativeError::Path { operation: source.name.clone(), reason };
        let path = PathTemplate::parse(&source.path).map_err(path_error)?;
        let sample = path.fill(|_| Some("x".into())).ok().and_then(|path| format!("{base}{path}").parse::<Uri>().ok());
        if sample.is_none() {
            return Err(path_error("is not a URL path"));
        }

        let (mut names, mut places, mut inputs) = (HashSet::new(), HashSet::new(), Vec::new());
        let mut taken = HashSet::new();
        for parameter in &source.parameters {
            let twice =
                || DeclarativeError::DuplicateParameter { operation: operation(), parameter: parameter.name.clone() };
            if !names.insert(parameter.name.as_str()) {
                return Err(twice());
            }
            let wire = parameter.wire_name.as_deref().unwrap_or(&parameter.name);
            taken.extend([parameter.name.clone(), wire.to_owned()]);
            let Some(place) = place(parameter, wire)? else { continue };
            let key = if matches!(place, Place::Header(_)) { "" } else { wire };
            if !places.insert((place.clone(), key)) {
                return Err(twice());
            }
            inputs.push(Input {
                name: parameter.name.clone(),
                wire: wire.to_owned(),
                place,
                internal: parameter.internal,
                required: parameter.required,
                default: parameter.default.as_ref().and_then(|value| to_raw_value(value).ok()),
            });
        }
        Ok(Self { method, base: base.to_owned(), path, headers: headers.clone(), inputs, taken })
    }

    /// Whether requests carry a JSON body, if only `{}`.
    pub(super) fn has_body(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }
}

fn place(parameter: &Parameter, wire: &str) -> Result<Option<Place>, DeclarativeError> {
    Ok(Some(match parameter.location {
        Some(ParameterLocation::Path | ParameterLocation::Body) => Place::Bag,
        Some(ParameterLocation::Query) => Place::Query,
        Some(ParameterLocation::Header) => Place::Header(header_name(wire)?),
        None => return Ok(None),
    }))
}

/// Checks the base URL and returns it without its final slash.
pub(super) fn check_base(url: &Url) -> Result<String, DeclarativeError> {
    let problem = match url.scheme() {
        "http" | "https" if !url.username().is_empty() || url.password().is_some() => "must not name a user",
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => "must end with its path",
        "http" | "https" => return Ok(url[..Position::AfterPath].trim_end_matches('/').to_owned()),
        _ => "must be an http or https URL",
    };
    Err(DeclarativeError::BaseUrl(problem))
}

/// Compiles the static headers of a surface.
pub(super) fn check_headers(surface: &RestSurface) -> Result<HeaderMap, DeclarativeError> {
    let mut headers = HeaderMap::new();
    // Some APIs turn away requests that do not say what sent them.
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("gestaltd/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in &surface.headers {
        let value = HeaderValue::from_str(value).map_err(|_| DeclarativeError::Header {
            name: name.clone(),
            reason: "has a value with a character that no header may have",
        })?;
        headers.insert(header_name(name)?, value);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, DeclarativeError> {
    let refuse = |reason| DeclarativeError::Header { name: name.to_owned(), reason };
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("is not a header name"))?;
    if is_connection_header(parsed.as_str()) {
        return Err(refuse("belongs to the connection and cannot be set"));
    }
    Ok(parsed)
}
