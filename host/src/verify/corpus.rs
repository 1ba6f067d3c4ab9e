//! The attempts. Ids are those of the threat model's catalogue; the attempts are made to fit the rules they are tried on.

use super::subject::{Policy, Subject};
use gestalt_core::egress::{Action, BlockedPorts};
use gestalt_core::host::{Host, HostPattern};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

/// The hostile component, as `make corpus` builds it. It is committed: whoever builds the daemon from a checkout or from a
/// crate needs no second toolchain. The suffix keeps it from the rule that ignores what builds leave behind, and the
/// digest of its source inside of it from growing old.
pub const COMPONENT: &[u8] = include_bytes!("corpus.component");

/// What has to come of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Refused by the types or as an invalid request. Nobody is asked or connected to.
    Invalid,
    /// The guest hears `error`, the record says `reason`. Nobody is asked or connected to.
    Denied {
        /// A wasi:http error code.
        error: &'static str,
        /// An audit reason.
        reason: &'static str,
    },
    /// The same after one lookup.
    Prohibited,
    /// Arrives where it should, with this `Host`, and is answered with this status.
    Reached {
        /// What the server is told.
        host: String,
        /// What the guest is told.
        status: u16,
    },
    /// The server is connected to, and hears nothing in the clear.
    Encrypted,
    /// The guest hears an error. Nobody is asked or connected to, and there is nothing to record.
    Nothing,
    /// The guest reports just this.
    Report(Value),
    /// The guest is refused more, or the call ends by a limit: by which one depends on how busy the machine is.
    Bounded,
    /// The call ends by this limit of the app's, or as a failure of the app when it is empty.
    Stopped(&'static str),
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Row {
    /// As in the catalogue.
    pub id: &'static str,
    /// What is tried, in a few words.
    pub attack: &'static str,
    /// The parameters of the guest's one operation.
    pub attempt: Value,
    /// What names lead to, one list per lookup.
    pub names: Vec<(String, Vec<Vec<IpAddr>>)>,
    /// What has to come of it.
    pub expect: Expect,
}

/// Where the trial's listeners are.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// What may be reached: the one address the trial lifts.
    pub open: SocketAddr,
    /// What may not.
    pub closed: SocketAddr,
    /// The trial's own daemon.
    pub own: SocketAddr,
}

/// Names that nobody owns (RFC 6761): one of them is on no list.
const NOBODYS: [&str; 3] = ["verify-egress.invalid", "verify-egress.test", "verify-egress.example"];

const DENIED: &str = "HttpRequestDenied";

/// Collects rows.
struct Rows<'a> {
    subject: &'a Subject,
    places: Places,
    rows: Vec<Row>,
}

/// The corpus for a subject.
pub fn rows(subject: &Subject, places: Places) -> Vec<Row> {
    let mut rows = Rows { subject, places, rows: Vec::new() };
    rows.unlisted();
    if let Some(name) = allowed_name(subject) {
        rows.allowed(&name);
        rows.misspelled(&name);
        rows.misframed(&name);
        rows.misleading(&name);
    }
    rows.addresses();
    rows.own_doors();
    rows.ambient();
    rows.exhausting();
    rows.rows
}

/// A name the rules allow, if they allow any.
pub(super) fn allowed_name(subject: &Subject) -> Option<String> {
    let name = |pattern: HostPattern| match pattern {
        HostPattern::Exact(host @ Host::Name(_)) if !host.is_localhost() => Some(host.to_string()),
        HostPattern::Exact(_) => None,
        HostPattern::Below(suffix) if suffix.ends_with(".localhost") => None,
        HostPattern::Below(suffix) => Some(format!("verify-egress{suffix}")),
    };
    match subject.policy() {
        Policy::Listed => subject.patterns().into_iter().find_map(name),
        Policy::Nothing => None,
        Policy::Open => Some(NOBODYS[0].to_owned()),
    }
}

/// A name the rules do not allow, if there is one.
pub(super) fn unlisted_name(subject: &Subject) -> Option<&'static str> {
    if subject.policy() == Policy::Open {
        return None;
    }
    NOBODYS.into_iter().find(|name| !subject.allows(name))
}

