use crate::foreign::Foreign;

/// Why an operation gave no answer.
///
/// The text of a variant is for the operator's log, and may be an app's or an upstream's: displayed, it is one line of
/// bounded length, in which nothing acts (see [`foreign`](crate::foreign)). What the caller is told is decided in one place, by the ingress'
/// status table, and never holds an app's internal text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExecError {
    /// The app has no operation of that id.
    #[error("unknown operation {:?}", Foreign::name(.operation))]
    UnknownOperation {
        /// As the caller spelled it.
        operation: String,
    },
    /// The caller's parameters cannot be used; the text says which and why, and may be shown to the caller.
    #[error("{}", Foreign::phrase(.0))]
    InvalidInput(String),
    /// The upstream refused the stored credential (401): the subject has to connect again.
    #[error("upstream rejected the credential")]
    CredentialRejected,
    /// The app is not up: still starting, failed to start, or waiting for its next restart.
    #[error("app is not up: {}", Foreign::line(.0))]
    NotUp(String),
    /// A bound of this app or of the daemon is used up (queue, concurrency); trying again later may help.
    #[error("{what} limit reached")]
    Busy {
        /// Which bound.
        what: &'static str,
    },
    /// The app used up a bound of this one call and was stopped (memory, CPU time, result size, …).
    #[error("{what} limit exceeded: {}", Foreign::phrase(.detail))]
    Limit {
        /// Which bound, as the config spells it.
        what: &'static str,
        /// What happened.
        detail: String,
    },
    /// The app turned a webhook away; status and text are its answer to the sender.
    #[error("rejected with status {status}: {}", Foreign::phrase(.message))]
    Rejected {
        /// HTTP status, 400 to 599.
        status: u16,
        /// For the sender.
        message: String,
    },
    /// The app kept trapping, and is turned away for a while.
    #[error("circuit breaker is open for another {retry_after:?}")]
    Breaker {
        /// When a call may try again; zero while one is trying.
        retry_after: std::time::Duration,
    },
    /// The deadline passed.
    #[error("deadline exceeded")]
    Deadline,
    /// The app's process or connection went away during the call.
    #[error("app went away: {}", Foreign::phrase(.0))]
    Unavailable(String),
    /// The upstream of a declarative surface did not answer in time.
    #[error("upstream timed out")]
    UpstreamTimeout,
    /// The upstream of a declarative surface could not be reached.
    #[error("upstream unreachable: {}", Foreign::phrase(.0))]
    UpstreamUnreachable(String),
    /// The upstream of a declarative surface broke off, or sent something that is not HTTP.
    #[error("upstream answer unreadable: {}", Foreign::phrase(.0))]
    UpstreamUnreadable(String),
    /// Outgoing HTTP of a declarative surface was refused by policy.
    #[error("egress denied: {}", Foreign::phrase(.0))]
    EgressDenied(String),
    /// The app's code failed: a trap, a panic, an RPC error, an answer that breaks the contract.
    #[error("app failed: {}", Foreign::phrase(.0))]
    Failed(String),
}

impl ExecError {
    /// A rejection as an app spells it. A status that is no error's becomes 403: the app said no, that much is sure. Its
    /// text goes to the sender, and no more of it than of any other.
    pub fn rejected(status: i32, message: &str) -> Self {
        let message = Foreign::phrase(message).to_string();
        let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status)).unwrap_or(403);
        Self::Rejected { status, message }
    }
}

impl ExecError {
    /// The bound that was reached, as the config spells it, if that is what happened.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Busy { what } | Self::Limit { what, .. } => Some(what),
            Self::Breaker { .. } => Some("breaker"),
            Self::Deadline => Some("timeout"),
            _ => None,
        }
    }
}
