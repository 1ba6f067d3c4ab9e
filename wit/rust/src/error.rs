use std::fmt;

/// Why an operation failed: a status and a message for the caller, or details that are nobody else's business.
///
/// Any [`std::error::Error`] turns into the second kind by `?`.
pub struct Error {
    status: u16,
    message: String,
    detail: Option<String>,
}

impl Error {
    /// Answers `status` with `{"error": message}`.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), detail: None }
    }

    /// Answers 500 with `{"error": "internal error"}`, and writes `detail` to stderr.
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self { status: 500, message: "internal error".into(), detail: Some(detail.to_string()) }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What only the log is told.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::internal(detail)
    }
}

// Not `std::error::Error` itself: the conversion above would then overlap with the identity.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail.as_deref().unwrap_or(&self.message))
    }
}
