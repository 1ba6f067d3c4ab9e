//! What each app reached, kept for the operator who wants to write its list.
//!
//! One row per host, port and scheme, with counts; no paths, queries, headers or subjects. Kept in
//! `<artifactsDir>/egress/<app>.jsonl`, one JSON object per line, written whole to a file beside it and moved into
//! place. Rows survive restarts; deleting the file starts over.

use gestalt_core::AppName;
use gestalt_core::audit;
use gestalt_core::egress::DenyReason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// Rows of one app that was let through, and rows of what it was refused. Counted apart, so that an app cannot crowd the
/// hosts it reached out of its journal by asking for others. At some 200 bytes each a file stays below 300 KiB.
const REACHED: usize = 1024;
const REFUSED: usize = 256;

/// How long news may wait to be written.
pub(crate) const DELAY: Duration = Duration::from_secs(2);

/// One destination of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reached {
    /// Canonical host; empty in the row that stands for those that had no row of their own, and for requests that named
    /// none or went another way.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `http` or `https`, or what the app wrote; `tcp`, `udp` or `dns` for another way out, which there is none; empty in
    /// the row for those that had no row of their own.
    pub scheme: String,
    /// Requests that the policy allowed.
    pub allowed: u64,
    /// Requests that were sent only because the app is observed.
    pub observed: u64,
    /// Requests that were refused.
    pub denied: u64,
    /// The latest reason for a request to be refused, or to be refused if it were not observed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Bytes sent there, heads included.
    pub sent: u64,
    /// Bytes that came from there, heads included.
    pub received: u64,
    /// The latest request, in seconds since 1970.
    pub last: u64,
}

impl Reached {
    /// Whether anything was sent there.
    pub fn was_reached(&self) -> bool {
        self.allowed + self.observed > 0
    }
}

type Key = (String, u16, String);

/// One app's rows.
#[derive(Debug)]
pub(crate) struct Journal {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reached: BTreeMap<Key, Reached>,
    refused: BTreeMap<Key, Reached>,
    dirty: bool,
    /// Whether somebody is going to write it.
    scheduled: bool,
}

