//! An app that uses credentials without holding them: it is handed placeholders, and what comes from it is searched for
//! the credentials themselves. The replacement is the egress client's.

use async_trait::async_trait;
use gestalt_config::App;
use gestalt_core::service::{LogEntry, LogSink};
use gestalt_core::{
    AppName, Call, Catalog, Credential, ExecError, Executor, HttpSubjectRequest, Metadata, Reply, Secret, SubjectRef,
};
use gestalt_egress::{Egress, Scrubber};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The app's variables, and those that hold a placeholder.
pub(super) fn env(egress: &Egress, app: &App, mut env: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for held in &app.egress.credentials {
        if let Some(name) = &held.env {
            env.insert(name.clone(), egress.placeholder(&app.name, held));
        }
    }
    env
}

/// An executor around an app's own.
///
/// The app never holds a credential, and answers of upstreams are searched before it sees them. That its own answers,
/// errors and log lines are searched as well is a second line: it costs what nothing is found costs.
pub(super) struct Blind {
    inner: Arc<dyn Executor>,
    app: AppName,
    egress: Arc<Egress>,
    /// The placeholder that is the token of calls without one.
    token: Option<String>,
}

impl Blind {
    /// Wraps `inner` if the app's entry keeps a credential from it.
    pub(super) fn around(inner: Arc<dyn Executor>, egress: &Arc<Egress>, app: &App) -> Arc<dyn Executor> {
        if app.egress.credentials.is_empty() {
            return inner;
        }
        let held = app.egress.credentials.iter().find(|held| held.token);
        let token = held.map(|held| egress.placeholder(&app.name, held));
        Arc::new(Self { inner, app: app.name.clone(), egress: egress.clone(), token })
    }

    fn scrubber(&self) -> Arc<Scrubber> {
        self.egress.scrubber(&self.app)
    }
}

#[async_trait]
impl Executor for Blind {
    async fn catalog(&self, credential: Option<&Credential>) -> Result<Arc<Catalog>, ExecError> {
        self.inner.catalog(credential).await
    }

    async fn execute(&self, mut call: Call) -> Result<Reply, ExecError> {
        if let (None, Some(token)) = (&call.credential, &self.token) {
            call.credential = Some(Credential {
                connection: "default".to_owned(),
                instance: "default".to_owned(),
                token: Secret::new(token.clone()),
                params: Metadata::new(),
            });
        }
        let result = self.inner.execute(call).await;
        let scrubber = self.scrubber();
        match result {
            Ok(reply) => Ok(reply_of(reply, &scrubber)),
            Err(error) => Err(error_of(error, &scrubber)),
        }
    }

    async fn post_connect(&self, credential: &Credential) -> Result<Metadata, ExecError> {
        self.inner.post_connect(credential).await.map_err(|error| error_of(error, &self.scrubber()))
    }

    async fn http_subject(&self, request: &HttpSubjectRequest) -> Result<Option<SubjectRef>, ExecError> {
        self.inner.http_subject(request).await.map_err(|error| error_of(error, &self.scrubber()))
    }

    async fn shutdown(&self) {
        self.inner.shutdown().await;
    }
}

fn reply_of(mut reply: Reply, scrubber: &Scrubber) -> Reply {
    for (_, value) in &mut reply.headers {
        if let Some(clean) = scrubber.bytes(value.as_bytes()) {
            *value = String::from_utf8_lossy(&clean).into_owned();
        }
    }
    if let Some(clean) = scrubber.bytes(&reply.body) {
        reply.body = clean.into();
    }
    reply
}

