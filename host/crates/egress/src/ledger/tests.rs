use super::*;
use std::sync::mpsc;

struct Kept(Mutex<mpsc::Sender<audit::Egress>>);

impl Sink for Kept {
    fn record(&self, record: Record) {
        if let Record::Egress(record) = record {
            self.0.lock().unwrap().send(record).unwrap();
        }
    }
}

struct Unmetered;

impl Meter for Unmetered {
    fn record(&self, _: Event) {}
}

struct Desk {
    ledger: Arc<Ledger>,
    now: Arc<Mutex<Instant>>,
    records: mpsc::Receiver<audit::Egress>,
}

impl Desk {
    fn new(per_minute: u32) -> Self {
        Self::with(per_minute, None)
    }

    fn with(per_minute: u32, journal: Option<Journal>) -> Self {
        let (sender, records) = mpsc::channel();
        let now = Arc::new(Mutex::new(Instant::now()));
        let clock: Clock = Arc::new({
            let now = Arc::clone(&now);
            move || *now.lock().unwrap()
        });
        let sink = Arc::new(Kept(Mutex::new(sender)));
        let app = AppName::parse("a").unwrap();
        let settings = AuditSettings { max_records_per_minute: per_minute, allowed: AuditAllowed::All };
        Self { ledger: Arc::new(Ledger::new(app, sink, Arc::new(Unmetered), clock, settings, journal)), now, records }
    }

    fn note(&self, host: &str, denied: Option<DenyReason>) {
        self.note_at(host, 443, denied);
    }

    fn note_at(&self, host: &str, port: u16, denied: Option<DenyReason>) {
        self.ledger.note(audit::Egress { denied, ..self.record(host, port) }, None);
    }

