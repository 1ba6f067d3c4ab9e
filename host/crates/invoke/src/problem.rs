use crate::InvokeError;
use gestalt_core::{Code, ExecError};

/// What the caller of an operation is told about an error: the one table for every ingress.
///
/// The message never holds an app's internal text; that is in the log, under the invocation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// gRPC code, for an app that called an app.
    pub rpc: Code,
    /// Machine-readable cause, where clients act on it.
    pub code: Option<&'static str>,
    /// For a person.
    pub message: String,
    /// The app concerned, if there is one.
    pub app: Option<String>,
}

impl From<&InvokeError> for Problem {
    fn from(error: &InvokeError) -> Self {
        match error {
            InvokeError::UnknownApp { app } => new(404, Code::NotFound, format!("integration {app:?} not found")),
            InvokeError::UnknownOperation { app, operation } => {
                new(404, Code::NotFound, format!("operation {operation:?} not found on integration {app:?}")).about(app)
            }
            InvokeError::Denied(_) => new(403, Code::PermissionDenied, "operation access denied"),
            InvokeError::TooDeep { max } => {
                new(400, Code::ResourceExhausted, format!("calls are nested deeper than {max}"))
            }
            InvokeError::Recursion { app, operation } => {
                let message = format!("operation {operation:?} of {app:?} is already running in this chain of calls");
                new(400, Code::FailedPrecondition, message).about(app)
            }
            InvokeError::UnknownConnection { app, connection } => {
                new(400, Code::InvalidArgument, format!("integration {app:?} has no connection {connection:?}"))
                    .about(app)
            }
            InvokeError::Exec { app, source } => exec(app, source),
        }
    }
}

fn exec(app: &str, error: &ExecError) -> Problem {
    let problem = match error {
        ExecError::UnknownOperation { operation } => {
            new(404, Code::NotFound, format!("operation {operation:?} not found on integration {app:?}"))
        }
        ExecError::InvalidInput(message) => new(400, Code::InvalidArgument, message),
        ExecError::Rejected { status, message } => new(*status, Code::PermissionDenied, message),
        ExecError::CredentialRejected => {
            let message = format!("stored credential for integration {app:?} was rejected by upstream; reconnect it");
            new(412, Code::FailedPrecondition, message).coded("reconnect_required")
        }
        ExecError::NotUp(_) | ExecError::Breaker { .. } => {
            new(503, Code::Unavailable, format!("integration {app:?} is not available"))
        }
        ExecError::Busy { what } => new(429, Code::ResourceExhausted, format!("{what} limit reached; try again later")),
        ExecError::Limit { what, .. } => {
            new(502, Code::ResourceExhausted, format!("operation exceeded its {what} limit"))
        }
        ExecError::Deadline => new(502, Code::DeadlineExceeded, "operation timed out"),
        ExecError::Unavailable(_) => new(502, Code::Unavailable, "integration unavailable"),
        ExecError::UpstreamTimeout => new(502, Code::DeadlineExceeded, "upstream service timed out"),
        ExecError::UpstreamUnreachable(_) => new(502, Code::Unavailable, "failed to reach upstream service"),
        ExecError::UpstreamUnreadable(_) => new(502, Code::Unknown, "failed to read upstream response"),
        ExecError::EgressDenied(_) | ExecError::Failed(_) => new(502, Code::Unknown, "operation failed"),
    };
    problem.about(app)
}

fn new(status: u16, rpc: Code, message: impl Into<String>) -> Problem {
    Problem { status, rpc, code: None, message: message.into(), app: None }
}

impl Problem {
    fn about(mut self, app: &str) -> Self {
        self.app = Some(app.to_owned());
        self
    }

    fn coded(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }
}
