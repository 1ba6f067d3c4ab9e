use crate::bindings::gestalt::provider::catalog;
use crate::{Error, Output, Request, schema};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An app: its display data and its operations.
pub struct App {
    name: String,
    display_name: String,
    description: String,
    icon_svg: String,
    operations: Vec<Registered>,
    on_start: Option<Box<OnStart>>,
}

type OnStart = dyn Fn(&Start) -> Result<(), Error>;
type Handler = dyn Fn(&Request) -> Result<Answer, Error>;

struct Registered {
    operation: Operation,
    // Functions, because a call needs no schema and an instance may live for one call only.
    input_schema: fn() -> Map<String, Value>,
    output_schema: fn() -> Map<String, Value>,
    handler: Box<Handler>,
}

impl App {
    /// An app without operations yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            display_name: String::new(),
            description: String::new(),
            icon_svg: String::new(),
            operations: Vec::new(),
            on_start: None,
        }
    }

    /// A name for people.
    #[must_use]
    pub fn display_name(mut self, text: impl Into<String>) -> Self {
        self.display_name = text.into();
        self
    }

    /// One or two sentences.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// An icon, as the text of an SVG document.
    #[must_use]
    pub fn icon_svg(mut self, svg: impl Into<String>) -> Self {
        self.icon_svg = svg.into();
        self
    }

    /// Called once per instance, before any operation, with what the configuration says. An error keeps the app from
    /// starting.
    #[must_use]
    pub fn on_start(mut self, hook: impl Fn(&Start) -> Result<(), Error> + 'static) -> Self {
        self.on_start = Some(Box::new(hook));
        self
    }

    /// Adds an operation and the function that carries it out.
    #[must_use]
    pub fn operation<In, Out, E>(
        mut self,
        operation: Operation,
        handler: impl Fn(In, &Request) -> Result<Out, E> + 'static,
    ) -> Self
    where
        In: DeserializeOwned + JsonSchema,
        Out: Output,
        E: Into<Error>,
    {
        self.operations.push(Registered {
            operation,
            input_schema: schema::input::<In>,
            output_schema: schema::output::<Out>,
            handler: Box::new(move |request| {
                let input = serde_json::from_str(request.params())
                    .map_err(|error| Error::new(400, format!("invalid parameters: {error}")))?;
                Answer::encode(handler(input, request).map_err(Into::into)?)
            }),
        });
        self
    }

    /// Carries out a request. Never fails: what goes wrong is an answer too.
    pub fn call(&self, request: &Request) -> Answer {
        let found = self.operations.iter().find(|o| o.operation.id == request.operation());
        let result = match found {
            Some(registered) => (registered.handler)(request),
            None => Err(Error::new(404, "unknown operation")),
        };
        result.unwrap_or_else(|error| {
            if let Some(detail) = error.detail() {
                eprintln!("{}: {detail}", request.operation());
            }
            Answer::error(&error)
        })
    }

    /// Runs the start hook.
    pub(crate) fn start(&self, start: &Start) -> Result<(), Error> {
        self.on_start.as_ref().map_or(Ok(()), |hook| hook(start))
    }

    /// The catalog the host shows.
    pub fn catalog(&self) -> catalog::Catalog {
        catalog::Catalog {
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            icon_svg: self.icon_svg.clone(),
            operations: self.operations.iter().map(Registered::describe).collect(),
        }
    }

    /// The id of an operation that is registered more than once.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let mut ids: Vec<&str> = self.operations.iter().map(|o| o.operation.id.as_str()).collect();
        ids.sort_unstable();
        ids.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }
}

impl Registered {
    fn describe(&self) -> catalog::Operation {
        let Operation { id, method, title, description, annotations, tags, scopes, read_only, visible, roles } =
            self.operation.clone();
        let input = (self.input_schema)();
        catalog::Operation {
            parameters: schema::parameters(&input),
            id,
            method,
            title,
            description,
            input_schema: Value::Object(input).to_string(),
            output_schema: Value::Object((self.output_schema)()).to_string(),
            annotations: Some(annotations),
            required_scopes: scopes,
            tags,
            read_only,
            visible: (!visible).then_some(false),
            transport: String::new(),
            allowed_roles: roles,
        }
    }
}

/// How an operation presents itself.
#[derive(Clone, Debug)]
pub struct Operation {
    id: String,
    method: String,
    title: String,
    description: String,
    annotations: catalog::Annotations,
    tags: Vec<String>,
    scopes: Vec<String>,
    read_only: bool,
    visible: bool,
    roles: Vec<String>,
}

impl Operation {
    /// An operation called with `POST`. The id must be unique within the app.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            method: "POST".into(),
            title: String::new(),
            description: String::new(),
            annotations: catalog::Annotations {
                read_only_hint: None,
                idempotent_hint: None,
                destructive_hint: None,
                open_world_hint: None,
            },
            tags: Vec::new(),
            scopes: Vec::new(),
            read_only: false,
            visible: true,
            roles: Vec::new(),
        }
    }

    /// The HTTP method it is called with.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// A short name for people.
    #[must_use]
    pub fn title(mut self, text: impl Into<String>) -> Self {
        self.title = text.into();
        self
    }

    /// What it does.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// It changes nothing.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self.annotations.read_only_hint = Some(true);
        self
    }

    /// It may delete or overwrite.
    #[must_use]
    pub fn destructive(mut self) -> Self {
        self.annotations.destructive_hint = Some(true);
        self
    }

    /// Calling it twice is like calling it once.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.annotations.idempotent_hint = Some(true);
        self
    }

    /// A free label.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// A scope the caller's token needs.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// A role that may call it; without any, every role may.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// Leaves it out of every list.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.visible = false;
        self
    }
}

/// What the configuration says about this app.
#[derive(Clone, Debug, Default)]
pub struct Start {
    pub(crate) name: String,
    pub(crate) config: Option<String>,
}

impl Start {
    /// The app's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The app's `config`, read as `T`; `{}` when there is none.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.config.as_deref().unwrap_or("{}"))
    }
}

/// What goes back to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers in the order they were added.
    pub headers: Vec<(String, String)>,
    /// JSON, unless a `Content-Type` says otherwise.
    pub body: Vec<u8>,
}

impl Answer {
    fn encode(output: impl Output) -> Result<Self, Error> {
        let (status, mut headers, body) = output.encode()?;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".into(), "application/json".into()));
        }
        Ok(Self { status, headers, body })
    }

    fn error(error: &Error) -> Self {
        Self {
            status: error.status(),
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: serde_json::json!({ "error": error.message() }).to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
