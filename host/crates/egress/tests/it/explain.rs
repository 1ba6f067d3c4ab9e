//! What the operator is told about a request is what becomes of it.

use crate::support::{Canary, Server, Setup, ok};
use gestalt_core::egress::{Action, DenyReason, Mode};
use gestalt_egress::Verdict;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Every kind of rule beside every kind of destination, explained and tried.
#[tokio::test]
async fn every_explanation_holds_for_the_request() {
    // Answers in the clear whatever it is told, so that who tries TLS need not wait.
    let server = Server::start("127.0.0.2", |mut stream, _| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(ok().as_bytes()).await;
    })
    .await;
    let own = Canary::bind("127.0.0.1");
    let (port, home) = (server.address().port(), own.address().port());
    let mut uris: Vec<String> = [
        "http://meta.wild.test/",
        "http://never.wild.test/",
        "http://mixed.wild.test/",
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://allowed.test:25/",
        "http://evil.test:25/",
        "http://empty.wild.test/",
        "http://[::ffff:127.0.0.1]/",
        "http://user@allowed.test/",
        "ftp://allowed.test/",
    ]
    .map(str::to_owned)
    .into();
    for host in ["ALLOWED.test.", "a.wild.test", "wild.test", "evil.test", "127.0.0.2", "localhost", "own.wild.test"] {
        uris.extend([format!("http://{host}:{port}/"), format!("https://{host}:{port}/")]);
    }
    uris.extend([format!("http://localhost:{home}/"), format!("http://127.0.0.1:{home}/")]);
    let lists: [&[&str]; 4] =
        [&[], &["allowed.test", "*.wild.test"], &["127.0.0.2", "localhost"], &["169.254.169.254"]];
    let mut seen = [0; 4];
    for list in lists {
        for (default, mode, require_tls, lifted) in choices() {
            let setup = || {
                let mut setup = Setup::new()
                    .hosts(list)
                    .settings(|settings| settings.default_action = default)
                    .rules(|rules| (rules.mode, rules.require_tls) = (mode, require_tls))
                    .name("evil.test", &[&["127.0.0.2"]])
                    .name("wild.test", &[&["127.0.0.2"]])
                    .name("own.wild.test", &[&["127.0.0.2"]])
                    .name("meta.wild.test", &[&["169.254.169.254"]])
                    .name("never.wild.test", &[&["0.0.0.0"]])
                    .name("mixed.wild.test", &[&["127.0.0.2", "224.0.0.1"]])
                    .name("empty.wild.test", &[&[]]);
                if lifted {
                    setup = setup.reach(server.address());
                }
                setup.listeners = Arc::default();
                setup.listeners.add(own.address());
                setup
            };
            let desk = setup().build();
            for uri in uris.iter().filter(|uri| !list.contains(&"169.254.169.254") || !uri.contains("//169.254")) {
                let told = setup().explain(uri).await;
                let what = format!("{list:?} {default:?} {mode:?} {require_tls} {lifted} {uri}: {told:?}");
                let sent = desk.fetch(uri).await;
                let record = desk.records().pop().unwrap();
                let first = told.steps.iter().find_map(|step| step.reason);
                let last = told.steps.last().unwrap();
                seen[told.verdict as usize] += 1;
                match told.verdict {
                    // Nobody there speaks TLS: that is found out only by trying.
                    Verdict::Pass => assert!(matches!(record.denied, None | Some(DenyReason::Tls)), "{what}"),
                    Verdict::Observe => {
                        assert!(record.observed || record.denied == Some(DenyReason::Tls), "{what}");
                        assert!(sent.is_err() || record.denied.map(|reason| reason.as_str()) == first, "{what}");
                    }
                    Verdict::Deny => {
                        assert_eq!((record.observed, sent.is_err()), (false, true), "{what}");
                        assert_eq!(record.denied.map(|reason| reason.as_str()), last.reason, "{what}");
                    }
                    Verdict::Unknown => assert_eq!(record.denied, Some(DenyReason::DnsError), "{what}"),
                }
            }
        }
    }
    own.assert_untouched();
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

fn choices() -> impl Iterator<Item = (Action, Mode, bool, bool)> {
    let actions = [Action::Allow, Action::Deny].into_iter();
    let modes = actions.flat_map(|action| [Mode::Enforce, Mode::Observe].map(|mode| (action, mode)));
    let tls = modes.flat_map(|(action, mode)| [false, true].map(|tls| (action, mode, tls)));
    tls.flat_map(|(action, mode, tls)| [false, true].map(|lifted| (action, mode, tls, lifted)))
}

/// The words of an explanation: which entry, which address, of what kind.
#[tokio::test]
async fn an_explanation_names_what_decides() {
    let told = Setup::new().name("a.wild.test", &[&["10.1.2.3"]]).explain("https://a.wild.test/").await;
    assert_eq!(told.verdict, Verdict::Deny);
    let details: Vec<&str> = told.steps.iter().map(|step| step.detail.as_str()).collect();
    assert_eq!(
        details,
        [
            "GET to host a.wild.test, port 443, https",
            "`*.wild.test` (, apps.probe.egress.allowedHosts[1]) allows it",
            "443 is not in server.egress.blockedPorts",
            "10.1.2.3 (from the name server) is private",
        ]
    );
    assert_eq!(told.remedy.as_deref(), Some("server.egress.allowedNetworks: [\"10.1.2.3/32:443\"]"));
    for (address, kind) in [
        (&["0.0.0.0"], "no destination"),
        (&["169.254.0.1"], "link-local or metadata"),
        (&["127.0.0.1"], "special"),
        (&["1.1.1.1"], "public"),
    ] {
        let told = Setup::new().name("a.wild.test", &[address]).explain("https://a.wild.test/").await;
        let last = &told.steps.last().unwrap().detail;
        assert!(last.contains(&format!(" is {kind}")), "{last}");
    }
}
