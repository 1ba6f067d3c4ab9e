//! What a later file, or a later reading, lets apps do that they could not do before: a row for each key and each way of
//! writing it.

mod decided;

use crate::fixture::Vars;
use gestalt_config::{Deployment, Mode, load};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const HEAD: &str = "apiVersion: gestaltd.config/v6\n";

/// A directory with the package and the files that rows name.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("pkg")).unwrap();
        std::fs::write(dir.path().join("pkg/manifest.yaml"), "").unwrap();
        std::fs::write(dir.path().join("roots.pem"), "").unwrap();
        std::fs::write(dir.path().join("other.pem"), "").unwrap();
        Self(dir)
    }

    fn write(&self, name: &str, body: &str) -> PathBuf {
        let file = self.0.path().join(name);
        std::fs::write(&file, format!("{HEAD}{body}")).unwrap();
        file
    }

    fn load(&self, files: &[PathBuf]) -> Deployment {
        self.load_as(Mode::Lenient, files)
    }

    fn load_as(&self, mode: Mode, files: &[PathBuf]) -> Deployment {
        let env = Vars { vars: HashMap::new(), dir: self.0.path().to_owned() };
        load(files, mode, &env).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The keys that an overlay widens, each with the line of the overlay that is named.
    fn overlay(&self, base: &str, over: &str) -> Vec<String> {
        let (base, over) = (self.write("base.yaml", base), self.write("over.yaml", over));
        let deployment = self.load(&[base, over]);
        let widened = deployment.warnings.iter().filter(|warning| warning.message.starts_with("POLICY_WIDENED"));
        widened.map(|warning| format!("{}@{}", warning.path, name(&warning.at.file))).collect()
    }

    /// The keys that a later reading widens.
    fn reading(&self, before: &str, after: &str) -> Vec<String> {
        let before = self.load(&[self.write("config.yaml", before)]);
        let after = self.load(&[self.write("config.yaml", after)]);
        after.widened_since(&before).into_iter().map(|widened| widened.key).collect()
    }
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

/// Rows of what an app's entry holds before and after, and the keys that are wider after; with `server` in it, what
/// `server.egress` holds.
const APP: &[(&str, &str, &[&str])] = &[
    // The list, gained or lost in every form.
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: [a.test, b.test]}", &["egress.allowedHosts[1]"]),
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: [b.test]}", &["egress.allowedHosts[0]"]),
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: ['*.a.test']}", &["egress.allowedHosts[0]"]),
    ("egress: {allowedHosts: ['*.b.a.test']}", "egress: {allowedHosts: ['*.a.test']}", &["egress.allowedHosts[0]"]),
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: []}", &["egress.allowedHosts"]),
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: null}", &["egress.allowedHosts"]),
    ("egress: {allowedHosts: [a.test]}", "egress: {}", &["egress.allowedHosts"]),
    ("egress: {allowedHosts: [a.test]}", "egress: null", &["egress.allowedHosts"]),
    ("egress: {allowedHosts: [a.test]}", "", &["egress.allowedHosts"]),
    // What is open gains a link-local address by listing it, and nothing else.
    ("", "egress: {allowedHosts: [169.254.169.254, a.test]}", &["egress.allowedHosts[0]"]),
    ("egress: {mode: observe}", "egress: {allowedHosts: [169.254.169.254]}", &["egress.allowedHosts[0]"]),
    // The mode.
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: [a.test], mode: observe}", &["egress.mode"]),
    ("egress: {requireTls: true}", "egress: {requireTls: true, mode: observe}", &["egress.mode"]),
    ("egress: {requireTls: true}", "egress: {requireTls: false}", &["egress.requireTls"]),
    ("egress: {requireTls: true}", "egress: {requireTls: null}", &["egress.requireTls"]),
    ("egress: {requireTls: true}", "egress: {}", &["egress.requireTls"]),
    ("egress: {requireTls: true}", "", &["egress.requireTls"]),
    // The sandbox.
    ("egress: {sandbox: required}", "egress: {sandbox: best-effort}", &["egress.sandbox"]),
    ("egress: {sandbox: required}", "egress: {sandbox: off}", &["egress.sandbox"]),
    ("egress: {sandbox: best-effort}", "egress: {sandbox: off}", &["egress.sandbox"]),
    ("", "egress: {sandbox: off}", &["egress.sandbox"]),
    ("egress: {sandbox: required}", "egress: {sandbox: null}", &["egress.sandbox"]),
    ("egress: {sandbox: required}", "egress: {}", &["egress.sandbox"]),
    ("egress: {sandbox: required}", "", &["egress.sandbox"]),
    ("", "egress: {sandboxPaths: [/opt]}", &["egress.sandboxPaths[0]"]),
    ("egress: {sandboxPaths: [/opt/a]}", "egress: {sandboxPaths: [/opt]}", &["egress.sandboxPaths[0]"]),
    ("egress: {sandboxPaths: [/opt/a]}", "egress: {sandboxPaths: [/opt/ab]}", &["egress.sandboxPaths[0]"]),
    // Credentials.
    (
        "egress: {allowedHosts: [a.test, b.test]}",
        "egress: {allowedHosts: [a.test, b.test], credentials: [{header: X-Key, hosts: [a.test], env: K, value: long-enough}]}",
        &["egress.credentials[0]"],
    ),
    (
        "egress: {allowedHosts: [a.test, b.test], credentials: [{header: X-Key, hosts: [a.test], env: K, value: long-enough}]}",
        "egress: {allowedHosts: [a.test, b.test], credentials: [{header: X-Key, hosts: [a.test, b.test], env: K, value: another-one}]}",
        &["egress.credentials[0].hosts[1]"],
    ),
    (
        "egress: {allowedHosts: [a.test], credentials: [{header: X-Key, hosts: [a.test], env: K, value: long-enough}]}",
        "egress: {allowedHosts: [a.test], credentials: [{header: X-Other, hosts: [a.test], env: K, value: long-enough}]}",
        &["egress.credentials[0]"],
    ),
    (
        "egress: {allowedHosts: [a.test], credentials: [{header: X-Key, hosts: [a.test], env: K, value: long-enough, format: 'Bearer {}'}]}",
        "egress: {allowedHosts: [a.test], credentials: [{header: X-Key, hosts: [a.test], env: K, value: long-enough}]}",
        &["egress.credentials[0].format"],
    ),
    // Calls.
    ("", "invokes: [{app: other, operation: x}]", &["invokes[0]"]),
    ("invokes: [{app: other, operation: x}]", "invokes: [{app: other, operation: y}]", &["invokes[0]"]),
    ("invokes: [{app: other, operation: x}]", "invokes: [{app: other, surface: graphql}]", &["invokes[0]"]),
    (
        "invokes: [{app: other, operation: x}]",
        "invokes: [{app: other, operation: x, runAs: {subject: {id: 'service_account:s'}}}]",
        &["invokes[0].runAs"],
    ),
    (
        "invokes: [{app: other, operation: x, credentialMode: none}]",
        "invokes: [{app: other, operation: x}]",
        &["invokes[0].credentialMode"],
    ),
    // Where it runs.
    ("runtime: {provider: wasm}", "runtime: {provider: here}", &["runtime.provider"]),
    ("runtime: {provider: wasm}", "runtime: null", &["runtime"]),
    ("runtime: {provider: wasm}", "", &["runtime"]),
    ("", "runtime: {provider: here}", &["runtime.provider"]),
    ("runtime: {provider: wasm}", "runtime: {provider: wasm, template: roomy}", &["runtime.template"]),
    // Connections, operations and databases.
    ("", "connections: {up: {ref: up}}", &["connections.up"]),
    ("connections: {up: {ref: up}}", "connections: {up: {ref: wide}}", &["connections.up"]),
    ("allowedOperations: {x: {}}", "allowedOperations: {x: {}, y: {}}", &["allowedOperations.y"]),
    ("allowedOperations: {x: {}}", "allowedOperations: null", &["allowedOperations"]),
    ("allowedOperations: {x: {}}", "", &["allowedOperations"]),
    ("authorizationPolicy: staff", "", &["authorizationPolicy"]),
    ("indexeddb: {db: mine}", "indexeddb: {db: theirs}", &["indexeddb"]),
    ("indexeddb: {db: mine}", "", &["indexeddb"]),
    ("indexeddb: {objectStores: [s]}", "indexeddb: {objectStores: [s, t]}", &["indexeddb.objectStores[1]"]),
    ("indexeddb: {objectStores: [s]}", "indexeddb: {}", &["indexeddb.objectStores"]),
    ("", "cache: [c]", &["cache[0]"]),
    ("", "s3: [o]", &["s3[0]"]),
    // The same, or less.
    ("", "egress: {mode: enforce, requireTls: false, sandbox: best-effort, sandboxPaths: [], allowedHosts: []}", &[]),
    ("", "egress: {allowedHosts: [a.test, 10.0.0.1, localhost]}", &[]),
    ("", "egress: {mode: observe}", &[]),
    ("egress: {allowedHosts: [a.test]}", "egress: {allowedHosts: [A.test., a.test]}", &[]),
    ("egress: {allowedHosts: ['*.a.test', a.test]}", "egress: {allowedHosts: [a.test, x.a.test, '*.b.a.test']}", &[]),
    ("egress: {mode: observe, allowedHosts: [a.test]}", "egress: {allowedHosts: [b.test]}", &[]),
    ("egress: {mode: observe, requireTls: true}", "egress: {mode: observe}", &[]),
    ("egress: {sandbox: off}", "egress: {sandbox: required}", &[]),
    ("egress: {sandboxPaths: [/opt, /srv]}", "egress: {sandboxPaths: [/srv/a, /opt]}", &[]),
    ("runtime: {provider: here}", "runtime: {provider: wasm}", &[]),
    ("runtime: {provider: here}", "", &[]),
    ("runtime: {provider: wasm, template: roomy}", "runtime: {provider: wasm}", &[]),
    ("invokes: [{app: other, operation: x}, {app: other, operation: y}]", "invokes: [{app: other, operation: y}]", &[]),
    ("", "displayName: A, config: {x: 1}, env: {A: b}", &[]),
];

