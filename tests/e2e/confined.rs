use gestalt_tests::gestaltd;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// An id that owns nothing.
const NOBODY: u32 = 65534;

/// What the sandbox makes of a shell script, for a user who is not root: the report, and what the script wrote.
fn confined(script: &str) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let worker = dir.path().join("gestaltd");
    // Where it lies, others may not be let in.
    if std::fs::hard_link(gestaltd(), &worker).is_err() {
        std::fs::copy(gestaltd(), &worker).unwrap();
    }
    let text = |text: &str| json!({"Unix": text.as_bytes()});
    // As the daemon writes it.
    let job = json!({
        "inner": false, "probe": false, "required": true, "namespaces": false, "missing": [],
        "view": {"read": [], "sockets": null, "write": [], "private": [], "hide": []},
        "program": "/bin/sh", "args": [text("-c"), text(script)], "workdir": "/",
    });
    let (near, far) = UnixStream::pair().unwrap();
    let mut command = Command::new(worker);
    command.args(["__confine", &job.to_string()]).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(OwnedFd::from(far)).stdout(Stdio::piped()).current_dir("/");
    if nix::unistd::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let child = command.spawn().unwrap();
    drop(command);
    let mut near = BufReader::new(near);
    near.read_exact(&mut [0]).unwrap();
    let mut report = String::new();
    near.read_line(&mut report).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{report}");
    (serde_json::from_str(&report).unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Nobody has to be root for it, and nobody has a privilege inside.
#[test]
fn an_ordinary_users_process_is_confined() {
    let (report, wrote) =
        confined("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ls /proc/self/fd; echo $$; exit 7");
    assert_eq!(report, json!({"error": null, "missing": []}));
    let words: Vec<_> = wrote.split_whitespace().collect();
    let capabilities = words.iter().filter(|word| word.len() == 16 && word.bytes().all(|b| b == b'0')).count();
    assert_eq!(capabilities, 5, "{wrote}");
    for pair in [["NoNewPrivs:", "1"], ["Seccomp:", "2"]] {
        assert!(words.windows(2).any(|two| two == pair), "{pair:?}: {wrote}");
    }
    // Its three streams, and the one on which they are listed; and it is the second process there is.
    assert!(wrote.ends_with("0\n1\n2\n3\n2\n"), "{wrote}");
}
