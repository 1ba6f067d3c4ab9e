//! What a row is, and the four things each of them asserts.

use crate::canary::{self, Arrival};
use crate::house::{self, House, Kind, RUNTIME, Record};
use crate::names::{self, Question};
use crate::network::Counters;
use crate::{
    ambient, confusion, exhaustion, framing, names_and_addresses, native, packages, ports, redirects, spelling,
};
use gestalt_tests::Answer;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// One row of the catalogue.
pub(crate) struct Row {
    /// Its id, and the name of its app.
    pub(crate) id: &'static str,
    /// In which daemon it runs.
    pub(crate) house: Kind,
    /// Its apps: what is appended to the id, and the keys of the entry.
    pub(crate) apps: &'static [(&'static str, &'static str)],
    /// What is tried.
    pub(crate) run: fn(&Site),
}

/// The entry of most apps.
pub(crate) const LISTED: &[(&str, &str)] = &[("", "egress: {allowedHosts: [allowed.test, '*.wild.test']}")];
/// An entry that lists nothing.
pub(crate) const UNLISTED: &[(&str, &str)] = &[("", "")];

/// Rows by the names of their functions.
macro_rules! catalogue {
    ($($house:ident $apps:expr => $($row:ident)*;)*) => {
        pub(crate) fn rows() -> Vec<$crate::row::Row> {
            vec![$($($crate::row::Row {
                id: stringify!($row),
                house: $crate::house::Kind::$house,
                apps: $apps,
                run: $row,
            },)*)*]
        }
    };
}
pub(crate) use catalogue;