fn error_of(error: ExecError, scrubber: &Scrubber) -> ExecError {
    let clean = |text: String| scrubber.text(&text).into_owned();
    match error {
        ExecError::InvalidInput(text) => ExecError::InvalidInput(clean(text)),
        ExecError::NotUp(text) => ExecError::NotUp(clean(text)),
        ExecError::Limit { what, detail } => ExecError::Limit { what, detail: clean(detail) },
        ExecError::Unavailable(text) => ExecError::Unavailable(clean(text)),
        ExecError::UpstreamUnreachable(text) => ExecError::UpstreamUnreachable(clean(text)),
        ExecError::UpstreamUnreadable(text) => ExecError::UpstreamUnreadable(clean(text)),
        ExecError::EgressDenied(text) => ExecError::EgressDenied(clean(text)),
        ExecError::Failed(text) => ExecError::Failed(clean(text)),
        other => other,
    }
}

/// A log in which no app's line holds a credential that is kept from it.
pub(super) struct BlindLog {
    inner: Arc<dyn LogSink>,
    egress: Arc<Egress>,
}

impl BlindLog {
    /// Wraps a log.
    pub(super) fn new(inner: Arc<dyn LogSink>, egress: Arc<Egress>) -> Self {
        Self { inner, egress }
    }
}

impl LogSink for BlindLog {
    fn append(&self, app: &AppName, mut entry: LogEntry) -> u64 {
        if let Some(clean) = self.egress.scrubber(app).bytes(entry.message.as_bytes()) {
            entry.message = String::from_utf8_lossy(&clean).into_owned();
        }
        self.inner.append(app, entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::egress::{HeldCredential, Rules, Settings};
    use gestalt_core::host::HostPattern;
    use gestalt_core::limits::EgressLimits;
    use gestalt_core::service::LogStream;
    use gestalt_egress::{Parts, SystemResolver};
    use http::header::AUTHORIZATION;
    use std::sync::Mutex;
    use std::time::Instant;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn append(&self, _: &AppName, entry: LogEntry) -> u64 {
            self.0.lock().unwrap().push(entry.message);
            1
        }
    }

    #[test]
    fn answers_errors_and_lines_hold_no_credential() {
        let parts = Parts {
            resolver: Arc::new(SystemResolver::new()),
            sink: Arc::new(crate::audit::LogAudit),
            meter: Arc::new(crate::metrics::Metrics::build().unwrap()),
            listeners: Arc::default(),
            clock: Arc::new(Instant::now),
            artifacts: None,
        };
        let egress = Arc::new(Egress::build(Settings::default(), parts).unwrap());
        let app = AppName::parse("a").unwrap();
        let held = HeldCredential {
            header: AUTHORIZATION,
            hosts: vec![HostPattern::parse("api.test").unwrap()],
            value: Secret::new("hunter2-hunter2".to_owned()),
            format: None,
            env: None,
            token: true,
        };
        let rules = Rules { credentials: vec![held], ..Rules::default() };
        let _client = egress.client(app.clone(), rules, EgressLimits::default());

        let scrubber = egress.scrubber(&app);
        let headers = vec![("X-Echo".to_owned(), "hunter2-hunter2".to_owned())];
        let reply = Reply { status: 200, headers, body: "<hunter2-hunter2>".into() };
        let reply = reply_of(reply, &scrubber);
        assert_eq!((reply.headers[0].1.as_str(), &reply.body[..]), ("***************", &b"<***************>"[..]));
        let error = error_of(ExecError::Failed("trap: hunter2-hunter2".to_owned()), &scrubber);
        assert_eq!(error.to_string(), "app failed: trap: ***************");

        let kept = Arc::new(Kept::default());
        let log = BlindLog::new(kept.clone(), egress.clone());
        let line = |message: &str| LogEntry {
            stream: LogStream::Stdout,
            message: message.to_owned(),
            observed_at: None,
            invocation_id: String::new(),
        };
        log.append(&app, line("token=hunter2-hunter2"));
        log.append(&AppName::parse("b").unwrap(), line("another's hunter2-hunter2"));
        assert_eq!(*kept.0.lock().unwrap(), ["token=***************", "another's hunter2-hunter2"]);
    }
}
