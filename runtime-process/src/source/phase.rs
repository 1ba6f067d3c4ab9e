//! Runs the commands of a package's phases.

use super::{SourcePackage, Step, inside, platform, stale};
use crate::confined::{Confine, Extent, Threshold};
use crate::error::{Output, ProcessError};
use crate::output::{Tail, each_line};
use crate::spec::AppCommand;
use gestalt_confine::{ConfineError, Limits};
use gestalt_core::AppName;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// How long one command of a phase may take. Against a build that waits for something that never comes.
const PHASE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Most standard output read of a command whose output is data.
const MAX_DATA: u64 = 64 << 20;

/// Bytes that the commands of one build may leave on disk. A workspace of native code with all it depends on fits.
const DISK: u64 = 16 << 30;

/// How often it is looked how much they have left.
const LOOK: Duration = Duration::from_secs(5);

/// Where a build runs: in a cell in which it may change its copy of the package, and its cache.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) confine: Confine,
    pub(super) app: AppName,
    /// Directories it may change.
    pub(super) write: Vec<PathBuf>,
    /// Where its tools keep what they fetch.
    pub(super) cache: PathBuf,
}

/// Runs `install` unless it has run since a dependency file changed.
pub(super) async fn install(package: &SourcePackage) -> Result<(), ProcessError> {
    let stamp = package.cache.join("installed");
    if package.install.is_empty() || !stale::dependencies_changed(&stamp, package) {
        return Ok(());
    }
    run_all("install", &package.install, package, None).await?;
    let written = std::fs::create_dir_all(&package.cache).and_then(|()| std::fs::write(&stamp, ""));
    written.map_err(|error| ProcessError::Package { path: stamp, reason: error.to_string() })
}

/// Runs the steps one after the other, up to the first that fails.
pub(super) async fn run_all(
    phase: &'static str,
    steps: &[Step],
    package: &SourcePackage,
    site: Option<&Site>,
) -> Result<(), ProcessError> {
    for step in steps {
        let mut command = command(step, package)?;
        let (os, arch) = platform();
        for (name, value) in [("GOOS", os), ("GOARCH", arch), ("GESTALT_TARGET_OS", os), ("GESTALT_TARGET_ARCH", arch)]
        {
            command.env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let platform = format!("{os}/{arch}");
        command.env.entry("GESTALT_TARGET_PLATFORM".to_owned()).or_insert(platform);
        let tail = Tail::default();
        let stdout = |stream| each_line(stream, |line| note(phase, line, &tail));
        build(phase, &command, site, PHASE_TIMEOUT, &tail, stdout).await?;
    }
    Ok(())
}

/// Runs one command of a build: in its cell, or as the daemon's user where the deployment allows that.
async fn build<F: Future<Output = ()>>(
    phase: &'static str,
    command: &AppCommand,
    site: Option<&Site>,
    limit: Duration,
    tail: &Tail,
    stdout: impl FnOnce(tokio::process::ChildStdout) -> F,
) -> Result<(), ProcessError> {
    let mut builder = Command::new(&command.program);
    builder.args(&command.args).current_dir(&command.workdir).stdin(Stdio::null());
    let line = command_line(&builder);
    let Some(site) = site else {
        // With the daemon's whole environment: proxies, registries and tool homes are configured there.
        builder.envs(&command.env);
        return run_with(phase, line, builder, None, limit, tail, stdout).await.map(drop);
    };
    let extent = Extent { limits: Some(Limits::build()), write: site.write.clone(), ..Extent::default() };
    let (builder, threshold) = site.confine.prepare(&site.app, command, environment(site, &command.env), extent)?;
    let ran = run_with(phase, line.clone(), builder, Some(threshold), limit, tail, stdout);
    tokio::select! {
        ran = ran => ran.map(drop),
        () = fill(&site.write) => {
            let reason = format!("it has left more than {} GiB on disk", DISK >> 30);
            Err(ProcessError::Phase { phase, command: line, reason, output: tail.get() })
        }
    }
}

/// The whole environment of a confined build: where tools are and may keep what they fetch, and what the package's own step
/// says. None of the daemon's but `PATH`, `LANG` and the place of rustup.
fn environment(site: &Site, step: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    for name in ["PATH", "LANG"] {
        env.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".rustup")));
    env.extend(rustup.filter(|dir| dir.is_dir()).map(|dir| ("RUSTUP_HOME".into(), dir.into_os_string())));
    for (name, dir) in [
        ("CARGO_HOME", "cargo"),
        ("GOCACHE", "go-build"),
        ("GOPATH", "go"),
        ("PIP_CACHE_DIR", "pip"),
        ("UV_CACHE_DIR", "uv"),
        ("npm_config_cache", "npm"),
    ] {
        env.insert(name.into(), site.cache.join(dir).into());
    }
    env.extend(step.iter().map(|(name, value)| (name.into(), value.into())));
    env
}

/// Ends when there is more below these directories than a build may leave.
async fn fill(dirs: &[PathBuf]) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let dirs = dirs.to_vec();
        let used = tokio::task::spawn_blocking(move || dirs.iter().map(|dir| used(dir)).sum::<u64>());
        if used.await.is_ok_and(|used| used > DISK) {
            return;
        }
    }
}

