//! Packages that try something, and the daemon that starts them.

use crate::house::RUNTIME;
use gestalt_tests::examples::{app, package};
use gestalt_tests::{Exit, Served, eventually, is_alive};
use nix::sys::signal::Signal;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An entry that is confined as a whole.
pub(super) const WHOLE: &str = "egress: {allowedHosts: [allowed.test], sandbox: required}";

/// What must not be seen, wherever it stands.
pub(super) const SECRET: &str = "hunter2";

/// What must not be run says this.
pub(super) const RAN: &str = "ran-outside";

/// The longest a daemon may take to stop, whatever its apps do.
const BUDGET: Duration = Duration::from_secs(30);

/// Packages in a directory of their own, and what lies around them.
pub(super) struct Street {
    pub(super) dir: TempDir,
    entries: String,
}

impl Street {
    /// An empty one. Besides packages there is `home`, the directory of somebody who has a secret and a program.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let street = Self { dir, entries: String::new() };
        street.file("home/secret", &format!("home = /{SECRET}\n{SECRET}\n"));
        street.program("home/bin/tool", &format!("#!/bin/sh\necho {RAN}\n"));
        street
    }

    /// Where something lies.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    /// A file, with the directories above it.
    pub(super) fn file(&self, path: &str, text: &str) -> PathBuf {
        let file = self.at(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    /// A file that can be executed.
    pub(super) fn program(&self, path: &str, text: &str) -> PathBuf {
        let file = self.file(path, text);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        file
    }

    /// A link.
    pub(super) fn link(&self, to: impl AsRef<Path>, path: &str) {
        let link = self.at(path);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, link).unwrap();
    }

    /// A pipe nobody writes to.
    pub(super) fn pipe(&self, path: &str) {
        let pipe = self.at(path);
        std::fs::create_dir_all(pipe.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    /// A package with these keys in its manifest. Files are added by `file`.
    pub(super) fn manifest(&self, path: &str, manifest: &str) -> PathBuf {
        package(&self.at(path), &format!("spec: {{}}\n{manifest}"), &[])
    }

    /// A package, and its app.
    pub(super) fn package(&mut self, name: &str, manifest: &str, entry: &str) {
        let manifest = self.manifest(name, manifest);
        self.entry(name, &manifest, entry);
    }

    /// A package that runs this script, and then is done: what the script has said is in the reason why it did not start.
    pub(super) fn script(&mut self, name: &str, script: &str, more: &str, entry: &str) {
        self.package(name, &format!("run: {{command: [sh, ./serve.sh]{more}}}\n"), entry);
        self.file(&format!("{name}/serve.sh"), &format!("{script}\nexit 3\n"));
    }

    /// An app.
    pub(super) fn entry(&mut self, name: &str, manifest: &Path, entry: &str) {
        self.entries += &app(name, manifest, entry);
    }

    /// The configuration of all apps. `server` are keys of the server's as flow YAML.
    pub(super) fn configuration(&self, server: &str) -> String {
        format!("server: {{egress: {{defaultAction: deny}}{server}}}\napps:\n{}", self.entries)
    }

    /// A daemon with all of it, once no app is starting any more.
    pub(super) fn serve(&self, server: &str) -> Served {
        let served = Served::start(&self.configuration(server));
        settled(&served);
        served
    }
}

/// Waits until no app is starting any more.
pub(super) fn settled(served: &Served) {
    RUNTIME.block_on(served.ready());
}

/// Why an app did not start.
pub(super) fn reason(served: &Served, app: &str) -> String {
    let log = served.log();
    let line = log.lines().find(|line| line.contains("app failed to start") && line.contains(&format!("app={app} ")));
    line.unwrap_or_else(|| panic!("{app} did not fail: {log}")).to_owned()
}

/// Nothing of what must not be seen or run is in the log.
pub(super) fn assert_untold(served: &Served) {
    let log = served.log();
    for word in [SECRET, RAN, "5e5e5e5e"] {
        let told: Vec<_> = log.lines().filter(|line| line.contains(word)).collect();
        assert!(told.is_empty(), "{word}: {told:#?}");
    }
    assert!(!log.lines().any(|line| line.starts_with("thread ") || line.contains("gestaltd: panic")), "{log}");
}

/// The daemon stops in good order and in time, and nothing it has started is left.
pub(super) fn stop(served: Served) -> Exit {
    let children = served.children();
    let start = Instant::now();
    served.signal(Signal::SIGTERM);
    let exit = RUNTIME.block_on(served.exit());
    assert!(start.elapsed() < BUDGET, "it took {:?}", start.elapsed());
    assert_eq!(exit.status.code(), Some(0), "{}", exit.log);
    RUNTIME.block_on(eventually("the end of all children", || async {
        children.iter().all(|pid| !is_alive(*pid)).then_some(())
    }));
    exit
}

/// A flow map of variables.
pub(super) fn variables(vars: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in vars {
        let _ = write!(text, "{name}: {value:?}, ");
    }
    format!("env: {{{}}}", text.trim_end_matches(", "))
}
