//! What a child process sees of the environment.

use crate::spec::ProcessSpec;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// Inherited from the daemon; nothing else is, for the daemon's own environment holds its secrets.
const INHERITED: [&str; 9] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GESTALT_HOST_SERVICE_TLS_CA_FILE",
    "GESTALT_HOST_SERVICE_TLS_CA_PEM",
];

/// Protocol 3 names one socket per host service. All are the same socket here, and an SDK reads only those it knows.
const SERVICES_OF_3: [&str; 11] = [
    "PLUGIN_INVOKER",
    "WORKFLOW_MANAGER",
    "WORKFLOW_HOST",
    "AGENT_HOST",
    "AGENT_MANAGER",
    "INDEXEDDB",
    "CACHE",
    "S3",
    "AUTHORIZATION",
    "EXTERNAL_CREDENTIAL",
    "RUNTIME_LOG",
];

/// The sockets and ids a child is told about.
pub(crate) struct Rendezvous<'a> {
    pub(crate) app_socket: &'a Path,
    pub(crate) host_socket: &'a Path,
    pub(crate) session: &'a str,
    pub(crate) parent: u32,
}

/// The inherited part of an environment.
pub(crate) fn inherited(daemon: impl Fn(&str) -> Option<OsString>) -> BTreeMap<OsString, OsString> {
    INHERITED.iter().filter_map(|&name| Some((name.into(), daemon(name)?))).collect()
}

/// The whole environment of an app's process: the variables of every dialect at once, since which one the process
/// speaks is known only after it runs.
///
/// `GESTALT_HOST_SERVICES` stays unset, which lets a client ask for any service and hear from the host that it is not
/// available.
pub(crate) fn build(
    spec: &ProcessSpec,
    rendezvous: &Rendezvous<'_>,
    daemon: impl Fn(&str) -> Option<OsString>,
) -> BTreeMap<OsString, OsString> {
    let mut env = inherited(daemon);
    for (name, value) in spec.command.env.iter().chain(&spec.env) {
        env.insert(name.into(), value.into());
    }
    let mut set = |name: &str, value: OsString| env.insert(name.into(), value);
    for era in ["PLUGIN", "PROVIDER"] {
        set(&format!("GESTALT_{era}_SOCKET"), rendezvous.app_socket.into());
    }
    for era in ["PLUGIN", "APP"] {
        set(&format!("GESTALT_{era}_NAME"), spec.app.as_str().into());
        // In a process namespace nobody has the daemon for a parent; what confines it sees to its end.
        if spec.command.direct && spec.confine.is_none() {
            set(&format!("GESTALT_{era}_PARENT_PID"), rendezvous.parent.to_string().into());
        }
    }
    set("GESTALT_HOST_SERVICE_SOCKET", rendezvous.host_socket.into());
    set("GESTALT_RUNTIME_SESSION_ID", rendezvous.session.into());
    for service in SERVICES_OF_3 {
        set(&format!("GESTALT_{service}_SOCKET"), rendezvous.host_socket.into());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{AppCommand, Timeouts};
    use gestalt_core::{AppName, Catalog};
    use std::sync::Arc;

    fn check(direct: bool) -> BTreeMap<String, String> {
        let spec = ProcessSpec {
            app: AppName::parse("echo").unwrap(),
            command: AppCommand {
                program: "x".into(),
                args: vec![],
                workdir: "/".into(),
                env: BTreeMap::from([("A".into(), "command".into()), ("B".into(), "command".into())]),
                direct,
            },
            env: BTreeMap::from([
                ("A".into(), "entry".into()),
                ("HOME".into(), "/elsewhere".into()),
                ("GESTALT_PROVIDER_SOCKET".into(), "/stolen".into()),
            ]),
            config: None,
            catalog: Arc::new(Catalog::default()),
            public_base_url: "".into(),
            timeouts: Timeouts::default(),
            confine: None,
        };
        let rendezvous = Rendezvous {
            app_socket: Path::new("/tmp/gstp-a/app.sock"),
            host_socket: Path::new("/tmp/gstp-a/host.sock"),
            session: "gstp-a",
            parent: 7,
        };
        let daemon = |name: &str| match name {
            "PATH" => Some("/bin".into()),
            "HOME" => Some("/root".into()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".into()),
            _ => None,
        };
        build(&spec, &rendezvous, daemon)
            .into_iter()
            .map(|(k, v)| (k.into_string().unwrap(), v.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn nothing_but_the_allowed_variables_is_inherited() {
        let env = check(true);
        assert_eq!(env["PATH"], "/bin");
        assert!(!env.contains_key("AWS_SECRET_ACCESS_KEY") && !env.contains_key("GESTALT_HOST_SERVICES"));
    }

    #[test]
    fn the_host_wins_over_the_entry_and_the_entry_over_the_rest() {
        let env = check(true);
        assert_eq!((env["A"].as_str(), env["B"].as_str(), env["HOME"].as_str()), ("entry", "command", "/elsewhere"));
        assert_eq!(env["GESTALT_PROVIDER_SOCKET"], "/tmp/gstp-a/app.sock");
    }

    #[test]
    fn every_dialect_finds_its_variables() {
        let env = check(true);
        for (name, value) in [
            ("GESTALT_PLUGIN_SOCKET", "/tmp/gstp-a/app.sock"),
            ("GESTALT_PLUGIN_NAME", "echo"),
            ("GESTALT_APP_NAME", "echo"),
            ("GESTALT_PLUGIN_PARENT_PID", "7"),
            ("GESTALT_APP_PARENT_PID", "7"),
            ("GESTALT_HOST_SERVICE_SOCKET", "/tmp/gstp-a/host.sock"),
            ("GESTALT_PLUGIN_INVOKER_SOCKET", "/tmp/gstp-a/host.sock"),
            ("GESTALT_S3_SOCKET", "/tmp/gstp-a/host.sock"),
        ] {
            assert_eq!(env[name], value, "{name}");
        }
    }

    #[test]
    fn only_a_direct_child_learns_its_parent() {
        assert!(!check(false).contains_key("GESTALT_APP_PARENT_PID"));
    }
}
