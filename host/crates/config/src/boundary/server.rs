//! What all apps share.

use super::{Comparison, listed};
use crate::path::KeyPath;
use gestalt_core::egress::{
    Action, AllowedNetwork, AuditAllowed, AuditSettings, BlockedPorts, ConnectSettings, DnsSettings, ForwardedHeaders,
    Mode, Proxy, SandboxPath, Settings,
};
use std::fmt::Display;
use std::time::Duration;

/// From the narrowest to the widest.
pub(super) const SANDBOX: [&str; 3] = ["required", "best-effort", "off"];
const ACTION: [&str; 2] = ["deny", "allow"];
const MODE: [&str; 2] = ["enforce", "observe"];
const BUILD: [&str; 3] = ["deny", "confined", "allow"];
const FORWARDED: [&str; 2] = ["strip", "pass"];
const AUDIT: [&str; 3] = ["all", "sampled", "none"];

/// A length of time, as a person would write it.
#[derive(PartialEq, PartialOrd)]
pub(super) struct Time(pub(super) Duration);

impl Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Comparison<'_> {
    /// `server`: what holds for every app, or for those that do not say it themselves.
    pub(super) fn server(&mut self) {
        let (before, after) = (&self.before.server, &self.after.server);
        let (built, builds) = (before.package_build.as_str(), after.package_build.as_str());
        let at = KeyPath::default().key("server");
        self.word(None, at.dotted("packages.build"), &BUILD, built, builds);
        if after.dev_attach && !before.dev_attach {
            self.say(None, at.dotted("dev.attachmentState"), "off", "on");
        }
        self.egress(&at.key("egress"), &before.egress, &after.egress);
    }

    fn egress(&mut self, at: &KeyPath, before: &Settings, after: &Settings) {
        let Settings {
            default_action,
            private_networks,
            mode,
            require_tls,
            allowed_networks,
            blocked_ports,
            nat64,
            forwarded_headers,
            proxy,
            ca_file,
            dns,
            audit,
            connect,
            sandbox,
            sandbox_paths,
        } = after;
        self.word(None, at.key("defaultAction"), &ACTION, action(before.default_action), action(*default_action));
        self.word(None, at.key("privateNetworks"), &ACTION, action(before.private_networks), action(*private_networks));
        self.word(None, at.key("mode"), &MODE, mode_word(before.mode), mode_word(*mode));
        self.switch(&at.key("requireTls"), before.require_tls, *require_tls, false);
        self.switch(&at.key("nat64"), before.nat64, *nat64, true);
        self.word(None, at.key("sandbox"), &SANDBOX, before.sandbox.as_str(), sandbox.as_str());
        self.paths(None, &at.key("sandboxPaths"), &before.sandbox_paths, sandbox_paths);
        self.networks(&at.key("allowedNetworks"), &before.allowed_networks, allowed_networks);
        self.blocked(&at.key("blockedPorts"), &before.blocked_ports, blocked_ports);
        let forwarded = |headers| if headers == ForwardedHeaders::Pass { "pass" } else { "strip" };
        let (was, is) = (forwarded(before.forwarded_headers), forwarded(*forwarded_headers));
        self.word(None, at.key("forwardedHeaders"), &FORWARDED, was, is);
        if let Some(was) = before.proxy.as_ref().filter(|was| proxy.as_ref() != Some(was)) {
            let now = proxy.as_ref().map_or_else(|| "no proxy at all".to_owned(), named);
            if named(was) != now {
                self.say(None, at.key("proxyUrl"), named(was), now);
            }
        }
        if let Some(file) = ca_file.as_ref().filter(|file| before.ca_file.as_ref() != Some(file)) {
            let was = before.ca_file.as_ref().map_or("the platform's roots only".to_owned(), |f| quoted(f.display()));
            self.say(None, at.key("caFile"), was, quoted(file.display()));
        }
        self.dns(&at.key("dns"), &before.dns, dns);
        let AuditSettings { max_records_per_minute: _, allowed } = audit;
        let word = |allowed| match allowed {
            AuditAllowed::All => "all",
            AuditAllowed::Sampled => "sampled",
            AuditAllowed::None => "none",
        };
        self.word(None, at.dotted("audit.allowed"), &AUDIT, word(before.audit.allowed), word(*allowed));
        self.connect(&at.key("connect"), &before.connect, connect);
    }

    /// A switch that widens when it becomes `wide`.
    fn switch(&mut self, at: &KeyPath, before: bool, after: bool, wide: bool) {
        if before != after && after == wide {
            self.say(None, at.clone(), quoted(before), quoted(after));
        }
    }

    /// What confined processes are shown.
    pub(super) fn paths(&mut self, who: Option<&str>, at: &KeyPath, before: &[SandboxPath], after: &[SandboxPath]) {
        let was = if before.is_empty() { "nothing".to_owned() } else { list(before.iter().map(|p| p.path.display())) };
        for (i, shown) in after.iter().enumerate() {
            if !before.iter().any(|known| shown.path.starts_with(&known.path)) {
                let at = self.item_at(at, i);
                self.say(who, at, &was, format!("also {}", quoted(shown.path.display())));
            }
        }
    }

    fn networks(&mut self, at: &KeyPath, before: &[AllowedNetwork], after: &[AllowedNetwork]) {
        for (i, network) in after.iter().enumerate() {
            if !network.is_within(before) {
                let port = network.port.map_or(String::new(), |port| format!(", port {port}"));
                let new = format!("also `{}`{port}", network.net);
                self.say(None, at.index(i), listed(self.before, at), new);
            }
        }
    }

    fn blocked(&mut self, at: &KeyPath, before: &BlockedPorts, after: &BlockedPorts) {
        let opened: Vec<u16> = (1..=u16::MAX).filter(|port| before.blocks(*port) && !after.blocks(*port)).collect();
        if !opened.is_empty() {
            let word = |ports: &BlockedPorts| match ports {
                BlockedPorts::Fetch => "`fetch`".to_owned(),
                BlockedPorts::None => "`none`".to_owned(),
                BlockedPorts::List(ports) => list(ports),
            };
            let now = format!("{}, which does not block {}", word(after), list(&opened));
            self.say(None, at.clone(), word(before), now);
        }
    }

    fn dns(&mut self, at: &KeyPath, before: &DnsSettings, after: &DnsSettings) {
        let DnsSettings { timeout, max_addresses, max_queries_per_minute, hosts } = after;
        self.more(None, at.key("timeout"), Time(before.timeout), Time(*timeout));
        self.more(None, at.key("maxAddresses"), before.max_addresses, *max_addresses);
        self.more(None, at.key("maxQueriesPerMinute"), before.max_queries_per_minute, *max_queries_per_minute);
        // A name that is answered from the config leads where the operator says, and nowhere else.
        for (host, was) in &before.hosts {
            let Some(addresses) = hosts.get(host) else {
                self.say(None, at.key("hosts").key(&host.to_string()), list(was), "what the name server says");
                continue;
            };
            if !addresses.iter().all(|address| was.contains(address)) {
                self.say(None, at.key("hosts").key(&host.to_string()), list(was), list(addresses));
            }
        }
    }

    fn connect(&mut self, at: &KeyPath, before: &ConnectSettings, after: &ConnectSettings) {
        let ConnectSettings { ports, idle_timeout, total_timeout, max_sent, max_received } = after;
        for (i, port) in ports.iter().enumerate().filter(|(_, port)| !before.ports.contains(port)) {
            let at = self.item_at(&at.key("ports"), i);
            self.say(None, at, list(&before.ports), format!("also {}", quoted(port)));
        }
        self.more(None, at.key("idleTimeout"), Time(before.idle_timeout), Time(*idle_timeout));
        self.more(None, at.key("totalTimeout"), Time(before.total_timeout), Time(*total_timeout));
        self.more(None, at.key("maxSent"), before.max_sent, *max_sent);
        self.more(None, at.key("maxReceived"), before.max_received, *max_received);
    }
}

fn action(action: Action) -> &'static str {
    if action == Action::Allow { "allow" } else { "deny" }
}

fn mode_word(mode: Mode) -> &'static str {
    if mode == Mode::Observe { "observe" } else { "enforce" }
}

/// A proxy without its login.
fn named(proxy: &Proxy) -> String {
    format!("`http://{}:{}`", proxy.host, proxy.port)
}

fn quoted(value: impl Display) -> String {
    format!("`{value}`")
}

/// The first of some values; there may be thousands of ports.
fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 8;
    let all: Vec<String> = values.into_iter().map(quoted).collect();
    match all.len() {
        0 => "nothing".to_owned(),
        len if len > MOST => format!("{} and {} more", all[..MOST].join(", "), len - MOST),
        _ => all.join(", "),
    }
}
