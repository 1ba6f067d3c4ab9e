//! Machines that cannot confine as they should: `required` refuses, `best-effort` says what is missing, and whoever asks is
//! told the same in the log, in `/metrics` and in the list of apps for operators.

use gestalt_tests::examples::{app, manifest};
use gestalt_tests::{Client, Served, TestHost, eventually, gestaltd};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU8, Ordering};

/// Two apps, of which one must be confined and the other may be; and a listener for operators.
fn config() -> String {
    let entry = |sandbox| format!("egress: {{allowedHosts: [allowed.test], sandbox: {sandbox}}}");
    let apps = ["required", "best-effort"]
        .map(|sandbox| app(sandbox, &manifest("echo-native-python"), &entry(sandbox)))
        .concat();
    // A port has to be named, so that the address has to be nobody else's.
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 200 + high % 50, low, NEXT.fetch_add(1, Ordering::Relaxed));
    format!("server: {{management: {{host: {host}, port: 9092}}}}\napps:\n{apps}")
}

/// A daemon with them, in a machine that `script` has made, and its operators' listener.
async fn served(script: &str, wrapper: &[&str]) -> (Served, Client, Client) {
    let served = Served::start_after(script, wrapper, &config());
    let public = served.listening().await;
    let log = served.log();
    let after = log.split_once("management=").unwrap().1;
    let operators = Client::new(after.split_whitespace().next().unwrap().parse().unwrap());
    eventually("readiness", || async { (operators.get("/ready").await.code() == 200).then_some(()) }).await;
    (served, public, operators)
}

/// An app as a list shows it.
async fn listed(client: &Client, name: &str) -> Value {
    let apps = client.get("/api/v1/apps").await.json();
    apps.as_array().unwrap().iter().find(|app| app["name"] == name).unwrap().clone()
}

fn line(log: &str, words: &[&str]) -> bool {
    log.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// Refuses the calls of these numbers as the profile of a container does, and becomes the daemon.
const PROFILE: &str = r#"
import ctypes, os, platform, struct, sys
calls = [272, 308, 165] if platform.machine() == 'x86_64' else [97, 268, 40]
code = [(0x20, 0, 0, 0)] + [(0x15, len(calls) - i, 0, n) for i, n in enumerate(calls)]
code += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050001)]
text = b''.join(struct.pack('HBBI', *line) for line in code)
kept = ctypes.create_string_buffer(text)
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(kept))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"#;

/// The same for new users alone: a container's root may have the rest.
fn profile_against_users() -> String {
    let users = "code = [(0x20, 0, 0, 0), (0x15, 0, 3, calls[0]), (0x20, 0, 0, 16), (0x45, 0, 1, 0x10000000)]\n\
                 code += [(0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]\n";
    let mut lines: Vec<&str> = PROFILE.lines().filter(|line| !line.starts_with("code ")).collect();
    let at = lines.iter().position(|line| line.starts_with("text")).unwrap();
    lines.insert(at, users);
    lines.join("\n")
}