fn get(authority: &str) -> Value {
    json!({"act": "http", "scheme": "http", "authority": authority, "path": "/ok"})
}

fn with(mut attempt: Value, name: &str, value: Value) -> Value {
    attempt[name] = value;
    attempt
}

fn header(authority: &str, name: &str, value: &str) -> Value {
    with(get(authority), "headers", json!([[name, value]]))
}

impl Rows<'_> {
    fn push(&mut self, id: &'static str, attack: &'static str, attempt: Value, expect: Expect) {
        self.rows.push(Row { id, attack, attempt, names: Vec::new(), expect });
    }

    /// With `name` leading to `answers`.
    fn named(
        &mut self,
        row: (&'static str, &'static str),
        name: &str,
        answers: &[&[IpAddr]],
        attempt: Value,
        expect: Expect,
    ) {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        let names = vec![(name.to_lowercase(), answers)];
        self.rows.push(Row { id: row.0, attack: row.1, attempt, names, expect });
    }

    /// What is not on the list.
    fn unlisted(&mut self) {
        let Some(name) = unlisted_name(self.subject) else { return };
        let reason = if self.subject.policy() == Policy::Nothing { "default_deny" } else { "host_not_allowed" };
        let denied = Expect::Denied { error: DENIED, reason };
        self.push("A02", "a name that is not listed", get(name), denied.clone());
        self.push("D01", "data in the labels of such a name", get(&format!("c2VjcmV0.{name}")), denied.clone());
        for (id, attack, host) in [
            ("A16", "the metadata service by its address", "169.254.169.254"),
            ("A16", "loopback by its address", "127.0.0.1"),
            ("A19", "loopback by its IPv6 address", "[::1]"),
            ("A31", "loopback by its name", "localhost"),
            ("E05", "a name inside of a platform", "metadata.google.internal"),
        ] {
            if !self.subject.allows(host) {
                let authority = format!("{host}:{}", self.places.closed.port());
                self.push(id, attack, get(&authority), denied.clone());
            }
        }
        for pattern in self.subject.patterns() {
            let lookalikes = match &pattern {
                HostPattern::Exact(host @ Host::Name(_)) => vec![
                    ("A12", "a name that begins as a listed one", format!("{host}.{name}")),
                    ("A12", "a name that ends as a listed one", format!("evil{host}")),
                ],
                HostPattern::Exact(_) => Vec::new(),
                HostPattern::Below(suffix) => vec![
                    ("A09", "the name a wildcard stands under", suffix.trim_start_matches('.').to_owned()),
                    ("A12", "a wildcard without its dot", format!("evil{}", suffix.trim_start_matches('.'))),
                ],
            };
            for (id, attack, host) in lookalikes {
                // One that is listed by another entry is none.
                if Host::parse(&host).is_ok() && !self.subject.allows(&host) {
                    self.push(id, attack, get(&host), denied.clone());
                }
            }
        }
    }

    /// That the trial can tell an open door from a closed one.
    fn allowed(&mut self, name: &str) {
        let (open, ip) = (self.places.open, self.places.open.ip());
        let at = |host: &str| format!("{host}:{}", open.port());
        let requires_tls = self.subject.rules().require_tls || self.subject.deployment.server.egress.require_tls;
        if requires_tls {
            let denied = Expect::Denied { error: DENIED, reason: "scheme_invalid" };
            self.push("B07", "in the clear, where TLS is required", get(&at(name)), denied);
        } else {
            let reached = |status| Expect::Reached { host: at(name), status };
            self.named(("A01", "control: a listed name is reached"), name, &[&[ip]], get(&at(name)), reached(200));
            let upper = get(&at(&name.to_uppercase()));
            self.named(("A06", "in capitals: one host, one spelling"), name, &[&[ip]], upper, reached(200));
            let redirect = with(get(&at(name)), "path", json!("/redirect"));
            self.named(("E01", "a redirect is not followed"), name, &[&[ip]], redirect, reached(302));
            let twice = [&[ip][..], &[IpAddr::from([10, 0, 0, 1])]];
            self.named(("D04", "a second answer is not asked for"), name, &twice, get(&at(name)), reached(200));
            let forwarded = header(&at(name), "X-Forwarded-Host", "evil.invalid");
            self.named(("C11", "in the name of a proxy"), name, &[&[ip]], forwarded, reached(200));
        }
        let https = with(get(&at(name)), "scheme", json!("https"));
        self.named(("D14", "TLS is not given up"), name, &[&[ip]], https, Expect::Encrypted);
    }

    /// Spellings of which there is none that is right.
    fn misspelled(&mut self, name: &str) {
        for (id, attack, host) in [
            ("A08", "an empty label", format!("{name}..")),
            ("A17", "an address as one number", "2130706433".into()),
            ("A17", "an address in octal", "0177.0.0.1".into()),
            ("A18", "an address with a final dot", "127.0.0.1.".into()),
            ("A20", "an IPv4 address inside of an IPv6 one", "[::ffff:127.0.0.1]".into()),
            ("A21", "a zone that ends as a listed name", format!("[::1%25.{name}]")),
            ("A21", "a zone around an IPv4 address", format!("[::ffff:127.0.0.1%25.{name}]")),
            ("A23", "a user before the host", format!("{name}@127.0.0.1")),
            ("A24", "a zero byte in the name", format!("evil.invalid\0.{name}")),
            ("A24", "a backslash in the name", format!("evil.invalid\\.{name}")),
            ("A24", "percent signs in the name", format!("%00.{name}")),
            ("A25", "a letter that looks like another", format!("\u{430}.{name}")),
            ("B02", "a port that is no number", format!("{name}:+80")),
            ("B02", "a port that is too large", format!("{name}:65616")),
        ] {
            self.push(id, attack, get(&host), Expect::Invalid);
        }
    }

    /// Requests that would be read in two ways.
    fn misframed(&mut self, name: &str) {
        for (id, attack, attempt) in [
            ("B04", "a scheme that is not HTTP", with(get(name), "scheme", json!("ftp"))),
            ("B05", "a tunnel", with(get(name), "method", json!("CONNECT"))),
            ("B09", "a change of protocol", header(name, "Upgrade", "websocket")),
            ("C01", "a host of the guest's own", header(name, "Host", "evil.invalid")),
            ("C03", "a framing of the guest's own", header(name, "Transfer-Encoding", "chunked")),
            ("C04", "a length with two readings", header(name, "Content-Length", "+5")),
            ("C09", "an address for a path", with(get(name), "path", json!("http://evil.invalid/"))),
            ("C10", "a line in a header", header(name, "X", "a\r\nHost: evil.invalid")),
            ("C15", "credentials for a proxy", header(name, "Proxy-Authorization", "Basic eDp5")),
        ] {
            self.push(id, attack, attempt, Expect::Invalid);
        }
        if matches!(self.subject.deployment.server.egress.blocked_ports, BlockedPorts::Fetch) {
            let blocked = Expect::Denied { error: DENIED, reason: "port_blocked" };
            self.push("B03", "a port of another protocol", get(&format!("{name}:25")), blocked);
        }
    }

    /// A listed name that leads somewhere else. Only where a list is: without one, private addresses are open. And only
    /// where the list is enforced: for an app that is observed the requests would really go to those addresses.
    fn misleading(&mut self, name: &str) {
        if self.subject.observes() {
            return;
        }
        let settings = &self.subject.deployment.server.egress;
        let listed = self.subject.policy() == Policy::Listed;
        let (closed, good) = (self.places.closed, self.places.open.ip());
        let open_private = settings.private_networks == Action::Allow || !listed;
        let mut bad: Vec<(&'static str, IpAddr, bool)> = vec![
            ("a name that leads to loopback", closed.ip(), !listed),
            ("a name that leads to the metadata service", IpAddr::from([169, 254, 169, 254]), false),
            ("a name that leads to the office", IpAddr::from([10, 0, 0, 1]), open_private),
            ("a name that leads to everywhere", IpAddr::from([255, 255, 255, 255]), false),
        ];
        for (text, open) in
            [("::1", !listed), ("fd00:ec2::254", false), ("64:ff9b::7f00:1", !listed), ("fe80::1", false)]
        {
            if let Ok(ip) = text.parse() {
                bad.push(("a name that leads to a special IPv6 address", ip, open));
            }
        }
        let lifted = |ip: IpAddr| settings.allowed_networks.iter().any(|network| network.covers(ip, closed.port()));
        bad.retain(|(_, ip, open)| !open && !lifted(*ip));
        let attempt = get(&format!("{name}:{}", closed.port()));
        for (attack, ip, _) in &bad {
            self.named(("D02", *attack), name, &[&[*ip]], attempt.clone(), Expect::Prohibited);
        }
        if let Some((_, ip, _)) = bad.first() {
            let mixed: &[&[IpAddr]] = &[&[good, *ip]];
            self.named(("D03", "good and bad addresses in one answer"), name, mixed, attempt, Expect::Prohibited);
        }
    }

    /// Addresses that are out of reach also where nothing is listed.
    fn addresses(&mut self) {
        if self.subject.policy() == Policy::Open {
            let prohibited = Expect::Denied { error: "DestinationIpProhibited", reason: "address_prohibited" };
            for host in ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]"] {
                self.push("A04", "metadata and link-local, with nothing listed", get(host), prohibited.clone());
            }
        }
    }

    /// The daemon's own listeners.
    fn own_doors(&mut self) {
        let own = self.places.own;
        let reachable = self.subject.policy() == Policy::Open || self.subject.allows(&own.ip().to_string());
        if reachable {
            let own_door = Expect::Denied { error: "DestinationIpProhibited", reason: "self_listener" };
            self.push("F10", "the daemon's own door", get(&own.to_string()), own_door);
        }
    }

    /// What a process has.
    fn ambient(&mut self) {
        let closed = self.places.closed.to_string();
        for (id, attack, attempt) in [
            ("F01", "a TCP connection", json!({"act": "tcp", "address": closed})),
            ("F01", "a TCP listener", json!({"act": "listen", "address": "127.0.0.1:0"})),
            ("F01", "a datagram", json!({"act": "udp", "address": closed})),
            ("F02", "a lookup", json!({"act": "lookup", "address": "c2VjcmV0.verify-egress.invalid:80"})),
        ] {
            let denied = Expect::Denied { error: "PermissionDenied", reason: "scheme_invalid" };
            self.push(id, attack, attempt, denied);
        }
        for (id, attack, attempt) in [
            ("F03", "a file", json!({"act": "read", "path": "/etc/passwd"})),
            ("F03", "a directory", json!({"act": "list", "path": "/"})),
            ("F03", "a new file", json!({"act": "write", "path": "/tmp/verify-egress"})),
            ("F11", "a cache nobody bound to it", json!({"act": "service", "service": "cache", "binding": "other"})),
            ("F11", "a store nobody bound to it", json!({"act": "service", "service": "s3", "binding": "other"})),
        ] {
            self.push(id, attack, attempt, Expect::Nothing);
        }
        let empty = json!({"vars": {}, "args": [], "directory": "/", "stdin": "0 bytes"});
        self.push("F04", "environment, arguments, input", json!({"act": "process"}), Expect::Report(empty));
    }

    /// More than its share.
    fn exhausting(&mut self) {
        for (id, attack, attempt, limit) in [
            ("F07", "the end of the process", json!({"act": "exit", "code": 3}), ""),
            ("G05", "a stack without end", json!({"act": "recurse"}), "stack"),
            ("G07", "handles without end", json!({"act": "handles", "kind": "fields", "count": u32::MAX}), "handles"),
            ("G09", "sleep", json!({"act": "sleep", "millis": 3_600_000}), "timed out"),
            ("H04", "a panic", json!({"act": "panic"}), ""),
            ("H12", "an answer without end", json!({"act": "answer", "kind": "huge", "bytes": 32 << 20}), "limit"),
        ] {
            self.push(id, attack, attempt, Expect::Stopped(limit));
        }
        self.push("G01", "an endless loop", json!({"act": "loop"}), Expect::Bounded);
        self.push("G03", "memory without end", json!({"act": "allocate", "bytes": u32::MAX}), Expect::Bounded);
    }
}