/// Around the rows of [`APP`].
fn with_app(entry: &str) -> String {
    let comma = if entry.is_empty() { "" } else { ", " };
    format!(
        "connections: {{up: {{auth: {{type: none}}}}, wide: {{auth: {{type: none}}}}}}
authorization: {{policies: {{staff: {{default: deny}}}}}}
providers: {{cache: {{c: {{source: pkg}}}}, s3: {{o: {{source: pkg}}}}}}
runtime: {{providers: {{here: {{driver: local}}, wasm: {{driver: wasm, config: {{templates: {{roomy: {{memory: 256MiB}}}}}}}}}}}}
apps:
  other: {{source: pkg}}
  a: {{source: pkg{comma}{entry}}}
"
    )
}

#[test]
fn what_a_reading_gives_an_app() {
    let place = Place::new();
    for (before, after, expect) in APP {
        let expect: Vec<String> = expect.iter().map(|key| format!("apps.a.{key}")).collect();
        assert_eq!(place.reading(&with_app(before), &with_app(after)), expect, "{before} -> {after}");
    }
}

/// Rows of what `server` holds before and after, and the keys that are wider after.
const SERVER: &[(&str, &str, &[&str])] = &[
    ("egress: {defaultAction: deny}", "egress: {defaultAction: allow}", &["egress.defaultAction"]),
    ("egress: {defaultAction: deny}", "egress: {defaultAction: null}", &["egress.defaultAction"]),
    ("egress: {defaultAction: deny}", "egress: {}", &["egress.defaultAction"]),
    ("egress: {defaultAction: deny}", "egress: null", &["egress.defaultAction"]),
    ("egress: {defaultAction: deny}", "", &["egress.defaultAction"]),
    ("egress: {}", "egress: {privateNetworks: allow}", &["egress.privateNetworks"]),
    ("egress: {mode: enforce}", "egress: {mode: observe}", &["egress.mode"]),
    ("egress: {requireTls: true}", "egress: {}", &["egress.requireTls"]),
    ("egress: {requireTls: true}", "egress: null", &["egress.requireTls"]),
    ("", "egress: {nat64: true}", &["egress.nat64"]),
    ("", "egress: {forwardedHeaders: pass}", &["egress.forwardedHeaders"]),
    ("egress: {proxyUrl: 'http://u:p@proxy.test:1'}", "egress: {}", &["egress.proxyUrl"]),
    ("egress: {proxyUrl: 'http://proxy.test:1'}", "egress: {proxyUrl: 'http://other.test:1'}", &["egress.proxyUrl"]),
    ("", "egress: {allowedNetworks: [10.0.0.0/8]}", &["egress.allowedNetworks[0]"]),
    (
        "egress: {allowedNetworks: ['10.0.0.0/8:443']}",
        "egress: {allowedNetworks: [10.0.0.0/8]}",
        &["egress.allowedNetworks[0]"],
    ),
    (
        "egress: {allowedNetworks: [10.0.0.0/9]}",
        "egress: {allowedNetworks: [10.0.0.0/8]}",
        &["egress.allowedNetworks[0]"],
    ),
    ("", "egress: {blockedPorts: none}", &["egress.blockedPorts"]),
    ("", "egress: {blockedPorts: [25]}", &["egress.blockedPorts"]),
    ("egress: {blockedPorts: [8080]}", "egress: {}", &["egress.blockedPorts"]),
    ("", "egress: {caFile: roots.pem}", &["egress.caFile"]),
    ("egress: {caFile: roots.pem}", "egress: {caFile: other.pem}", &["egress.caFile"]),
    ("egress: {dns: {timeout: 1s}}", "egress: {dns: {}}", &["egress.dns.timeout"]),
    ("egress: {dns: {maxAddresses: 1}}", "egress: {}", &["egress.dns.maxAddresses"]),
    ("", "egress: {dns: {maxQueriesPerMinute: 601}}", &["egress.dns.maxQueriesPerMinute"]),
    ("egress: {dns: {hosts: {h.test: 10.0.0.1}}}", "egress: {dns: {hosts: {}}}", &["egress.dns.hosts[\"h.test\"]"]),
    (
        "egress: {dns: {hosts: {h.test: 10.0.0.1}}}",
        "egress: {dns: {hosts: {h.test: [10.0.0.1, 10.0.0.2]}}}",
        &["egress.dns.hosts[\"h.test\"]"],
    ),
    ("egress: {audit: {allowed: all}}", "egress: {}", &["egress.audit.allowed"]),
    ("", "egress: {audit: {allowed: none}}", &["egress.audit.allowed"]),
    ("", "egress: {connect: {ports: [443, 22]}}", &["egress.connect.ports[1]"]),
    ("egress: {connect: {ports: []}}", "egress: {connect: {ports: null}}", &["egress.connect.ports"]),
    ("", "egress: {connect: {idleTimeout: 3m}}", &["egress.connect.idleTimeout"]),
    ("", "egress: {connect: {totalTimeout: 1h}}", &["egress.connect.totalTimeout"]),
    ("", "egress: {connect: {maxSent: 1GiB}}", &["egress.connect.maxSent"]),
    ("egress: {connect: {maxReceived: 1MiB}}", "egress: null", &["egress.connect.maxReceived"]),
    ("egress: {sandbox: required}", "egress: {sandbox: best-effort}", &["egress.sandbox"]),
    ("egress: {sandbox: required}", "", &["egress.sandbox"]),
    ("", "egress: {sandbox: off}", &["egress.sandbox"]),
    ("", "egress: {sandboxPaths: [/opt]}", &["egress.sandboxPaths[0]"]),
    ("packages: {build: deny}", "packages: {build: confined}", &["packages.build"]),
    ("packages: {build: deny}", "packages: {build: null}", &["packages.build"]),
    ("packages: {build: deny}", "packages: null", &["packages.build"]),
    ("packages: {build: deny}", "", &["packages.build"]),
    ("", "packages: {build: allow}", &["packages.build"]),
    ("", "dev: {attachmentState: indexeddb}", &["dev.attachmentState"]),
    // The same, or less.
    ("", "egress: {defaultAction: deny, privateNetworks: deny, mode: enforce, requireTls: true}", &[]),
    ("egress: {allowedNetworks: [10.0.0.0/9, 10.128.0.0/9]}", "egress: {allowedNetworks: [10.0.0.0/8]}", &[]),
    ("egress: {allowedNetworks: [10.0.0.0/8]}", "egress: {allowedNetworks: ['10.1.0.0/16:443']}", &[]),
    ("egress: {blockedPorts: none}", "egress: {blockedPorts: fetch}", &[]),
    ("egress: {blockedPorts: [25, 80]}", "egress: {blockedPorts: [80, 25, 25]}", &[]),
    ("egress: {connect: {ports: [443, 8443]}}", "egress: {connect: {ports: [8443]}}", &[]),
    ("egress: {proxyUrl: 'http://u:p@proxy.test:1'}", "egress: {proxyUrl: 'http://u:q@proxy.test:1'}", &[]),
    ("egress: {caFile: roots.pem}", "egress: {}", &[]),
    ("", "egress: {dns: {hosts: {h.test: 10.0.0.1}, timeout: 1s}}", &[]),
    ("egress: {sandboxPaths: [/opt]}", "egress: {sandboxPaths: [/opt/a]}", &[]),
    ("packages: {build: allow}", "", &[]),
];

