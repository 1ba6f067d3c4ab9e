//! Whatever two sets of rules say: if the daemon sends something under the second and not under the first, a widening is
//! told; and if they are the same rules in other words, none is.

use super::Place;
use async_trait::async_trait;
use gestalt_config::Deployment;
use gestalt_core::AppName;
use gestalt_egress::{Question, Resolver, SelfListeners, Verdict};
use http::Method;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Hosts that are asked for and listed, each name with the spelling that means the same.
const HOSTS: [&str; 8] =
    ["a.test", "x.a.test", "y.x.a.test", "b.test", "localhost", "10.0.0.1", "169.254.169.254", "93.184.216.34"];
const PATTERNS: [&str; 9] = [
    "a.test",
    "*.a.test",
    "*.x.a.test",
    "x.a.test",
    "b.test",
    "localhost",
    "10.0.0.1",
    "169.254.169.254",
    "93.184.216.34",
];
const ADDRESSES: [&str; 7] =
    ["93.184.216.34", "10.0.0.1", "10.200.0.1", "169.254.169.254", "127.0.0.1", "64:ff9b::5db8:d822", "64:ff9b::a00:1"];
const PORTS: [u16; 4] = [25, 443, 6379, 8443];
const NETWORKS: [&str; 6] =
    ["10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/8", "10.0.0.0/8:443", "169.254.0.0/16", "127.0.0.1/32:8443"];

/// What two readings differ in.
#[derive(Clone, Debug)]
struct Said {
    default_deny: Option<bool>,
    private: Option<bool>,
    networks: Vec<&'static str>,
    ports: Option<&'static str>,
    nat64: Option<bool>,
    pinned: Option<&'static str>,
    server: Way,
    app: Way,
    listed: Option<Vec<&'static str>>,
}

/// What may be said for all, and for one app.
#[derive(Clone, Debug)]
struct Way {
    observe: Option<bool>,
    tls: Option<bool>,
}

fn way() -> impl Strategy<Value = Way> {
    (option::of(any::<bool>()), option::of(any::<bool>())).prop_map(|(observe, tls)| Way { observe, tls })
}

fn said() -> impl Strategy<Value = Said> {
    let shared = (option::of(any::<bool>()), option::of(any::<bool>()), subsequence(NETWORKS.to_vec(), 0..=2));
    let ports = option::of(select(vec!["fetch", "none", "[25]", "[443, 8443]"]));
    let rest = (ports, option::of(any::<bool>()), option::of(select(ADDRESSES.to_vec())));
    let own = (way(), way(), option::of(subsequence(PATTERNS.to_vec(), 0..=3)));
    (shared, rest, own).prop_map(
        |((default_deny, private, networks), (ports, nat64, pinned), (server, app, listed))| Said {
            default_deny,
            private,
            networks,
            ports,
            nat64,
            pinned,
            server,
            app,
            listed,
        },
    )
}

/// Nothing, a null, or the value.
fn key(out: &mut Vec<String>, key: &str, value: Option<String>, spell: bool) {
    match value {
        Some(value) => out.push(format!("{key}: {value}")),
        None if spell => out.push(format!("{key}: null")),
        None => {}
    }
}

