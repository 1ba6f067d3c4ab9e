//! Ends an app's processes when the daemon dies without having done so.
//!
//! The SDKs' own watchdog compares process ids, but Python's has none. The kernel's parent-death signal would have to be
//! asked for between fork and exec, which is unsafe code; it fires when the *thread* that forked ends, which in a thread
//! pool is long before the process does; and it reaches the direct child only. So each app gets a guard: a shell that
//! waits for the end of its standard input, whose other end the daemon holds and the kernel closes with it. The guard
//! then interrupts the app's whole process group, kills what is left of it, and removes its sockets.

use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, ChildStdin, Command};

/// `$1` is the process group, `$2` the socket directory. A line on standard input instead of its end means "all is well".
const SCRIPT: &str = r#"read -r _ || { kill -s INT -- "-$1"; sleep 2; kill -s KILL -- "-$1"; rm -rf -- "$2"; }"#;

/// The guard of one process group. Dropping it has the same effect as the daemon's death.
pub(crate) struct Guard {
    shell: Child,
    _stdin: Option<ChildStdin>,
}

impl Guard {
    /// Sets up a guard. `None` when there is no shell to be had: the app then runs unguarded.
    pub(crate) fn launch(group: u32, sockets: &Path) -> Option<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "gestalt-guard", &group.to_string()])
            .arg(sockets)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .inspect_err(|error| tracing::warn!(%error, "no guard against orphaned app processes"))
            .ok()?;
        let stdin = shell.stdin.take();
        Some(Self { shell, _stdin: stdin })
    }

    /// Takes the guard away: the process group is gone.
    pub(crate) async fn dismiss(mut self) {
        // Killed while its input is still open, so that it never sees the end of it.
        if let Err(error) = self.shell.kill().await {
            tracing::debug!(%error, "guard already gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use tokio::process::Command;

    fn app() -> Child {
        Command::new("sleep").arg("1000").process_group(0).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_guard_that_is_let_go_ends_the_group() {
        let sockets = tempfile::tempdir().unwrap().keep();
        let mut app = app();
        let guard = Guard::launch(app.id().unwrap(), &sockets).unwrap();
        let mut shell = guard.shell;
        drop(guard._stdin);
        // An interrupt, or a kill where interrupts are ignored, as in what a background job starts.
        assert!(matches!(app.wait().await.unwrap().signal(), Some(2 | 9)));
        assert!(shell.wait().await.is_ok() && !sockets.exists());
    }

    #[tokio::test]
    async fn a_dismissed_guard_does_nothing() {
        let sockets = tempfile::tempdir().unwrap();
        let mut app = app();
        Guard::launch(app.id().unwrap(), sockets.path()).unwrap().dismiss().await;
        assert!(app.try_wait().unwrap().is_none() && sockets.path().exists());
        app.kill().await.unwrap();
    }
}
