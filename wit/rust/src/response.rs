use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An answer with a status and headers of its own.
#[derive(Clone, Debug)]
pub struct Response<T> {
    status: u16,
    headers: Vec<(String, String)>,
    body: T,
}

impl<T> Response<T> {
    /// Answers `status` with `body` as JSON.
    pub fn new(status: u16, body: T) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// Adds a header. The same name may be added several times.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Bytes that are not JSON.
#[derive(Clone, Debug)]
pub struct Binary {
    content_type: String,
    bytes: Vec<u8>,
}

impl Binary {
    /// `bytes` of this media type.
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), bytes: bytes.into() }
    }
}

/// What a handler may return: a value, a [`Response`] around one, or [`Binary`].
pub trait Output {
    /// The JSON Schema of the body.
    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// Status, headers and bytes.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    fn encode(self) -> Result<Encoded, serde_json::Error>;
}

/// An [`Output`] on its way out: status, headers, body.
pub type Encoded = (u16, Vec<(String, String)>, Vec<u8>);

impl<T: Serialize + JsonSchema> Output for T {
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn encode(self) -> Result<Encoded, serde_json::Error> {
        Response::new(200, self).encode()
    }
}

impl<T: Serialize + JsonSchema> Output for Response<T> {
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn encode(self) -> Result<Encoded, serde_json::Error> {
        let body = serde_json::to_vec(&self.body)?;
        Ok((self.status, self.headers, body))
    }
}

impl Output for Binary {
    fn schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }

    fn encode(self) -> Result<Encoded, serde_json::Error> {
        Ok((200, vec![("Content-Type".into(), self.content_type)], self.bytes))
    }
}

/// Any JSON, kept as the text it came as.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Writes a value as JSON.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn from_value(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// Checks that `text` is JSON and keeps it.
    ///
    /// # Errors
    /// When it is not.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.into()).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads the text as a value.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// No parameters, or an answer that says nothing: `{}`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}