/// Root needs no users of its own for a whole sandbox, and none of its mounts are seen outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_without_new_users_confines_all_the_same() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let profile = profile_against_users();
    let shared = ["unshare", "-m", "--propagation", "shared", "python3", "-c", &profile];
    let (served, public, operators) = served("", &shared).await;
    let mounts = || std::fs::read_to_string(format!("/proc/{}/mountinfo", served.pid())).unwrap();
    assert_eq!(public.call("required", "echo", "{}").await.code(), 200, "{}", served.log());
    assert_eq!(listed(&operators, "required").await["sandbox"]["state"], "whole");
    let covered = |line: &str| line.contains(" - tmpfs tmpfs ") && line.contains("size=1024k");
    assert!(!mounts().lines().any(covered), "{}", mounts());
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_to_operators_and_to_nobody_else() {
    let profile: &[&str] = &["python3", "-c", PROFILE];
    for (what, script, wrapper) in [
        ("no networks of one's own", "echo 0 > /proc/sys/user/max_net_namespaces", &["unshare", "-Ur"][..]),
        (
            "no users of one's own",
            "echo 0 > /proc/sys/user/max_user_namespaces; echo 0 > /proc/sys/user/max_mnt_namespaces",
            &["unshare", "-Ur"],
        ),
        ("a container's profile", "", profile),
    ] {
        let (served, public, operators) = served(script, wrapper).await;
        let answer = async |app| public.call(app, "echo", "{}").await.code();
        let log = served.log();
        assert_eq!((answer("required").await, answer("best-effort").await), (503, 200), "{what}: {log}");
        // In the log.
        assert!(line(&log, &["app=required", "this machine lacks", "namespaces: "]), "{what}: {log}");
        assert!(
            line(
                &log,
                &["app=best-effort", "sandbox=\"partial\"", "namespaces: ", "egress.allowedHosts is not enforced"]
            ),
            "{what}: {log}"
        );
        // In the list for operators, and in no other.
        let sandbox = listed(&operators, "best-effort").await["sandbox"].clone();
        assert_eq!(sandbox["state"], "partial", "{what}: {sandbox}");
        assert_eq!(sandbox["missing"][0]["wall"], "namespaces", "{what}: {sandbox}");
        assert!(sandbox["missing"][0]["reason"].as_str().unwrap().contains("new namespaces"), "{what}: {sandbox}");
        assert_ne!(sandbox["bounds"], "", "{what}: {sandbox}");
        let refused = listed(&operators, "required").await;
        assert!(refused["failure"].as_str().unwrap().contains("namespaces: new namespaces"), "{what}: {refused}");
        assert_eq!(refused["sandbox"], Value::Null, "it does not run in any: {refused}");
        for app in ["required", "best-effort"] {
            let told = listed(&public, app).await;
            assert_eq!((&told["sandbox"], &told["failure"]), (&Value::Null, &Value::Null), "{told}");
        }
        assert_eq!(public.get("/metrics").await.code(), 404);
        // In the metrics.
        let metrics = operators.get("/metrics").await.text().to_owned();
        for expect in [
            r#"gestaltd_sandbox_missing{gestalt_provider="best-effort",gestalt_wall="namespaces"} 1"#,
            r#"gestaltd_sandbox_state{gestalt_provider="best-effort",gestalt_state="partial"} 1"#,
            r#"gestaltd_sandbox_state{gestalt_provider="best-effort",gestalt_state="whole"} 0"#,
        ] {
            assert!(metrics.lines().any(|line| line == expect), "{what}: no {expect} in\n{metrics}");
        }
        assert!(!metrics.contains(r#"gestaltd_sandbox_missing{gestalt_provider="required""#), "{what}: {metrics}");
        served.signal(Signal::SIGTERM);
        assert_eq!(served.exit().await.status.code(), Some(0), "{what}");
    }
}

/// Where every wall stands, that is said; and so it is where the configuration wants none. With one listener for all, the
/// detail is where the metrics are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_sandbox_and_none_at_all_are_told_apart() {
    let python = manifest("echo-native-python");
    let entries = [
        app("whole", &python, "egress: {allowedHosts: [allowed.test], sandbox: required}"),
        app("turned-off", &python, "egress: {allowedHosts: [allowed.test], sandbox: 'off'}"),
        app("free", &python, ""),
        app("component", &manifest("echo"), "egress: {allowedHosts: [allowed.test]}"),
    ];
    let host = TestHost::start(&format!("apps:\n{}", entries.concat())).await;
    for (name, state) in [("whole", "whole"), ("turned-off", "off"), ("free", "none")] {
        let listed = listed(&host, name).await;
        assert_eq!(
            (&listed["sandbox"]["state"], &listed["sandbox"]["missing"]),
            (&json!(state), &json!([])),
            "{listed}"
        );
        let expect = format!("gestaltd_sandbox_state{{gestalt_provider=\"{name}\",gestalt_state=\"{state}\"}} 1");
        assert!(host.get("/metrics").await.text().lines().any(|line| line == expect), "{expect}");
    }
    assert_eq!(listed(&host, "component").await["sandbox"], Value::Null);
    host.shutdown().await;
}

/// A place for what the daemon prepares that is full or cannot be written to: nothing is started for want of it, whatever the
/// entry says, and the place is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_sealed_place_for_artifacts_is_named() {
    let over = "mount -t tmpfs -o size=16k,nr_inodes=2 none \"$DAEMON_DIR/artifacts\"";
    for (script, why) in [
        (over.to_owned() + "; touch \"$DAEMON_DIR/artifacts/full\"", "No space left on device"),
        (over.to_owned() + "; mount -o remount,ro \"$DAEMON_DIR/artifacts\"", "Read-only file system"),
    ] {
        let (served, public, operators) = served(&script, &["unshare", "-Urm"]).await;
        for app in ["required", "best-effort"] {
            let refused = listed(&operators, app).await;
            let failure = refused["failure"].as_str().unwrap_or_default();
            assert!(failure.contains(why) && failure.contains("artifacts"), "{refused}: {}", served.log());
            assert_eq!(public.call(app, "echo", "{}").await.code(), 503);
        }
        assert!(line(&served.log(), &["app=best-effort", "failed to start", why]), "{}", served.log());
        served.signal(Signal::SIGTERM);
        assert_eq!(served.exit().await.status.code(), Some(0));
    }
}

