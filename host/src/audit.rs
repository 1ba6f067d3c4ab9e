//! Audit records as structured log records: message `audit`, target `audit`, INFO when allowed and WARN when denied.
//!
//! The field names are a schema that operators' queries depend on; the golden test below is its definition. What a caller,
//! an app or an upstream wrote is escaped and cut before it becomes a field: whichever format the log has, a record says
//! the same, and no more than a few kilobytes.

use gestalt_core::CallLink;
use gestalt_core::audit::{Egress, Invocation, Outcome, Record, Sink};
use gestalt_core::foreign::Foreign;

/// Writes audit records into the log.
pub struct LogAudit;

impl Sink for LogAudit {
    fn record(&self, record: Record) {
        match record {
            Record::Invocation(record) => invocation(&record),
            Record::Egress(record) => egress(&record),
        }
    }
}

/// A name somebody else wrote; `None` when there is none.
fn name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| Foreign::name(text).to_string())
}

/// `app/operation > app/operation`, the outermost call first.
fn chain(links: &[CallLink]) -> Option<String> {
    let link = |link: &CallLink| format!("{}/{}", link.app, Foreign::name(&link.operation));
    (!links.is_empty()).then(|| links.iter().map(link).collect::<Vec<_>>().join(" > "))
}

/// One macro body for both levels: tracing fixes the level of an event at compile time.
macro_rules! event {
    ($allowed:expr, $($fields:tt)*) => {
        if $allowed {
            tracing::info!(target: "audit", allowed = true, "log.type" = "audit", $($fields)*);
        } else {
            tracing::warn!(target: "audit", allowed = false, "log.type" = "audit", $($fields)*);
        }
    };
}

fn invocation(record: &Invocation) {
    let (decision, status, error) = match &record.outcome {
        Outcome::Answered(status) => (None, Some(*status), None),
        Outcome::Denied(decision) => (Some(*decision), None, None),
        Outcome::Failed(error) => (None, None, Some(Foreign::phrase(error).to_string())),
        Outcome::Abandoned => (None, None, Some("abandoned by the caller".to_owned())),
    };
    let credential = &record.credential;
    event!(
        decision.is_none(),
        request_id = &*record.request_id,
        source = record.source.as_str(),
        provider = name(&record.app),
        operation = name(&record.operation),
        depth = record.depth,
        auth_source = record.auth_source,
        subject_id = name(record.subject.as_str()),
        subject_kind = record.subject.kind(),
        caller_app = record.caller_app.as_ref().map(|app| app.as_str()),
        caller_chain = chain(&record.caller_chain),
        authorization_decision = decision,
        credential_mode = name(&credential.mode),
        credential_subject_id = name(&credential.subject_id),
        credential_connection = name(&credential.connection),
        credential_instance = name(&credential.instance),
        status,
        error,
        limit = record.limit,
        duration_us = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
        client_ip = name(&record.request.client_ip),
        remote_addr = name(&record.request.remote_addr),
        user_agent = name(&record.request.user_agent),
        "audit"
    );
}

