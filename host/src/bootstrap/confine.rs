//! Whether a native provider is confined, and what of the machine it sees then.
//!
//! **Invariant:** what is shown follows from the configuration, the operator's environment and the real directory of the
//! package. Nothing in that directory is read for it.

use super::apps::Stage;
use anyhow::{Context, bail};
use gestalt_config::deployment::Secrets;
use gestalt_config::{App, Deployment};
use gestalt_confine::{Confiner, Place, View, interpreters, may_be_shown};
use gestalt_core::AppName;
use gestalt_core::egress::{Action, Sandbox};
use gestalt_core::limits::EgressLimits;
use gestalt_runtime_process::Confine;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// Which native apps run unconfined since they may reach everything, and the configuration that says so: what a reload
/// changes while an app is still starting counts for that app as well.
pub(super) struct Unconfined {
    latest: Arc<Deployment>,
    apps: BTreeSet<AppName>,
}

impl Unconfined {
    pub(super) fn new(deployment: Arc<Deployment>) -> Self {
        Self { latest: deployment, apps: BTreeSet::new() }
    }

    /// Takes note of a later configuration, and says which apps run unconfined and would not under it.
    pub(super) fn update(&mut self, newer: Arc<Deployment>) -> BTreeSet<AppName> {
        self.latest = newer;
        let restricted = |name: &&AppName| {
            let app = self.latest.apps.get(*name);
            app.is_some_and(|app| app.egress.sandbox != Sandbox::Off && is_restricted(app, &self.latest))
        };
        self.apps.iter().filter(restricted).cloned().collect()
    }
}

/// What confines the app's process, whose package lies in `root`. Nothing does where everything is allowed, or the config
/// says so.
///
/// # Errors
/// When it cannot be found out what the machine can do, or the app is to see what must not be shown.
pub(super) async fn check(stage: &Stage, app: &App, root: &Path) -> anyhow::Result<Option<Confine>> {
    let Some(app) = restricted(stage, app) else { return Ok(None) };
    if app.egress.sandbox == Sandbox::Off {
        tracing::warn!(
            app = %app.name,
            config = &*app.egress.at,
            "EGRESS IS NOT ENFORCED for this app (egress.sandbox: off): its process has the machine's network"
        );
        return Ok(None);
    }
    let required = app.egress.sandbox == Sandbox::Required;
    cell(stage, &app, root, required).await.map(Some)
}

/// A cell for the app: its package's code in `root`, and its way out.
///
/// # Errors
/// As for [`check`].
pub(super) async fn cell(stage: &Stage, app: &App, root: &Path, required: bool) -> anyhow::Result<Confine> {
    let confiner = stage.confiner.get_or_try_init(|| find_out(&stage.worker)).await?.clone();
    let forward = stage.egress.forward(app.name.clone(), app.egress.clone(), EgressLimits::default());
    let view = view(&stage.deployment, app, root)?;
    Ok(Confine { confiner, required, forward, view })
}

/// What the machine can do, said once.
pub(crate) async fn find_out(worker: &Path) -> anyhow::Result<Arc<Confiner>> {
    let confiner = Confiner::find_out(worker).await.context("finding out how processes can be confined here")?;
    let means = confiner.means();
    let (missing, bounds) = (means.missing().join("; "), means.bounds());
    let or_none = |why: &Option<String>| why.clone().unwrap_or_default();
    let (landlock, groups) = (or_none(&means.landlock), or_none(&means.groups));
    match missing.is_empty() {
        true => tracing::info!(bounds, landlock, groups, "native processes can be confined as a whole"),
        false => tracing::warn!(missing, bounds, landlock, groups, "native processes can be confined in part"),
    }
    Ok(Arc::new(confiner))
}

/// The app as the latest configuration has it, if there is anything it may not reach. Others are noted.
fn restricted(stage: &Stage, app: &App) -> Option<App> {
    let mut unconfined = stage.unconfined.lock().unwrap_or_else(PoisonError::into_inner);
    let app = unconfined.latest.apps.get(&app.name).unwrap_or(app).clone();
    if is_restricted(&app, &unconfined.latest) {
        return Some(app);
    }
    unconfined.apps.insert(app.name);
    None
}

