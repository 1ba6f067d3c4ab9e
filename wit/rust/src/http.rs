//! Outgoing HTTP, blocking and small, over `wasi:http`.
//!
//! A host the configuration's `egress.allowedHosts` does not name answers [`Error::code`] `http-request-denied`.
//! Redirects are not followed: they come back as they are.

mod code;
mod transfer;

use crate::bindings::wasi::http::types as wasi;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

/// Longest body [`Request::send`] takes unless [`Request::max_body`] says otherwise: 8 MiB, an eighth of what an
/// instance may use by default.
pub const MAX_BODY: usize = 8 << 20;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
    max_body: usize,
    // `json` cannot fail in the middle of a chain: `send` tells.
    problem: Option<String>,
}

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

impl Request {
    /// A request of any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            max_body: MAX_BODY,
            problem: None,
        }
    }

    /// Adds a header. The same name may be added several times.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value as JSON.
    #[must_use]
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => {
                self.problem = Some(error.to_string());
                self
            }
        }
    }

    /// Bounds the connect, the wait for the first byte, and the wait between bytes, each. The host has bounds of its
    /// own that this cannot lift.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Bounds the body of the response, in bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends it and reads the whole response.
    ///
    /// # Errors
    /// When there is no complete response. A status of 400 or above is a response.
    pub fn send(self) -> Result<Response, Error> {
        transfer::send(self)
    }
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Header names, in lower case, and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body as it came: nothing is decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as `T`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Why there is no response.
#[derive(Clone, Debug)]
pub enum Error {
    /// The URL, the method, a header or the body cannot be sent.
    Invalid(String),
    /// The host refused, or the transfer failed: a `wasi:http` error code.
    Code {
        /// The code's name in lower case, such as `http-request-denied`.
        name: &'static str,
        /// Everything known about it.
        detail: String,
    },
    /// A stream broke and no error code says why.
    Stream(String),
    /// The body is longer than this many bytes.
    TooLarge(usize),
}

impl Error {
    /// One word for the failure: the `wasi:http` code's name, or `invalid-request`, `broken-stream`, `body-too-large`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid-request",
            Self::Code { name, .. } => name,
            Self::Stream(_) => "broken-stream",
            Self::TooLarge(_) => "body-too-large",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => write!(f, "the request cannot be sent: {what}"),
            Self::Code { detail, .. } => f.write_str(detail),
            Self::Stream(what) => write!(f, "the transfer broke off: {what}"),
            Self::TooLarge(bytes) => write!(f, "the response is longer than {bytes} bytes"),
        }
    }
}

impl std::error::Error for Error {}

impl From<wasi::ErrorCode> for Error {
    fn from(code: wasi::ErrorCode) -> Self {
        Self::Code { name: code::name(&code), detail: code.to_string() }
    }
}
