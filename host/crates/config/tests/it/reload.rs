//! What a second reading of the configuration leaves for the next start.

use crate::fixture::Vars;
use gestalt_config::{Deployment, Mode, load};
use std::collections::HashMap;
use std::path::Path;

fn read(dir: &Path, body: &str) -> Deployment {
    let file = dir.join("gestalt.yaml");
    std::fs::write(&file, format!("apiVersion: gestaltd.config/v6\n{body}")).unwrap();
    let env = Vars { vars: HashMap::new(), dir: dir.to_owned() };
    for name in ["a", "b", "c"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
        std::fs::write(dir.join(name).join("manifest.yaml"), "").unwrap();
    }
    load(&[file], Mode::Strict, &env).unwrap_or_else(|problems| panic!("{problems}"))
}

const OLD: &str = "
server: {encryptionKey: k, egress: {defaultAction: deny}}
apps:
  a:
    source: ./a/manifest.yaml
    config: {depth: 1}
    egress:
      allowedHosts: [one.test, two.test]
      credentials: [{header: X-Key, hosts: [one.test], value: long-enough, env: KEY}]
  b: {source: ./b/manifest.yaml}
";

#[test]
fn what_a_running_daemon_cannot_take_over() {
    let dir = tempfile::tempdir().unwrap();
    let old = read(dir.path(), OLD);
    let check = |from: &str, to: &str, expect: &[&str]| {
        assert!(OLD.contains(from), "{from}");
        assert_eq!(old.waits_for_restart(&read(dir.path(), &OLD.replacen(from, to, 1))), expect, "{from} -> {to}");
    };
    check("k,", "k,", &[]);
    check("k, egress", "'k',    egress", &[]);
    // Rules of outgoing requests are taken over, apart from what an app is given when it starts.
    check("[one.test, two.test]", "[one.test]", &[]);
    check("defaultAction: deny", "privateNetworks: allow, dns: {hosts: {one.test: [10.0.0.1]}, timeout: 1s}", &[]);
    check("value: long-enough", "value: longer-than-that", &[]);
    check("env: KEY", "env: OTHER", &["apps.a.egress.credentials[0].env"]);
    check(
        ", env: KEY}]",
        ", env: KEY}, {header: X-More, hosts: [two.test], value: other-value, env: MORE}]",
        &["apps.a.egress.credentials"],
    );
    check("b: {source: ./b/manifest.yaml}", "b: {source: ./b/manifest.yaml, egress: {requireTls: true}}", &[]);
    check("defaultAction: deny", "dns: {maxQueriesPerMinute: 1}", &["server.egress.dns.maxQueriesPerMinute"]);
    check("defaultAction: deny", "audit: {allowed: all}", &["server.egress.audit"]);
    check("defaultAction: deny", "connect: {ports: [443, 8443]}", &[]);
    check("defaultAction: deny", "sandbox: required", &["server.egress.sandbox"]);
    check("allowedHosts: [one", "sandbox: off\n      allowedHosts: [one", &["apps.a.egress.sandbox"]);
    check("defaultAction: deny", "sandboxPaths: [/opt]", &["server.egress.sandboxPaths"]);
    check("b: {source", "b: {egress: {sandboxPaths: [/opt]}, source", &["apps.b.egress.sandboxPaths"]);
    check("k, egress", "k, packages: {build: deny}, egress", &["server.packages"]);
    check("b: {source", "b: {invokes: [{app: a, operation: x}], source", &[]);
    // An app that is gone can be stopped; one that is new, or another, has to be started.
    check("  b: {source: ./b/manifest.yaml}\n", "", &[]);
    check("b: {", "c: {", &["apps.c"]);
    check("b: {source: ./b", "b: {source: ./c", &["apps.b.source"]);
    check("{depth: 1}", "{depth: 2, width: 1}", &["apps.a.config.depth", "apps.a.config.width"]);
    check("encryptionKey: k", "encryptionKey: j", &["server.encryptionKey"]);
    check("apps:", "runtime: {providers: {wasm: {driver: wasm, config: {maxConcurrency: 3}}}}\napps:", &["runtime"]);
}
