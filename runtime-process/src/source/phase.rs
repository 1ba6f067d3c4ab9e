//! Runs the commands of a package's phases.

use super::{SourcePackage, Step, inside, platform, stale};
use crate::error::{Output, ProcessError};
use crate::output::{Tail, each_line};
use crate::spec::AppCommand;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// How long one command of a phase may take. Against a build that waits for something that never comes.
const PHASE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Most standard output read of a command whose output is data.
const MAX_DATA: u64 = 64 << 20;

/// Runs `install` unless it has run since a dependency file changed.
pub(super) async fn install(package: &SourcePackage) -> Result<(), ProcessError> {
    let stamp = package.cache.join("installed");
    if package.install.is_empty() || !stale::dependencies_changed(&stamp, package) {
        return Ok(());
    }
    run_all("install", &package.install, package).await?;
    let written = std::fs::create_dir_all(&package.cache).and_then(|()| std::fs::write(&stamp, ""));
    written.map_err(|error| ProcessError::Package { path: stamp, reason: error.to_string() })
}

/// Runs the steps one after the other, up to the first that fails.
pub(super) async fn run_all(phase: &'static str, steps: &[Step], package: &SourcePackage) -> Result<(), ProcessError> {
    for step in steps {
        let command = command(step, package)?;
        let mut builder = Command::new(&command.program);
        let (os, arch) = platform();
        // With the daemon's whole environment: proxies, registries and tool homes are configured there.
        builder
            .args(&command.args)
            .current_dir(&command.workdir)
            .envs([("GOOS", os), ("GOARCH", arch), ("GESTALT_TARGET_OS", os), ("GESTALT_TARGET_ARCH", arch)])
            .env("GESTALT_TARGET_PLATFORM", format!("{os}/{arch}"))
            .envs(&command.env);
        run(phase, command_line(&builder), builder, Stdio::null(), PHASE_TIMEOUT).await?;
    }
    Ok(())
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
    stdin: Stdio,
    limit: Duration,
) -> Result<(), ProcessError> {
    builder.stdin(stdin);
    let tail = Tail::default();
    let stdout = |stream| each_line(stream, |line| note(phase, line, &tail));
    run_with(phase, line, builder, limit, &tail, stdout).await
}

/// Runs a command to its end and gives what it wrote to standard output, line by line, to `take`.
pub(super) async fn read(
    phase: &'static str,
    mut builder: Command,
    limit: Duration,
    mut take: impl FnMut(&str),
) -> Result<(), ProcessError> {
    builder.stdin(Stdio::null());
    let tail = Tail::default();
    let stdout = async |stream: tokio::process::ChildStdout| {
        let mut lines = BufReader::new(stream.take(MAX_DATA)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            take(&line);
        }
    };
    run_with(phase, command_line(&builder), builder, limit, &tail, stdout).await
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
    limit: Duration,
    tail: &Tail,
    stdout: impl FnOnce(tokio::process::ChildStdout) -> F,
) -> Result<(), ProcessError> {
    let failed = |reason: String, output: Output| ProcessError::Phase { phase, command: line.clone(), reason, output };
    tracing::info!(phase, command = %line, "running");
    builder.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = builder.spawn().map_err(|error| failed(error.to_string(), Output::default()))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let read_out = async {
            if let Some(out) = out {
                stdout(out).await;
            }
        };
        let (status, (), ()) = tokio::join!(child.wait(), read_out, drain(phase, err, tail));
        status
    };
    let outcome = timeout(limit, whole).await;
    drop(group);
    match outcome {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(status.to_string(), tail.get())),
        Ok(Err(error)) => Err(failed(error.to_string(), tail.get())),
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