/// Bytes below a directory, as far as they matter.
fn used(dir: &Path) -> u64 {
    let (mut bytes, mut open) = (0_u64, vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                // What a file takes on disk, which is not what it says its length is; and a little for being there.
                Ok(meta) => bytes = bytes.saturating_add(meta.blocks() * 512).saturating_add(256),
                Err(_) => {}
            }
            if bytes > DISK {
                return bytes;
            }
        }
    }
    bytes
}

/// The command of a step.
pub(super) fn command(step: &Step, package: &SourcePackage) -> Result<AppCommand, ProcessError> {
    let Some((program, args)) = step.argv.split_first() else {
        return Err(ProcessError::Package {
            path: package.root.clone(),
            reason: "a phase has an empty command".into(),
        });
    };
    let workdir = match &step.workdir {
        None => package.root.clone(),
        Some(path) => inside(package, path)?,
    };
    // `./serve` means the package's own, not whatever lies where the daemon was started.
    let program = match program.contains('/') {
        true => workdir.join(program),
        false => PathBuf::from(program),
    };
    Ok(AppCommand {
        program,
        args: args.iter().map(Into::into).collect(),
        workdir,
        env: step.env.clone(),
        direct: false,
    })
}

/// Runs a command to its end, and calls it `line` where it is told. What it writes goes to the debug log and, in part, into
/// the error.
pub(super) async fn run(
    phase: &'static str,
    line: String,
    mut builder: Command,
    limit: Duration,
) -> Result<(), ProcessError> {
    builder.stdin(Stdio::null());
    let tail = Tail::default();
    let stdout = |stream| each_line(stream, |line| note(phase, line, &tail));
    run_with(phase, line, builder, None, limit, &tail, stdout).await.map(drop)
}

/// The same in a cell. Hands over the file the command was to leave, or says why it did not.
pub(super) async fn run_confined(
    phase: &'static str,
    line: String,
    builder: Command,
    threshold: Threshold,
    limit: Duration,
) -> Result<Result<Vec<u8>, String>, ProcessError> {
    let tail = Tail::default();
    let stdout = |stream| each_line(stream, |line| note(phase, line, &tail));
    let left = run_with(phase, line, builder, Some(threshold), limit, &tail, stdout).await?;
    Ok(left.unwrap_or_else(|| Err("it was not written".to_owned())))
}

/// Runs a command of a build to its end and gives what it wrote to standard output, line by line, to `take`.
pub(super) async fn read(
    phase: &'static str,
    command: &AppCommand,
    site: Option<&Site>,
    limit: Duration,
    mut take: impl FnMut(&str),
) -> Result<(), ProcessError> {
    let tail = Tail::default();
    let stdout = async |stream: tokio::process::ChildStdout| {
        let mut lines = BufReader::new(stream.take(MAX_DATA)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            take(&line);
        }
    };
    build(phase, command, site, limit, &tail, stdout).await
}

/// Program and arguments. Not the environment: what an operator put into `env` may be a secret, and this is logged.
pub(super) fn command_line(builder: &Command) -> String {
    let builder = builder.as_std();
    let words = std::iter::once(builder.get_program()).chain(builder.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

async fn run_with<F: Future<Output = ()>>(
    phase: &'static str,
    line: String,
    mut builder: Command,
    threshold: Option<Threshold>,
    limit: Duration,
    tail: &Tail,
    stdout: impl FnOnce(tokio::process::ChildStdout) -> F,
) -> Result<Option<Result<Vec<u8>, String>>, ProcessError> {
    let failed = |reason: String, output: Output| ProcessError::Phase { phase, command: line.clone(), reason, output };
    tracing::info!(phase, command = %line, "running");
    builder.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = builder.spawn().map_err(|error| failed(error.to_string(), Output::default()))?;
    drop(builder);
    let pid = child.id();
    let group = Group(pid.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    // Its way out, for as long as it runs; then what it left, which comes before it has ended.
    let crossing = async {
        let Some(threshold) = threshold else { return Ok(None) };
        let mut way = threshold.pass(pid).await?;
        let left = way.collected().await;
        Ok::<_, ConfineError>(Some((left, way)))
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let read_out = async {
            if let Some(out) = out {
                stdout(out).await;
            }
        };
        tokio::join!(child.wait(), crossing, read_out, drain(phase, err, tail))
    };
    let outcome = timeout(limit, whole).await;
    drop(group);
    match outcome {
        Ok((_, Err(error), ..)) => {
            let (is_passing, reason) = (error.is_passing(), error.to_string());
            Err(ProcessError::Sandbox { reason, is_passing, output: tail.get() })
        }
        Ok((Ok(status), Ok(left), ..)) if status.success() => Ok(left.map(|(left, _)| left)),
        Ok((Ok(status), ..)) => Err(failed(status.to_string(), tail.get())),
        Ok((Err(error), ..)) => Err(failed(error.to_string(), tail.get())),
        Err(_) => Err(failed(format!("took longer than {limit:?}"), tail.get())),
    }
}

/// Kills what is left of a command's process group, however the wait for it ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: nothing is left, as it should be.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn drain(phase: &'static str, stream: Option<impl AsyncRead + Unpin>, tail: &Tail) {
    if let Some(stream) = stream {
        each_line(stream, |line| note(phase, line, tail)).await;
    }
}

fn note(phase: &'static str, line: &str, tail: &Tail) {
    tracing::debug!(phase, "{line}");
    tail.push(line);
}
