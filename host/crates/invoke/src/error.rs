use gestalt_core::ExecError;

/// Why an invocation gave no answer. What the caller is told is in [`Problem`](crate::Problem).
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// No app of that name is configured.
    #[error("unknown app {app:?}")]
    UnknownApp {
        /// As the caller spelled it.
        app: String,
    },
    /// The app has no such operation, or hides it.
    #[error("unknown operation {operation:?} of app {app:?}")]
    UnknownOperation {
        /// The app.
        app: String,
        /// As the caller spelled it.
        operation: String,
    },
    /// Policy or token refused it.
    #[error("denied: {}", .0.as_str())]
    Denied(Denial),
    /// Apps calling apps went too deep.
    #[error("nested deeper than {max} calls")]
    TooDeep {
        /// The bound.
        max: usize,
    },
    /// The same operation of the same app instance is already running further up in this chain of calls.
    #[error("operation {operation:?} of app {app:?} calls itself")]
    Recursion {
        /// The app.
        app: String,
        /// The operation.
        operation: String,
    },
    /// The app takes no such connection or instance.
    #[error("app {app:?} has no connection {connection:?}")]
    UnknownConnection {
        /// The app.
        app: String,
        /// As the caller spelled it.
        connection: String,
    },
    /// The app did not answer.
    #[error("app {app:?}: {source}")]
    Exec {
        /// The app.
        app: String,
        /// What happened.
        source: ExecError,
    },
}

/// Which check refused an invocation; the spelling is the audit record's `authorization_decision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The caller's token does not cover the operation.
    TokenScope,
    /// The caller is an app, and its `invokes` do not list the operation.
    NotGranted,
    /// The caller is an app, and names a connection of the other one to use. None is granted.
    ConnectionNotGranted,
}

impl Denial {
    /// The audit record's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenScope => "token_scope_denied",
            Self::NotGranted => "invoke_not_granted",
            Self::ConnectionNotGranted => "connection_not_granted",
        }
    }
}
