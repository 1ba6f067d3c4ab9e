use crate::host::{write_config, write_keys};
use crate::{Client, PATIENCE, eventually, gestaltd};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// `gestaltd serve` as a process of its own.
pub struct Served {
    child: Child,
    dir: TempDir,
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// All it wrote to its log.
    pub log: String,
}

impl Served {
    /// Starts the binary with the keys in `config`, merged over the same base as [`TestHost`](crate::TestHost)'s.
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same with its files in this directory, in which something may be already.
    pub fn start_in(dir: TempDir, config: &str) -> Self {
        Self::launch(dir, "", &[], config)
    }

    /// The same on a machine that is made poorer first: by `script`, which a shell runs before it becomes the daemon and in
    /// which `$DAEMON_DIR` is the daemon's directory, and by `wrapper`, a command that runs the shell.
    pub fn start_after(script: &str, wrapper: &[&str], config: &str) -> Self {
        // Whoever the daemon is then may look into it.
        let dir = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        Self::launch(dir, script, wrapper, config)
    }

    fn launch(dir: TempDir, script: &str, wrapper: &[&str], config: &str) -> Self {
        let files = write_config(dir.path(), config);
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command: Vec<OsString> = wrapper.iter().map(Into::into).collect();
        if !script.is_empty() {
            command.extend(["sh", "-c", &format!("{script}\nexec \"$@\""), "sh"].map(OsString::from));
        }
        command.extend([gestaltd().into_os_string(), "serve".into()]);
        let child = Command::new(&command[0])
            .args(&command[1..])
            .args(files.iter().flat_map(|file| [Path::new("--config"), file]))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .env("DAEMON_DIR", dir.path())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    /// The directory that holds `base.yaml`, `config.yaml` and its `artifacts`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Writes other keys in place of those it was started with, and tells it to read them.
    pub fn reload(&self, config: &str) {
        write_keys(self.dir.path(), config);
        self.signal(Signal::SIGHUP);
    }

    /// Waits for the line that says where it listens, and returns a client of that address.
    pub async fn listening(&self) -> Client {
        let address = eventually("the address in the log", || async {
            let log = self.log();
            assert!(!log.lines().any(|line| line.starts_with("gestaltd: ")), "it did not start\n{log}");
            let after = log.split_once("listening")?.1.split_once("public=")?.1;
            after.split(|c: char| c.is_whitespace()).next()?.parse().ok()
        });
        Client::new(address.await)
    }

    /// Waits until `/ready` answers 200.
    pub async fn ready(&self) -> Client {
        let client = self.listening().await;
        eventually("readiness", || async { (client.get("/ready").await.code() == 200).then_some(()) }).await;
        client
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id().unwrap()).unwrap()
    }

    /// Its living children, and theirs.
    pub fn children(&self) -> Vec<i32> {
        descendants(self.pid())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits until it has ended.
    pub async fn exit(mut self) -> Exit {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("gestaltd ends").unwrap();
        Exit { status, log: self.log() }
    }
}

/// Runs `gestaltd` with these arguments to its end.
pub async fn run(arguments: &[&str]) -> Output {
    Command::new(gestaltd()).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
}

/// Whether a process of that id is alive.
pub fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

/// Every living process below `pid`, by the parent each process names in `/proc`.
fn descendants(pid: i32) -> Vec<i32> {
    let parent_of = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok();
    let state_of = |stat: &str| stat.rsplit_once(") ")?.1.chars().next();
    let processes: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            (state_of(&stat)? != 'Z').then_some((pid, parent_of(&stat)?))
        })
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(processes.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}