/// Reads what the daemon has written about `app` below `artifacts`; nothing when it has not been there. Lines that are
/// not rows are skipped.
///
/// # Errors
/// When there is a file that cannot be read.
pub fn read_journal(artifacts: &Path, app: &AppName) -> io::Result<Vec<Reached>> {
    match fs::read_to_string(file(artifacts, app)) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn file(artifacts: &Path, app: &AppName) -> PathBuf {
    artifacts.join("egress").join(format!("{app}.jsonl"))
}

impl Journal {
    /// Goes on where the last daemon stopped.
    pub(crate) fn open(artifacts: &Path, app: &AppName) -> Self {
        let mut state = State::default();
        for row in read_journal(artifacts, app).unwrap_or_default() {
            let (rows, most) = state.rows(row.was_reached());
            if rows.len() <= most {
                rows.insert((row.host.clone(), row.port, row.scheme.clone()), row);
            }
        }
        Self { file: file(artifacts, app), state: Mutex::new(state) }
    }

    /// Takes note of attempts. Returns whether somebody has to see to it that they are written.
    pub(crate) fn note(&self, record: &audit::Egress) -> bool {
        let mut state = self.lock();
        state.note(record);
        !std::mem::replace(&mut state.scheduled, true)
    }

    /// Writes the rows, if there is news.
    pub(crate) fn write(&self) -> io::Result<()> {
        let text = {
            let mut state = self.lock();
            state.scheduled = false;
            if !std::mem::take(&mut state.dirty) {
                return Ok(());
            }
            state.render()?
        };
        let Some(dir) = self.file.parent() else { return Ok(()) };
        fs::create_dir_all(dir)?;
        let part = self.file.with_extension("jsonl.part");
        let mut out = fs::File::create(&part)?;
        out.write_all(&text)?;
        fs::rename(part, &self.file)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rows(&mut self, reached: bool) -> (&mut BTreeMap<Key, Reached>, usize) {
        if reached { (&mut self.reached, REACHED) } else { (&mut self.refused, REFUSED) }
    }

    fn note(&mut self, record: &audit::Egress) {
        self.dirty = true;
        let sent = record.denied.is_none_or(|reason| record.observed || happened_on_the_way(reason));
        let (rows, most) = self.rows(sent);
        let mut key = (record.host.clone(), record.port, record.scheme.clone());
        if !rows.contains_key(&key) && rows.len() >= most {
            key = Key::default();
        }
        let row = rows.entry(key).or_insert_with_key(|(host, port, scheme)| Reached {
            host: host.clone(),
            port: *port,
            scheme: scheme.clone(),
            ..Reached::default()
        });
        match record.denied {
            Some(_) if record.observed => row.observed += record.count,
            Some(_) if !sent => row.denied += record.count,
            _ => row.allowed += record.count,
        }
        if let Some(reason) = record.denied {
            row.reason = reason.as_str().to_owned();
        }
        row.sent += record.sent;
        row.received += record.received;
        row.last = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    }

    fn render(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for row in self.reached.values().chain(self.refused.values()) {
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
        }
        Ok(text)
    }
}

/// Reasons that come up once the host was allowed: the list needs that host.
fn happened_on_the_way(reason: DenyReason) -> bool {
    matches!(reason, DenyReason::DnsError | DenyReason::Limit | DenyReason::Tls | DenyReason::Upgrade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::audit::HeldUse;

    fn record(host: &str, denied: Option<DenyReason>, observed: bool) -> audit::Egress {
        audit::Egress {
            app: AppName::parse("a").unwrap(),
            denied,
            observed,
            credential: HeldUse::None,
            invocation_id: "i".into(),
            subject: "user:u".into(),
            host: host.to_owned(),
            raw_host: host.to_owned(),
            port: 443,
            scheme: "https".to_owned(),
            method: "GET".to_owned(),
            count: 2,
            sent: 10,
            received: 3,
        }
    }

    #[test]
    fn rows_survive_and_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppName::parse("a").unwrap();
        for expect in [2, 4] {
            let journal = Journal::open(dir.path(), &app);
            assert!(journal.note(&record("a.test", None, false)), "the first asks to be written");
            assert!(!journal.note(&record("b.test", Some(DenyReason::HostNotAllowed), true)));
            journal.note(&record("c.test", Some(DenyReason::HostNotAllowed), false));
            journal.note(&record("d.test", Some(DenyReason::Tls), false));
            journal.write().unwrap();
            let rows = read_journal(dir.path(), &app).unwrap();
            let seen: Vec<_> = rows.iter().map(|r| (r.host.as_str(), r.allowed, r.observed, r.denied)).collect();
            assert_eq!(
                seen,
                [
                    ("a.test", expect, 0, 0),
                    ("b.test", 0, expect, 0),
                    ("d.test", expect, 0, 0),
                    ("c.test", 0, 0, expect)
                ]
            );
        }
        let text = fs::read_to_string(file(dir.path(), &app)).unwrap();
        assert!(!text.contains("user:u"), "{text}");
        assert_eq!(read_journal(dir.path(), &AppName::parse("b").unwrap()).unwrap(), []);
    }

    #[test]
    fn a_flood_of_hosts_is_bounded_and_refusals_crowd_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppName::parse("a").unwrap();
        let journal = Journal::open(dir.path(), &app);
        for n in 0..3000 {
            journal.note(&record(&format!("{n}.evil.test"), Some(DenyReason::HostNotAllowed), false));
            journal.note(&record(&format!("{n}.wild.test"), None, false));
        }
        journal.write().unwrap();
        let rows = Journal::open(dir.path(), &app).lock().reached.len();
        assert_eq!(rows, REACHED + 1);
        let rows = read_journal(dir.path(), &app).unwrap();
        assert_eq!(rows.len(), REACHED + REFUSED + 2);
        assert_eq!(rows.iter().map(|row| row.allowed).sum::<u64>(), 6000);
        let rest = rows.iter().find(|row| row.host.is_empty() && row.denied > 0).unwrap();
        assert_eq!(rest.denied, (3000 - REFUSED as u64) * 2);
        assert!(fs::metadata(file(dir.path(), &app)).unwrap().len() < 300 << 10);
    }

    #[test]
    fn a_row_says_how_much_went_there_and_what_was_wrong_last() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppName::parse("a").unwrap();
        let journal = Journal::open(dir.path(), &app);
        for denied in [None, Some(DenyReason::DnsError), Some(DenyReason::Limit), Some(DenyReason::Upgrade), None] {
            journal.note(&record("a.test", denied, false));
        }
        journal.write().unwrap();
        let [row] = read_journal(dir.path(), &app).unwrap().try_into().unwrap();
        assert_eq!((row.allowed, row.denied, row.sent, row.received), (10, 0, 50, 15));
        assert_eq!(row.reason, DenyReason::Upgrade.as_str());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!((now - 60..=now).contains(&row.last), "{} is not now", row.last);
    }

    /// Whether there is something to write, and who is asked to: the first with news since it was written.
    #[test]
    fn news_is_written_once_and_asks_for_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppName::parse("a").unwrap();
        let journal = Journal::open(dir.path(), &app);
        journal.write().unwrap();
        assert!(!journal.file.exists(), "there was no news");
        for _ in 0..2 {
            assert!(journal.note(&record("a.test", None, false)));
            assert!(!journal.note(&record("a.test", None, false)));
            journal.write().unwrap();
            fs::remove_file(&journal.file).unwrap();
        }
        journal.write().unwrap();
        assert!(!journal.file.exists(), "it was written already");
    }

    #[test]
    fn a_host_that_has_a_row_keeps_it_when_there_is_no_room_for_others() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), &AppName::parse("a").unwrap());
        for n in (0..REACHED + 5).chain([3]) {
            journal.note(&record(&format!("{n}.test"), None, false));
        }
        let state = journal.lock();
        assert_eq!(state.reached.len(), REACHED + 1);
        let of = |host: &str, port, scheme: &str| state.reached[&(host.to_owned(), port, scheme.to_owned())].allowed;
        assert_eq!((of("3.test", 443, "https"), of("", 0, "")), (4, 10));
    }

    /// A file that others wrote, or that a full disk cut short, costs its rows and nothing else.
    #[test]
    fn what_is_in_the_file_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppName::parse("a").unwrap();
        let path = file(dir.path(), &app);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            &path,
            "{\"host\":\"o.test\",\"observed\":1}\n{\"host\":\"a.te\n7\n\n{\"host\":\"d.test\",\"denied\":1}\n",
        )
        .unwrap();
        let rows = read_journal(dir.path(), &app).unwrap();
        assert_eq!(rows.iter().map(|row| row.host.as_str()).collect::<Vec<_>>(), ["o.test", "d.test"]);
        let reached: Vec<bool> = rows.iter().map(Reached::was_reached).collect();
        assert_eq!(reached, [true, false], "what was only observed was sent too");

        let row = |n: usize| format!("{{\"host\":\"{n}.test\",\"allowed\":1}}\n");
        fs::write(&path, (0..2 * REACHED).map(row).collect::<String>()).unwrap();
        assert_eq!(Journal::open(dir.path(), &app).lock().reached.len(), REACHED + 1);

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        read_journal(dir.path(), &app).unwrap_err();
    }
}