    fn record(&self, host: &str, port: u16) -> audit::Egress {
        audit::Egress {
            app: self.ledger.app().clone(),
            denied: None,
            observed: false,
            credential: HeldUse::None,
            invocation_id: "i".into(),
            subject: "s".into(),
            host: host.to_owned(),
            raw_host: host.to_owned(),
            port,
            scheme: "https".to_owned(),
            method: "GET".to_owned(),
            count: 1,
            sent: 10,
            received: 1,
        }
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    /// Host, count and bytes sent of everything written since the last look.
    fn written(&self) -> Vec<(String, u64, u64)> {
        let written = self.records.try_iter().inspect(|r| assert_eq!(r.received, r.count, "one each"));
        let mut written: Vec<_> = written.map(|r| (r.host, r.count, r.sent)).collect();
        written.sort();
        written
    }
}

const DENIED: Option<DenyReason> = Some(DenyReason::HostNotAllowed);

#[test]
fn few_attempts_are_one_record_each() {
    let desk = Desk::new(60);
    for _ in 0..60 {
        desk.note("evil.test", DENIED);
    }
    assert_eq!(desk.written(), vec![("evil.test".to_owned(), 1, 10); 60]);
}

#[test]
fn a_flood_shares_records_and_loses_none() {
    let desk = Desk::new(4);
    for _ in 0..1000 {
        desk.note("evil.test", DENIED);
    }
    desk.note("allowed.test", None);
    assert_eq!(desk.written().len(), 4);
    desk.pass(WINDOW);
    for _ in 0..5 {
        desk.note("next.test", DENIED);
    }
    let one = |host: &str, count| (host.to_owned(), count, count * 10);
    let expect = [one("allowed.test", 1), one("evil.test", 996), one("next.test", 1), one("next.test", 1)];
    assert_eq!(desk.written(), expect, "the last minute's shared records use up this one's");
    desk.ledger.flush();
    assert_eq!(desk.written(), [one("next.test", 3)]);
}

/// Whatever an app varies: there are no more records than a minute has, half as many shared ones, and one for the rest.
#[test]
fn nothing_an_app_writes_makes_more_records() {
    type Destination = (String, u16, String);
    let vary: [fn(u16) -> Destination; 4] = [
        |n| (format!("{n}.evil.test"), 443, "https".to_owned()),
        |n| ("evil.test".to_owned(), n, "https".to_owned()),
        |n| (String::new(), 443, format!("s{n}")),
        |n| (format!("{n}.evil.test"), n, format!("s{n}")),
    ];
    for vary in vary {
        let desk = Desk::new(4);
        for (host, port, scheme) in (0..1000).map(vary) {
            desk.ledger.note(audit::Egress { denied: DENIED, scheme, ..desk.record(&host, port) }, None);
        }
        desk.ledger.flush();
        let mut records: Vec<_> = desk.records.try_iter().collect();
        assert_eq!(records.len(), 4 + 2 + 1);
        records.sort_by_key(|record| record.count);
        let rest = records.pop().unwrap();
        assert_eq!((rest.count, rest.sent, rest.received, rest.port), (994, 9940, 994, 0));
        assert_eq!([rest.host, rest.raw_host, rest.scheme, rest.method], [""; 4]);
    }
}

#[test]
fn what_goes_to_another_port_has_a_record_of_its_own() {
    let desk = Desk::new(8);
    for port in [443, 443, 443, 443, 8443, 443, 443, 443] {
        desk.note_at("allowed.test", port, None);
    }
    assert_eq!(desk.records.try_iter().count(), 8);
    for port in [443, 8443, 443, 1, 2, 3, 4] {
        desk.note_at("allowed.test", port, None);
    }
    desk.ledger.flush();
    let mut shared: Vec<_> = desk.records.try_iter().map(|r| (r.port, r.count, r.host, r.scheme, r.method)).collect();
    shared.sort();
    let row = |port, count| (port, count, "allowed.test".to_owned(), "https".to_owned(), "GET".to_owned());
    let rest = (0, 2, String::new(), String::new(), String::new());
    assert_eq!(shared, [rest, row(1, 1), row(2, 1), row(443, 2), row(8443, 1)]);
}

#[test]
fn nothing_is_lost_when_the_app_goes_away() {
    let desk = Desk::new(1);
    for _ in 0..3 {
        desk.note("evil.test", DENIED);
    }
    let Desk { ledger, records, .. } = desk;
    drop(ledger);
    assert_eq!(records.iter().map(|record| record.count).sum::<u64>(), 3);
}

/// A minute that began while the last one's end was waited for ends when it is over, too.
#[tokio::test(start_paused = true)]
async fn the_next_minutes_shared_records_are_waited_for() {
    let desk = Desk::new(2);
    let minute = || async {
        tokio::task::yield_now().await;
        tokio::time::advance(WINDOW + Duration::from_millis(1)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..3 {
        desk.note("first.test", DENIED);
    }
    desk.pass(WINDOW);
    for _ in 0..3 {
        desk.note("second.test", DENIED);
    }
    let row = |host: &str, count| (host.to_owned(), count, count * 10);
    assert_eq!(desk.written(), [vec![row("first.test", 1); 3], vec![row("second.test", 1)]].concat());
    minute().await;
    assert_eq!(desk.written(), [], "this minute is not over");
    desk.pass(WINDOW);
    minute().await;
    assert_eq!(desk.written(), [row("second.test", 2)]);
    minute().await;
    assert!(!desk.ledger.lock().timer, "nobody waits where there is nothing to write");
}

/// News is written on its own, once for all that came within the delay, and again when more comes.
#[tokio::test(start_paused = true)]
async fn the_journal_is_written_a_little_later() {
    let dir = tempfile::tempdir().unwrap();
    let app = AppName::parse("a").unwrap();
    let desk = Desk::with(60, Some(Journal::open(dir.path(), &app)));
    for expect in [2, 4] {
        desk.note("a.test", None);
        desk.note("a.test", None);
        let written = || crate::read_journal(dir.path(), &app).unwrap().first().map_or(0, |row| row.allowed);
        assert_eq!(written(), expect - 2);
        tokio::task::yield_now().await;
        tokio::time::advance(DELAY).await;
        // A thread writes it, which no clock of the runtime hurries.
        let patience = Instant::now() + Duration::from_secs(10);
        while written() != expect {
            assert!(Instant::now() < patience, "not written");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shared_records_are_written_when_the_minute_is_over() {
    let desk = Desk::new(2);
    for _ in 0..4 {
        desk.note("evil.test", DENIED);
    }
    assert_eq!(desk.written().len(), 2);
    // Lets the task start to wait before time goes on.
    tokio::task::yield_now().await;
    desk.pass(WINDOW);
    tokio::time::advance(WINDOW + Duration::from_millis(1)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.written(), [("evil.test".to_owned(), 2, 20)]);
    assert!(!desk.ledger.lock().timer);
}