impl Said {
    /// As a config; with `spell`, with every default and every null written out, and lists turned round and doubled.
    fn write(&self, spell: bool) -> String {
        let action = |deny: bool| (if deny { "deny" } else { "allow" }).to_owned();
        let mode = |observe: bool| (if observe { "observe" } else { "enforce" }).to_owned();
        let mut shared = Vec::new();
        key(&mut shared, "defaultAction", self.default_deny.or(spell.then_some(false)).map(action), spell);
        key(&mut shared, "privateNetworks", self.private.map(|allow| action(!allow)), spell);
        key(&mut shared, "blockedPorts", self.ports.or(spell.then_some("fetch")).map(str::to_owned), spell);
        key(&mut shared, "nat64", self.nat64.or(spell.then_some(false)).map(|on| on.to_string()), spell);
        key(&mut shared, "dns", self.pinned.map(|ip| format!("{{hosts: {{b.test: '{ip}'}}}}")), spell);
        key(&mut shared, "mode", self.server.observe.map(mode), spell);
        key(&mut shared, "requireTls", self.server.tls.map(|on| on.to_string()), spell);
        let mut networks = self.networks.clone();
        if spell {
            networks.reverse();
        }
        shared.push(format!("allowedNetworks: ['{}']", networks.join("', '")).replace("['']", "[]"));
        let mut own = Vec::new();
        // What is inherited and what is said again are the same.
        let (observe, tls) = match spell {
            true => (self.app.observe.or(self.server.observe), self.app.tls.or(self.server.tls)),
            false => (self.app.observe, self.app.tls),
        };
        key(&mut own, "mode", observe.map(mode), spell);
        key(&mut own, "requireTls", tls.map(|on| on.to_string()), spell);
        let listed = self.listed.clone().map(|mut list| {
            if spell {
                list.reverse();
                list.extend(list.clone());
            }
            let spelled = |host: &&str| match spell && host.ends_with(".test") {
                true => format!("'{}.'", host.to_uppercase()),
                false => format!("'{host}'"),
            };
            format!("[{}]", list.iter().map(spelled).collect::<Vec<_>>().join(", "))
        });
        key(&mut own, "allowedHosts", listed, spell);
        format!(
            "server: {{encryptionKey: k, egress: {{{}}}}}\napps: {{a: {{source: pkg, egress: {{{}}}}}}}\n",
            shared.join(", "),
            own.join(", ")
        )
    }
}

/// Answers every question with one address.
struct Always(IpAddr);

#[async_trait]
impl Resolver for Always {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![self.0])
    }
}

/// Every request that is sent under these rules, and where to.
async fn sent(deployment: &Deployment) -> Vec<String> {
    let app = AppName::parse("a").unwrap();
    let rules = &deployment.apps[&app].egress;
    let mut sent = Vec::new();
    for address in ADDRESSES {
        let question = Question {
            settings: &deployment.server.egress,
            app: &app,
            rules,
            listeners: Arc::new(SelfListeners::default()),
            resolver: Some(Arc::new(Always(address.parse().unwrap()))),
        };
        for host in HOSTS {
            for port in PORTS {
                for scheme in ["http", "https"] {
                    let url = format!("{scheme}://{host}:{port}/");
                    let explained = question.explain(&Method::GET, &url).await;
                    if matches!(explained.verdict, Verdict::Pass | Verdict::Observe) {
                        // A name that is pinned leads where the config says.
                        let to = explained.steps.iter().find(|step| step.step == "addresses").unwrap();
                        sent.push(format!("{url} at {}", to.detail.split(' ').next().unwrap()));
                    }
                }
            }
        }
    }
    sent
}

fn reading(place: &Place, text: &str) -> Deployment {
    place.load(&[place.write("config.yaml", text)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_and_was_not_is_told(before in said(), after in said(), changed in vec(any::<bool>(), 9)) {
        // Most of the time the two have most in common, so that one change is not hidden by another.
        let mut mixed = before.clone();
        let [default, private, networks, ports, nat64, pinned, server, app, listed] = changed[..] else { unreachable!() };
        if default { mixed.default_deny = after.default_deny }
        if private { mixed.private = after.private }
        if networks { mixed.networks = after.networks.clone() }
        if ports { mixed.ports = after.ports }
        if nat64 { mixed.nat64 = after.nat64 }
        if pinned { mixed.pinned = after.pinned }
        if server { mixed.server = after.server.clone() }
        if app { mixed.app = after.app.clone() }
        if listed { mixed.listed = after.listed.clone() }
        let place = Place::new();
        let (old, new) = (reading(&place, &before.write(false)), reading(&place, &mixed.write(false)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (was, is) = runtime.block_on(async { (sent(&old).await, sent(&new).await) });
        let more: Vec<&String> = is.iter().filter(|request| !was.contains(request)).collect();
        let told = new.widened_since(&old);
        prop_assert!(more.is_empty() || !told.is_empty(), "{more:?}\n{}\n{}", before.write(false), mixed.write(false));
    }

    #[test]
    fn the_same_in_other_words_is_nothing(said in said()) {
        let place = Place::new();
        let (plain, spelled) = (reading(&place, &said.write(false)), reading(&place, &said.write(true)));
        prop_assert_eq!(plain.widened_since(&spelled), [], "{}\n{}", said.write(true), said.write(false));
        prop_assert_eq!(spelled.widened_since(&plain), [], "{}\n{}", said.write(false), said.write(true));
    }
}