fn with_server(entry: &str) -> String {
    format!(
        "server: {{encryptionKey: k{}{entry}}}\napps: {{a: {{source: pkg}}}}\n",
        if entry.is_empty() { "" } else { ", " }
    )
}

#[test]
fn what_a_reading_gives_all_apps() {
    let place = Place::new();
    for (before, after, expect) in SERVER {
        let expect: Vec<String> = expect.iter().map(|key| format!("server.{key}")).collect();
        assert_eq!(place.reading(&with_server(before), &with_server(after)), expect, "{before} -> {after}");
    }
}

/// An overlay changes what it writes, and deletes what it writes a null for; the place that is named is always its own.
#[test]
fn what_an_overlay_widens() {
    let place = Place::new();
    let base = "
server: {egress: {defaultAction: allow, sandbox: required, requireTls: true, connect: {ports: [443]}}}
apps:
  a: {egress: {allowedHosts: [a.test], sandbox: required}, invokes: [], runtime: {provider: wasm}}
  b: {egress: {allowedHosts: [a.test], sandboxPaths: []}}
providers: {cache: {c: {source: pkg, egress: {allowedHosts: [a.test]}}}}
";
    let sources = "apps: {a: {source: pkg}, b: {source: pkg}}\n";
    // What makes the apps of the first file whole is not what widens them.
    assert_eq!(place.overlay(base, sources), [""; 0]);
    for (over, expect) in [
        ("server: {egress: null}", &["server.egress.requireTls", "server.egress.sandbox"][..]),
        ("server: {egress: {sandbox: off}}", &["server.egress.sandbox"]),
        ("server: {egress: {connect: {ports: null}}}", &[]),
        ("server: null", &["server.egress.requireTls", "server.egress.sandbox"]),
        ("apps: {a: {egress: null}}", &["apps.a.egress.allowedHosts"]),
        (
            "server: {egress: null}\napps: {a: {egress: {sandbox: null}}}",
            &["apps.a.egress.sandbox", "server.egress.requireTls", "server.egress.sandbox"],
        ),
        ("apps: {a: {egress: {allowedHosts: null}}}", &["apps.a.egress.allowedHosts"]),
        ("apps: {a: {egress: {allowedHosts: []}}}", &["apps.a.egress.allowedHosts"]),
        ("apps: {a: {runtime: null}}", &["apps.a.runtime"]),
        ("apps: {a: {runtime: {provider: here}}}", &["apps.a.runtime.provider"]),
        ("apps: {b: {egress: {allowedHosts: null}}}", &["apps.b.egress.allowedHosts"]),
        ("apps: {b: {egress: {allowedHosts: [b.test]}}}", &["apps.b.egress.allowedHosts[0]"]),
        ("providers: {cache: {c: {egress: null}}}", &["providers.cache.c.egress.allowedHosts"]),
        ("providers: {cache: {c: {egress: {allowedHosts: [b.test]}}}}", &["providers.cache.c.egress.allowedHosts[0]"]),
        (
            "runtime: {providers: {wasm: {driver: wasm, config: {memory: 256MiB}}}}",
            &["runtime.providers.wasm.config.memory"],
        ),
        (
            "runtime: {providers: {wasm: {driver: wasm, config: {isolation: app}}}}",
            &["runtime.providers.wasm.config.isolation"],
        ),
        (
            "runtime: {providers: {wasm: {driver: wasm, config: {breaker: {traps: 0}}}}}",
            &["runtime.providers.wasm.config.breaker.traps"],
        ),
        (
            "runtime: {providers: {wasm: {driver: wasm, config: {pool: {share: 90}}}}}",
            &["runtime.providers.wasm.config.pool.share"],
        ),
        ("runtime: {providers: {wasm: {driver: wasm, config: {memory: 64MiB, egress: {connections: 1}}}}}", &[]),
        // An app of its own is held to what the first file says of apps that say nothing.
        ("apps: {new: {source: pkg, egress: {sandbox: off}}}", &["apps.new.egress.sandbox"]),
        (
            "apps: {new: {source: pkg, egress: {requireTls: false, mode: observe}}}",
            &["apps.new.egress.mode", "apps.new.egress.requireTls"],
        ),
        ("apps: {new: {source: pkg, egress: {allowedHosts: [b.test]}}}", &[]),
    ] {
        let here = "runtime: {providers: {here: {driver: local}}}\n";
        let over = match over {
            runtime if runtime.starts_with("runtime") => over.to_owned(),
            _ => format!("{here}{over}"),
        };
        let (base_file, sources_file) = (place.write("base.yaml", base), place.write("sources.yaml", sources));
        let deployment = place.load(&[base_file, sources_file, place.write("over.yaml", &over)]);
        let widened = deployment.warnings.iter().filter(|warning| warning.message.starts_with("POLICY_WIDENED"));
        let mut keys: Vec<&str> = Vec::new();
        for warning in widened {
            assert_eq!(name(&warning.at.file), "over.yaml", "{over}: {warning}");
            keys.push(&warning.path);
        }
        keys.sort_unstable();
        assert_eq!(keys, expect, "{over}");
    }
}