/// Whether there is anything the app may not reach.
pub(crate) fn is_restricted(app: &App, deployment: &Deployment) -> bool {
    !app.egress.allowed.is_empty() || deployment.server.egress.default_action == Action::Deny
}

/// Variables of the operator's, each a file or a list of directories, that say where further code and trusted roots are.
const NAMED: [&str; 8] = [
    "CURL_CA_BUNDLE",
    "GESTALT_HOST_SERVICE_TLS_CA_FILE",
    "GESTALT_PYTHON_SDK_DIR",
    "NODE_EXTRA_CA_CERTS",
    "PYTHONPATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// The package's own real directory, and what the operator shows the app.
///
/// # Errors
/// When the app is to see what must not be shown.
pub(crate) fn view(deployment: &Deployment, app: &App, root: &Path) -> anyhow::Result<View> {
    let package = root.canonicalize().with_context(|| root.display().to_string())?;
    if !may_be_shown(&package) {
        bail!(
            "a package in {} cannot be confined: that belongs to the system; put it in a directory of its own",
            root.display()
        );
    }
    let operator =
        |name: &str| app.env.get(name).map(|value| OsString::from(value.expose())).or_else(|| std::env::var_os(name));
    let mut read = Place::of(&package);
    read.extend(Place::of(root));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    read.extend(
        interpreters::installed(std::env::var_os("PATH").as_deref(), home.as_deref()).into_iter().map(Place::same),
    );
    for name in named_interpreters() {
        let program = operator(&name).map(PathBuf::from).filter(|program| program.is_absolute());
        read.extend(program.iter().flat_map(|program| interpreters::named(program)).map(Place::same));
    }
    let named = NAMED.into_iter().filter_map(operator);
    let named = named.flat_map(|value| std::env::split_paths(&value).collect::<Vec<_>>());
    read.extend(named.filter(|path| may_be_shown(path)).flat_map(|path| Place::of(&path)));
    for shown in &app.egress.sandbox_paths {
        let places = Place::of(&shown.path);
        let told = |what: &str| format!("{}: egress.sandboxPaths: {} {what}", shown.at, shown.path.display());
        match places.first() {
            None => bail!(told("is not there")),
            Some(place) if !may_be_shown(&place.real) => bail!(told("leads to what is never shown")),
            Some(place) if !place.real.is_file() && !place.real.is_dir() => {
                bail!(told("is neither a regular file nor a directory"))
            }
            Some(_) => read.extend(places),
        }
    }
    read.sort();
    read.dedup();
    Ok(View { read, write: Vec::new(), hide: hidden(deployment, app), sockets: None })
}

/// The toolchains that a build may use besides the system's: cargo's, where the daemon's user has it by rustup.
pub(super) fn toolchains() -> Vec<Place> {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else { return Vec::new() };
    let dir = |name: &str, default: &str| std::env::var_os(name).map_or_else(|| home.join(default), PathBuf::from);
    let (cargo, rustup) = (dir("CARGO_HOME", ".cargo"), dir("RUSTUP_HOME", ".rustup"));
    // Not all of either: beside these lie credentials, and what other builds have fetched.
    // Its `cargo` wants a directory of digests to be there, and cannot make it.
    let shown = ["toolchains", "settings.toml", "update-hashes"].map(|name| rustup.join(name));
    let shown = shown.into_iter().chain([cargo.join("bin")]);
    shown.filter(|path| may_be_shown(path)).flat_map(|path| Place::of(&path)).collect()
}

/// The variables by which an operator names the interpreter of a Python package, for any platform and for this one.
fn named_interpreters() -> [String; 2] {
    let (os, arch) = gestalt_runtime_process::source::platform();
    ["GESTALT_PYTHON".to_owned(), format!("GESTALT_PYTHON_{}_{}", os.to_uppercase(), arch.to_uppercase())]
}

/// What the daemon keeps to itself, and what is another app's, wherever it lies.
fn hidden(deployment: &Deployment, app: &App) -> Vec<PathBuf> {
    let mut hidden = deployment.files();
    hidden.push(deployment.server.artifacts_dir.clone());
    hidden.extend(deployment.providers.secrets.entries.values().filter_map(|secrets| match secrets {
        Secrets::File { dir } => Some(dir.clone()),
        _ => None,
    }));
    let others = deployment.apps.values().filter(|other| other.name != app.name);
    hidden.extend(others.filter_map(|other| other.source.manifest()?.parent().map(Path::to_owned)));
    // A package that lies in another's directory is seen all the same, and so is one that two entries share: of two words
    // about a path the nearer one counts, and of two equally near the one that shows.
    let mut hidden: Vec<PathBuf> = hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
    hidden.sort();
    hidden.dedup();
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_config::{Mode, ProcessEnv};
    use gestalt_confine::lookup;
    use std::os::unix::fs::symlink;

    /// Numbers that look like chance and are the same in every run.
    struct Chance(u64);

    impl Chance {
        fn of(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % most
        }

        fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[self.of(of.len())]
        }
    }

    const NAMES: [&str; 9] = [
        "run",
        "bin/tool",
        "venv/bin/python",
        "venv/pyvenv.cfg",
        ".venv",
        "pyvenv.cfg",
        "a/b",
        "manifest.yaml",
        "x.so",
    ];
    const ELSEWHERE: [&str; 14] = [
        "/",
        "/etc",
        "/etc/shadow",
        "/proc/1/root",
        "/proc/self/exe",
        "/dev/null",
        "/run",
        "/sys/kernel",
        "/var",
        "..",
        "../..",
        "../secret",
        "loop",
        "venv/../../secret",
    ];

    /// Puts something into the package that names another place, in one of the ways there are.
    fn scatter(package: &Path, chance: &mut Chance) {
        let at = package.join(chance.one(&NAMES));
        // Only what is new is written to: a link from before leads to the machine's own files, and so may a directory.
        let is_inside = at.parent().and_then(|dir| dir.canonicalize().ok()).is_some_and(|dir| dir.starts_with(package));
        if !is_inside || at.symlink_metadata().is_ok() {
            return;
        }
        let to = chance.one(&ELSEWHERE);
        let blank = chance.one(&["", " ", "\t", " \t ", "\u{a0}"]);
        let end = chance.one(&["\n", " -e\n", "\r\n", "", "\0\n"]);
        match chance.of(5) {
            0 => symlink(to, &at),
            1 => std::fs::write(&at, format!("#!{blank}{to}{end}")),
            2 => std::fs::write(&at, format!("version = 3\nhome{blank}={blank}{to}{end}")),
            3 => std::fs::write(&at, format!("run: {{command: [{to:?}]}}\nentrypoint: {{artifactPath: {to:?}}}\n")),
            _ => std::fs::write(&at, vec![b'#'; chance.of(400)]),
        }
        .unwrap();
    }

    #[test]
    fn nothing_in_a_package_changes_what_is_shown() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let real = dir.path().canonicalize().unwrap();
        let (package, config) = (real.join("package"), real.join("config.yaml"));
        std::fs::create_dir(&package).unwrap();
        std::fs::write(dir.path().join("secret"), "hunter2").unwrap();
        std::fs::write(package.join("manifest.yaml"), "kind: app\n").unwrap();
        let text = format!(
            "apiVersion: gestaltd.config/v6\nserver: {{encryptionKey: {:?}}}\napps: {{x: {{source: {package:?}, \
             egress: {{allowedHosts: [h.test]}}}}}}\n",
            "00".repeat(32)
        );
        std::fs::write(&config, text).unwrap();
        let deployment = gestalt_config::load(&[config], Mode::Strict, &ProcessEnv).unwrap();
        let app = deployment.apps.values().next().unwrap();
        let expect = view(&deployment, app, &package).unwrap();
        let mut chance = Chance(11);
        let (mut hidden, mut fine) = (0, 0);
        for _ in 0..400 {
            std::fs::remove_dir_all(&package).unwrap();
            for below in ["", "bin", "venv/bin", "a"] {
                std::fs::create_dir_all(package.join(below)).unwrap();
            }
            (0..8).for_each(|_| scatter(&package, &mut chance));
            assert_eq!(view(&deployment, app, &package).unwrap(), expect);
            for name in NAMES {
                let program = lookup::find(Path::new("./").join(name).as_path(), &package, None);
                match lookup::check(&program, &expect) {
                    Ok(()) => fine += 1,
                    Err(needs) => {
                        assert!(!expect.shows(&needs.place), "{needs}");
                        hidden += 1;
                    }
                }
            }
        }
        assert!(hidden > 100 && fine > 100, "both happen: {hidden} {fine}");
    }
}