/// All of them.
pub(crate) fn rows() -> Vec<Row> {
    [
        spelling::rows(),
        ports::rows(),
        framing::rows(),
        names_and_addresses::rows(),
        redirects::rows(),
        ambient::rows(),
        exhaustion::rows(),
        packages::rows(),
        native::rows(),
        confusion::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A plain `GET http://<authority>/ok`.
pub(crate) fn get(authority: &str) -> Value {
    at(authority, "/ok")
}

/// A plain `GET http://<authority><path>`.
pub(crate) fn at(authority: &str, path: &str) -> Value {
    json!({"act": "http", "scheme": "http", "authority": authority, "path": path})
}

/// `value` with the members of `more`.
pub(crate) fn with(mut value: Value, more: Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// Both questions of one lookup.
pub(crate) fn lookup(name: &str) -> Vec<Question> {
    vec![(name.to_owned(), names::Kind::A), (name.to_owned(), names::Kind::Aaaa)]
}

/// Where a row runs.
pub(crate) struct Site {
    pub(crate) app: String,
    pub(crate) house: Arc<House>,
}

/// What came of one call, and what the world saw of it.
pub(crate) struct Seen {
    pub(crate) answer: Answer,
    /// Connections opened and datagrams sent on behalf of the app.
    pub(crate) wire: Counters,
    pub(crate) asked: Vec<Question>,
    before: Counters,
}

impl Seen {
    /// Everybody who came of it. To be called when its records are there: until then there may be more to come.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        let opened = Counters::read().opened - self.before.opened - 1;
        canary::take(usize::try_from(opened).unwrap())
    }

    /// What the guest reports.
    pub(crate) fn report(&self) -> Value {
        assert_eq!(self.answer.code(), 200, "{}", self.answer.text());
        self.answer.json()
    }

    /// Nothing was asked of any name server, and nothing was sent to anybody.
    pub(crate) fn assert_silence(&self, what: &Value) {
        let told = (self.wire, self.asked.as_slice());
        assert_eq!(told, (Counters::default(), &[][..]), "the world heard of {what}");
    }
}

impl Site {
    pub(crate) fn new(row: &Row) -> Self {
        Self { app: row.id.to_owned(), house: house::get(row.house) }
    }

    /// One call of this row's app.
    pub(crate) fn call(&self, attempt: &Value) -> Seen {
        self.call_app(&self.app, attempt)
    }

    /// One call of an app.
    pub(crate) fn call_app(&self, app: &str, attempt: &Value) -> Seen {
        names::take_asked();
        let strangers = canary::take(0);
        assert!(strangers.is_empty(), "somebody came whom no row expected: {strangers:?}");
        let before = Counters::read();
        let call = self.house.client.call(app, "attempt", attempt.to_string());
        let answer = RUNTIME.block_on(call);
        let after = Counters::read();
        // One connection was the caller's own. What the name server sent is not the app's either.
        let asked = names::take_asked();
        let opened = after.opened - before.opened - 1;
        let datagrams = after.datagrams - before.datagrams - asked.len() as u64;
        Seen { answer, wire: Counters { opened, datagrams }, asked, before }
    }

    /// `count` more records of this row's app than there were.
    pub(crate) fn records(&self, count: usize) -> Vec<Record> {
        let mut expected = self.house.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let known = expected.entry(self.app.clone()).or_default();
        // Written when the last byte was seen, which may be after the guest's answer.
        let start = Instant::now();
        let all = loop {
            let all = self.house.records(&self.app);
            if all.len() >= *known + count || start.elapsed() > canary::SOON {
                break all;
            }
            std::thread::yield_now();
        };
        assert!(all.len() >= *known, "records are gone");
        let new = all[*known..].to_vec();
        assert_eq!(new.len(), count, "{new:?}");
        *known += count;
        new
    }

    /// `count` records of this row's app will be written by the time the daemon has stopped.
    pub(crate) fn later(&self, count: usize) {
        let mut expected = self.house.expected.lock().unwrap_or_else(PoisonError::into_inner);
        *expected.entry(self.app.clone()).or_default() += count;
    }

    /// The daemon is well, and so is the app, on an instance that has seen nothing of what was.
    pub(crate) fn assert_alive(&self) {
        RUNTIME.block_on(async {
            assert_eq!(self.house.operator.get("/health").await.code(), 200);
        });
        let seen = self.call(&json!({"act": "count"}));
        assert_eq!(seen.report(), json!({"calls": 1}));
    }

    /// The guest gets `error`, nobody is asked or connected to, one record says `reason`, everybody is well.
    pub(crate) fn denied(&self, attempt: Value, error: &str, reason: &str) -> Record {
        let seen = self.call(&attempt);
        seen.assert_silence(&attempt);
        self.refusal(&seen, &attempt, error, reason)
    }

    /// The same after one lookup of `name`.
    pub(crate) fn denied_after_lookup(&self, attempt: Value, name: &str, error: &str, reason: &str) -> Record {
        let seen = self.call(&attempt);
        assert_eq!(seen.asked, lookup(name), "{attempt}");
        assert_eq!((seen.wire.opened, seen.wire.datagrams), (0, 2), "{attempt}");
        self.refusal(&seen, &attempt, error, reason)
    }

    /// The guest's error, the one record, and health.
    pub(crate) fn refusal(&self, seen: &Seen, attempt: &Value, error: &str, reason: &str) -> Record {
        assert_eq!(seen.report()["error"], error, "{attempt}: {}", seen.answer.text());
        let record = self.records(1).remove(0);
        let told = ["operation", "reason", "count"].map(|name| record.field(name));
        assert_eq!(told, ["egress.denied", reason, "1"], "{attempt}: {record:?}");
        assert!(!record.field("request_id").is_empty() && !record.field("subject_id").is_empty(), "{record:?}");
        self.assert_alive();
        record
    }

    /// Refused by the types already: `at` is the step. No attempt was made, so there is no record of one.
    pub(crate) fn unspeakable(&self, attempt: Value, at: &str, error: &str) {
        let seen = self.call(&attempt);
        seen.assert_silence(&attempt);
        let report = seen.report();
        assert_eq!((&report["at"], &report["error"]), (&json!(at), &json!(error)), "{attempt}: {report}");
        self.records(0);
        self.assert_alive();
    }

    /// Refused as early as may be: by the types, or as an invalid URI.
    pub(crate) fn invalid(&self, attempt: Value) {
        let seen = self.call(&attempt);
        seen.assert_silence(&attempt);
        let report = seen.report();
        if report["at"] == "authority" || report["at"] == "path" {
            self.records(0);
            self.assert_alive();
        } else {
            self.refusal(&seen, &attempt, "HttpRequestUriInvalid", "uri_invalid");
        }
    }

    /// One connection, one record that says so. Hands back the guest's report and what arrived.
    pub(crate) fn reached(&self, attempt: &Value) -> (Value, Arrival) {
        let seen = self.call(attempt);
        let report = seen.report();
        assert_eq!(seen.wire.opened, 1, "{attempt}: {report}");
        let mut arrivals = canary::take(1);
        assert_eq!(arrivals.len(), 1, "{attempt}: {arrivals:?}");
        (report, arrivals.remove(0))
    }

    /// Answered with 200, and recorded as allowed.
    pub(crate) fn allowed(&self, attempt: &Value) -> (Value, Arrival) {
        let (report, arrival) = self.reached(attempt);
        assert_eq!(report["status"], 200, "{attempt}: {report}");
        let record = self.records(1).remove(0);
        assert_eq!(record.field("operation"), "egress.allowed", "{attempt}: {record:?}");
        self.assert_alive();
        (report, arrival)
    }

    /// Connected to and given up: the guest gets `error`, and the record says `reason`, or that it was allowed.
    pub(crate) fn broken(&self, attempt: Value, error: &str, reason: Option<&str>) -> (Value, Arrival) {
        let (report, arrival) = self.reached(&attempt);
        assert_eq!(report["error"], error, "{attempt}: {report}");
        let record = self.records(1).remove(0);
        assert_eq!(record.field("reason"), reason.unwrap_or_default(), "{attempt}: {record:?}");
        self.assert_alive();
        (report, arrival)
    }

    /// The call itself fails with this status and text; nothing else does.
    pub(crate) fn ended(&self, attempt: &Value, status: u16, message: &str) {
        let seen = self.call(attempt);
        seen.assert_silence(attempt);
        assert_eq!((seen.answer.code(), seen.answer.json()["error"].as_str()), (status, Some(message)), "{attempt}");
        self.assert_alive();
    }
}