/// A sealed `/tmp` is not a cell's, which has its own; the daemon's sockets find another place, or what is sealed is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_tmp_does_not_weaken_a_cell() {
    let script =
        "mount --bind /tmp /tmp && mount -t tmpfs none \"$DAEMON_DIR/artifacts\" && mount -o remount,bind,ro /tmp";
    let (served, public, operators) = served(script, &["unshare", "-Urm"]).await;
    for app in ["required", "best-effort"] {
        let told = listed(&operators, app).await;
        match public.call(app, "echo", "{}").await.code() {
            200 => assert_eq!(told["sandbox"]["state"], "whole", "{told}"),
            503 => assert!(told["failure"].as_str().unwrap().contains("/tmp"), "{told}"),
            code => panic!("{code}: {told}"),
        }
    }
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit().await.status.code(), Some(0));
}

/// What the machine is short of for a moment when an app is first started does not keep the app down, nor does it get out of
/// its cell that way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, fate) = (dir.path().join("worker"), dir.path().join("fate"));
    // Of each letter of its fate a gate takes one, and with an `x` may open nothing more.
    let text = format!(
        "#!/bin/sh\nleft=$(cat {fate:?})\necho \"${{left#?}}\" > {fate:?}\n\
         case \"$left\" in x*) ulimit -n 4;; esac\nexec {:?} \"$@\"\n",
        gestaltd()
    );
    std::fs::write(&worker, text).unwrap();
    std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
    let entry = "egress: {allowedHosts: [allowed.test], sandbox: required}";
    let config = format!("apps:\n{}", app("confined", &manifest("echo-native-python"), entry));
    // The trial of the machine, the catalog, the app; and a machine that stays short after the trial.
    for (times, code) in [("oxoxxo", 200), ("oxxxxxxxxxxxx", 503)] {
        std::fs::write(&fate, times).unwrap();
        let host = TestHost::start_with_worker(&config, &worker).await;
        let told = listed(&host, "confined").await;
        assert_eq!(host.call("confined", "echo", "{}").await.code(), code, "{told}");
        match code {
            200 => {
                assert_eq!(told["sandbox"]["state"], "whole", "{told}");
                assert_eq!(std::fs::read_to_string(&fate).unwrap().trim(), "", "each was tried again");
            }
            _ => assert!(told["failure"].as_str().unwrap().contains("may pass"), "{told}"),
        }
        host.shutdown().await;
    }
}