/// What an earlier file leaves to the environment is not known from it; that it restricts is.
#[test]
fn an_earlier_file_that_is_not_whole() {
    let place = Place::new();
    let base = place.write(
        "base.yaml",
        "apps: {a: {source: '${NOT_SET}', egress: {allowedHosts: ['${NOT_SET}'], requireTls: '${NOT_SET}', sandbox: required}}}\n",
    );
    let over = place.write(
        "over.yaml",
        "server: {encryptionKey: k}\napps: {a: {source: pkg, egress: {allowedHosts: [], requireTls: false, sandbox: null}}}\n",
    );
    let deployment = place.load_as(Mode::Strict, &[base, over]);
    let keys: Vec<&str> = deployment.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(keys, ["apps.a.egress.allowedHosts", "apps.a.egress.sandbox"]);
    assert!(!deployment.warnings.to_string().contains('\u{0}'));
}

/// No message tells what a secret or a variable is.
#[test]
fn values_of_the_environment_and_secrets_are_not_told() {
    let place = Place::new();
    let vars = HashMap::from([
        ("OLD".to_owned(), "old-Secret.test".to_owned()),
        ("NEW".to_owned(), "new-Secret.test".to_owned()),
    ]);
    let env = Vars { vars, dir: place.0.path().to_owned() };
    let config = |hosts: &str| {
        let secrets = "providers: {secrets: {s: {source: env}}}";
        format!(
            "server: {{encryptionKey: k}}\n{secrets}\napps: {{a: {{source: pkg, egress: {{allowedHosts: [{hosts}]}}}}}}\n"
        )
    };
    let reading = |hosts: &str| load(&[place.write("config.yaml", &config(hosts))], Mode::Strict, &env).unwrap();
    let secret = "{secret: {provider: s, name: n}}";
    for (before, after, was, is) in [
        ("'${OLD}'", "'${OLD}', '${NEW}'", "`${OLD}`", "also `${NEW}`"),
        ("'${OLD}'", "", "`${OLD}`", "nothing, and the default to allow all"),
        ("'${OLD}'", secret, "`${OLD}`", "also a secret"),
        (secret, "'${NEW}'", "a secret", "also `${NEW}`"),
    ] {
        let widened = reading(after).widened_since(&reading(before));
        let told: Vec<_> = widened.iter().map(|widened| (widened.before.as_str(), widened.after.as_str())).collect();
        assert_eq!(told, [(was, is)], "{before} -> {after}");
    }
    assert_eq!(reading(secret).widened_since(&reading(secret)), []);
}