fn egress(record: &Egress) {
    let operation = match record.denied {
        None => "egress.allowed",
        Some(_) if record.observed => "egress.observed",
        Some(_) => "egress.denied",
    };
    event!(
        record.denied.is_none() || record.observed,
        source = "egress",
        provider = record.app.as_str(),
        operation,
        request_id = name(&record.invocation_id),
        subject_id = name(&record.subject),
        host = name(&record.host),
        raw_host = name(&record.raw_host),
        port = record.port,
        scheme = name(&record.scheme),
        method = name(&record.method),
        reason = record.denied.map(|reason| reason.as_str()),
        credential = record.credential.as_str(),
        count = record.count,
        bytes_sent = record.sent,
        bytes_received = record.received,
        "audit"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::audit::HeldUse;
    use gestalt_core::egress::DenyReason;
    use gestalt_core::{AppName, CredentialChoice, Origin, RequestMeta, SubjectRef};
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn check(record: Record, expect: serde_json::Value) {
        let line = line(record);
        assert_eq!(line, expect, "{line:#}");
    }

    /// The record as a line of JSON.
    fn line(record: Record) -> serde_json::Value {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt().json().without_time().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || LogAudit.record(record));
        let bytes = buffer.0.lock().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn link(app: &str) -> CallLink {
        CallLink { app: AppName::parse(app).unwrap(), operation: "run".into(), instance: String::new() }
    }

    fn sample(outcome: Outcome) -> Record {
        Record::Invocation(Invocation {
            request_id: "0b6c".into(),
            source: Origin::Http,
            app: "tickets".into(),
            operation: "issues.list".into(),
            depth: 1,
            subject: SubjectRef::parse("user:42").unwrap(),
            auth_source: "session",
            caller_app: Some(AppName::parse("triage").unwrap()),
            caller_chain: ["inbox", "triage"].map(link).into(),
            credential: CredentialChoice { mode: "none".into(), ..CredentialChoice::default() },
            request: Arc::new(RequestMeta {
                client_ip: "192.0.2.1".into(),
                remote_addr: "10.0.0.1:4711".into(),
                user_agent: String::new(),
            }),
            duration: Duration::from_micros(1500),
            outcome,
            limit: None,
        })
    }

    #[test]
    fn an_answered_invocation() {
        check(
            sample(Outcome::Answered(200)),
            serde_json::json!({"level": "INFO", "target": "audit", "fields": {
                "message": "audit", "log.type": "audit", "allowed": true, "request_id": "0b6c", "source": "http",
                "provider": "tickets", "operation": "issues.list", "depth": 1, "auth_source": "session",
                "subject_id": "user:42", "subject_kind": "user", "caller_app": "triage",
                "caller_chain": "inbox/run > triage/run", "credential_mode": "none",
                "status": 200, "duration_us": 1500, "client_ip": "192.0.2.1",
                "remote_addr": "10.0.0.1:4711"
            }}),
        );
    }

    #[test]
    fn an_invocation_that_ran_into_a_bound() {
        let mut record = sample(Outcome::Failed("memory limit exceeded".into()));
        if let Record::Invocation(invocation) = &mut record {
            invocation.limit = Some("memory");
        }
        check(
            record,
            serde_json::json!({"level": "INFO", "target": "audit", "fields": {
                "message": "audit", "log.type": "audit", "allowed": true, "request_id": "0b6c", "source": "http",
                "provider": "tickets", "operation": "issues.list", "depth": 1, "auth_source": "session",
                "subject_id": "user:42", "subject_kind": "user", "caller_app": "triage",
                "caller_chain": "inbox/run > triage/run", "credential_mode": "none",
                "error": "memory limit exceeded", "limit": "memory", "duration_us": 1500, "client_ip": "192.0.2.1",
                "remote_addr": "10.0.0.1:4711"
            }}),
        );
    }

    #[test]
    fn what_others_wrote_is_escaped_and_short_in_every_field() {
        let hostile = format!("x\n\x1b[2J\u{9b}\u{202e}{}", "y".repeat(1 << 16));
        let mut record = sample(Outcome::Failed(hostile.clone()));
        if let Record::Invocation(invocation) = &mut record {
            (invocation.app, invocation.operation) = (hostile.clone(), hostile.clone());
            invocation.caller_chain[0].operation = hostile.as_str().into();
            let (mode, subject_id) = (hostile.clone(), hostile.clone());
            let (connection, instance) = (hostile.clone(), hostile.clone());
            invocation.credential = CredentialChoice { mode, subject_id, connection, instance };
            let (client_ip, remote_addr, user_agent) = (hostile.clone(), hostile.clone(), hostile.clone());
            invocation.request = Arc::new(RequestMeta { client_ip, remote_addr, user_agent });
        }
        let mut sent = request();
        (sent.host, sent.raw_host, sent.scheme) = (hostile.clone(), hostile.clone(), hostile.clone());
        (sent.method, sent.subject, sent.invocation_id) = (hostile.clone(), hostile.as_str().into(), hostile.into());
        for (record, count) in [(record, 11), (Record::Egress(sent), 6)] {
            let line = line(record).to_string();
            let acts = |c: char| c.is_control() || matches!(c, '\u{202e}');
            assert!(!line.contains(acts) && !line.contains("\\u001b") && line.len() < 8 << 10, "{} {line}", line.len());
            assert_eq!(line.matches("x\\\\n\\\\u{1b}[2J\\\\u{9b}\\\\u{202e}y").count(), count, "{line}");
        }
    }

    #[test]
    fn a_denied_invocation() {
        check(
            sample(Outcome::Denied("token_scope_denied")),
            serde_json::json!({"level": "WARN", "target": "audit", "fields": {
                "message": "audit", "log.type": "audit", "allowed": false, "request_id": "0b6c", "source": "http",
                "provider": "tickets", "operation": "issues.list", "depth": 1, "auth_source": "session",
                "subject_id": "user:42", "subject_kind": "user", "caller_app": "triage",
                "caller_chain": "inbox/run > triage/run", "credential_mode": "none",
                "authorization_decision": "token_scope_denied", "duration_us": 1500, "client_ip": "192.0.2.1",
                "remote_addr": "10.0.0.1:4711"
            }}),
        );
    }

    fn request() -> Egress {
        Egress {
            app: AppName::parse("tickets").unwrap(),
            denied: Some(DenyReason::HostNotAllowed),
            observed: false,
            credential: HeldUse::None,
            invocation_id: "0b6c".into(),
            subject: "user:42".into(),
            host: "evil.test".into(),
            raw_host: "EVIL.test".into(),
            port: 443,
            scheme: "https".into(),
            method: "GET".into(),
            count: 3,
            sent: 0,
            received: 0,
        }
    }

    #[test]
    fn a_denied_request() {
        check(
            Record::Egress(request()),
            serde_json::json!({"level": "WARN", "target": "audit", "fields": {
                "message": "audit", "log.type": "audit", "allowed": false, "source": "egress", "provider": "tickets",
                "operation": "egress.denied", "request_id": "0b6c", "subject_id": "user:42", "host": "evil.test",
                "raw_host": "EVIL.test", "port": 443, "scheme": "https", "method": "GET",
                "reason": "host_not_allowed", "count": 3, "bytes_sent": 0, "bytes_received": 0
            }}),
        );
    }

    #[test]
    fn an_observed_request_with_a_credential_for_elsewhere() {
        check(
            Record::Egress(Egress {
                observed: true,
                credential: HeldUse::Withheld,
                sent: 310,
                received: 2048,
                ..request()
            }),
            serde_json::json!({"level": "INFO", "target": "audit", "fields": {
                "message": "audit", "log.type": "audit", "allowed": true, "source": "egress", "provider": "tickets",
                "operation": "egress.observed", "request_id": "0b6c", "subject_id": "user:42", "host": "evil.test",
                "raw_host": "EVIL.test", "port": 443, "scheme": "https", "method": "GET",
                "reason": "host_not_allowed", "credential": "withheld", "count": 3,
                "bytes_sent": 310, "bytes_received": 2048
            }}),
        );
    }
}
