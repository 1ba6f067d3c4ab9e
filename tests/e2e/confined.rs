//! Cells, without a daemon: what a program finds in one, row by row, as root and as an ordinary user.

use gestalt_confine::{Cell, ConfineError, Confiner, HOME, Limits, Means, Passage, Place, View};
use gestalt_tests::gestaltd;
use nix::unistd::getuid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

/// An id that owns nothing.
const NOBODY: u32 = 65534;

pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Runs the rest of a test as the user who runs the tests, and once more as one without privileges where that is root.
/// `name` is the test's own,
/// with its module.
pub(super) fn as_root_and_as_an_ordinary_user(name: &str, test: impl Fn()) {
    test();
    if !getuid().is_root() {
        return;
    }
    // Where the binaries lie, others may not be let in.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let place = dir.path().join("deps");
    std::fs::create_dir(&place).unwrap();
    for (from, to) in
        [(std::env::current_exe().unwrap(), place.join("suite")), (gestaltd(), dir.path().join("gestaltd"))]
    {
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).unwrap();
        }
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o755)).unwrap();
    }
    for open in [dir.path(), &place] {
        std::fs::set_permissions(open, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut again = Command::new(place.join("suite"));
    std::os::unix::process::CommandExt::uid(&mut again, NOBODY);
    std::os::unix::process::CommandExt::gid(&mut again, NOBODY);
    let again = again.args(["--exact", &format!("e2e::{name}"), "--nocapture"]).current_dir("/");
    let output = again.env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "as an ordinary user: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(super) fn confiner() -> Confiner {
    RUNTIME.block_on(Confiner::find_out(&gestaltd())).unwrap()
}

pub(super) fn shell(script: &str) -> Cell {
    Cell {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        workdir: "/".into(),
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        view: View::default(),
        limits: Limits::provider(),
        required: true,
        collect: None,
    }
}

/// What became of a cell.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) wrote: String,
    pub(super) left: Result<Vec<u8>, String>,
}

pub(super) async fn ran(confiner: &Confiner, cell: Cell) -> Result<Ended, ConfineError> {
    let (mut command, gate) = confiner.gate(cell)?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    drop(command);
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut passage: Passage = gate.pass(child.id()).await?;
    let (mut wrote, mut told) = (Vec::new(), Vec::new());
    let (left, _, _) = tokio::join!(passage.collected(), out.read_to_end(&mut wrote), err.read_to_end(&mut told));
    let status = child.wait().await.unwrap();
    wrote.extend(told);
    Ok(Ended { code: status.code(), wrote: String::from_utf8_lossy(&wrote).into_owned(), left })
}

pub(super) fn run(confiner: &Confiner, cell: Cell) -> Ended {
    RUNTIME.block_on(ran(confiner, cell)).unwrap()
}

/// A directory that an ordinary user may look into, away from the places a cell makes itself.
pub(super) fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let real = dir.path().canonicalize().unwrap();
    (dir, real)
}

/// Nobody has to be root for it, and nobody has a privilege inside.
#[test]
fn nobody_has_a_privilege_inside() {
    as_root_and_as_an_ordinary_user("confined::nobody_has_a_privilege_inside", || {
        let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ls /proc/self/fd; echo $$; exit 7";
        let ended = run(&confiner(), shell(script));
        assert_eq!(ended.code, Some(7), "{ended:?}");
        let words: Vec<_> = ended.wrote.split_whitespace().collect();
        let capabilities = words.iter().filter(|word| word.len() == 16 && word.bytes().all(|b| b == b'0')).count();
        assert_eq!(capabilities, 5, "{ended:?}");
        for pair in [["NoNewPrivs:", "1"], ["Seccomp:", "2"]] {
            assert!(words.windows(2).any(|two| two == pair), "{pair:?}: {ended:?}");
        }
        // Its three streams, and the one on which they are listed; and it is the second process there is.
        assert!(ended.wrote.ends_with("0\n1\n2\n3\n2\n"), "{ended:?}");
    });
}

/// Row by row: what to do in a cell, and what has to come of it.
#[test]
fn what_there_is_in_a_cell() {
    as_root_and_as_an_ordinary_user("confined::what_there_is_in_a_cell", || {
        let confiner = confiner();
        for (what, script, expect) in [
            (
                "the places it may write to",
                "for d in / /etc /usr /bin /run/home /tmp /dev/shm /run /run/gestalt /dev /proc /var; do touch $d/.w 2>/dev/null && echo $d; done",
                "/run/home\n/tmp\n/dev/shm\n",
            ),
            (
                "its home",
                "echo $HOME; cd; pwd; grep ^app: /etc/passwd | cut -d: -f6",
                "/run/home\n/run/home\n/run/home\n",
            ),
            (
                "settings of the kernel",
                "ls -A /proc/sys | wc -l; (echo 1 > /proc/sys/vm/overcommit_memory) 2>/dev/null || echo refused",
                "0\nrefused\n",
            ),
            (
                "the kernel's own files",
                "for f in sysrq-trigger kcore kmsg kallsyms keys timer_list; do [ -n \"$(head -c1 /proc/$f 2>/dev/null | tr -d '\\0')\" ] && echo $f; done; echo none",
                "none\n",
            ),
            (
                "facts that runtimes ask for",
                "for f in cpuinfo meminfo stat uptime; do [ -n \"$(head -c1 /proc/$f)\" ] || echo $f; done; echo all",
                "all\n",
            ),
            (
                "processes, and what is above them",
                "set -- /proc/[0-9]*; [ $# -le 2 ] && echo $$; cat /proc/1/environ /proc/1/maps /proc/1/mem 2>/dev/null | wc -c; readlink /proc/1/fd/* /proc/1/cwd /proc/1/exe | wc -l",
                "2\n0\n0\n",
            ),
            (
                "the process above it",
                "ls -d /proc/1 2>/dev/null || echo hidden",
                if getuid().is_root() { "/proc/1\n" } else { "hidden\n" },
            ),
            ("roots", "cut -d' ' -f5 /proc/self/mountinfo | grep -cx /; ls /.. | grep -cx boot", "1\n0\n"),
            (
                "programs in what the kernel makes",
                "cp /bin/true /dev/shm/x && /dev/shm/x && echo runs; for d in /proc /dev/null; do grep -q \" $d ro,nosuid[^ ]*noexec\" /proc/self/mountinfo && echo $d; done",
                "runs\n/proc\n/dev/null\n",
            ),
            ("devices", "ls /dev | tr '\\n' ' '", "fd full null random shm stderr stdin stdout urandom zero "),
            ("priority", "[ $(nice) -ge 0 ] && echo so; nice -n -5 true 2>/dev/null; echo", "so\n\n"),
            ("whom the kernel ends first", "cat /proc/self/oom_score_adj", "500\n"),
            ("mask of new files", "umask", "0022\n"),
            ("directory", "pwd", "/\n"),
            ("interfaces", "cut -d: -f1 /proc/self/net/dev | tail -n +3 | tr -d ' '", "lo\n"),
            ("processor's descriptors", "ulimit -n; ulimit -c", "1024\n0\n"),
        ] {
            let ended = run(&confiner, shell(script));
            assert_eq!((ended.wrote.as_str(), ended.code.is_some()), (expect, true), "{what}: {ended:?}");
        }
    });
}

/// W1: the program has its environment, and nothing before the program has any of it.
#[test]
fn the_environment_is_the_programs_alone() {
    as_root_and_as_an_ordinary_user("confined::the_environment_is_the_programs_alone", || {
        let confiner = confiner();
        let (_keep, dir) = directory();
        // Whoever loads this says so: the loader tells of a library it cannot load.
        let library = dir.join("x.so");
        std::fs::write(&library, "no library").unwrap();
        let names = [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "GCONV_PATH",
            "LOCPATH",
            "MALLOC_TRACE",
            "RUST_BACKTRACE",
            "RUST_LOG",
            "TERMINFO",
            "SSL_CERT_FILE",
            "GLIBC_TUNABLES",
            "PYTHONHOME",
            "BASH_ENV",
            "ENV",
        ];
        let mut cell = shell("sleep 1000");
        cell.env.extend(names.map(|name| (OsString::from(name), library.clone().into_os_string())));
        cell.env.insert("HOME".into(), "/proc".into());
        cell.env.insert("HTTP_PROXY".into(), "http://evil.test".into());
        let program = PathBuf::from("/usr/bin/env");
        let ended = run(&confiner, Cell { program, args: vec!["-0".into()], ..cell.clone() });
        let set: BTreeMap<_, _> = ended.wrote.split('\0').filter_map(|line| line.split_once('=')).collect();
        assert_eq!((set["HOME"], set["HTTP_PROXY"]), (HOME, "http://127.0.0.1:3128"), "{ended:?}");
        assert_eq!(set["RUST_LOG"], library.to_str().unwrap());
        // The processes that stay above the program, looked at while it runs.
        RUNTIME.block_on(async {
            let (mut command, gate) = confiner.gate(cell).unwrap();
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            drop(command);
            let pid = child.id().unwrap();
            let passage = gate.pass(Some(pid)).await.unwrap();
            assert_eq!(std::fs::read(format!("/proc/{pid}/environ")).unwrap(), b"", "the gate's environment");
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert_eq!(line, b"gestaltd\0__confine\0", "nothing on the command line, which everybody can read");
            let mut told = child.stderr.take().unwrap();
            child.kill().await.unwrap();
            drop(passage);
            let mut text = String::new();
            told.read_to_string(&mut text).await.unwrap();
            // At most the program's own loader, once, and that of the one it starts.
            assert!(text.matches("cannot be preloaded").count() <= 2, "{text}");
        });
    });
}

/// W2, W4: what is shown is what is listed, opened without following links, and never a socket or a device.
#[test]
fn what_is_listed_is_shown_and_nothing_that_a_link_leads_to() {
    as_root_and_as_an_ordinary_user("confined::what_is_listed_is_shown_and_nothing_that_a_link_leads_to", || {
        let confiner = confiner();
        let (_keep, dir) = directory();
        let package = dir.join("package");
        std::fs::create_dir_all(package.join("state")).unwrap();
        for (path, text) in [
            ("secret", "secret"),
            ("package/own", "own"),
            ("package/state/key", "key"),
            ("package/gestalt.yaml", "key"),
        ] {
            std::fs::write(dir.join(path), text).unwrap();
        }
        symlink(dir.join("secret"), package.join("link")).unwrap();
        symlink(&dir, package.join("up")).unwrap();
        symlink(&package, dir.join("spelled")).unwrap();
        let listener = UnixListener::bind(dir.join("socket")).unwrap();
        let mut cell = shell("");
        cell.view.read = Place::of(&dir.join("spelled"));
        cell.view.hide = vec![package.join("state"), package.join("gestalt.yaml")];
        let sees = |path: &Path| {
            let mut cell = cell.clone();
            cell.args[1] = format!("cat '{}' 2>/dev/null; true", path.display()).into();
            run(&confiner, cell).wrote
        };
        for (path, text) in [
            ("package/own", "own"),
            ("spelled/own", "own"),
            ("secret", ""),
            ("package/link", ""),
            ("package/up/secret", ""),
            ("package/../secret", ""),
            ("package/state/key", ""),
            ("package/gestalt.yaml", ""),
            ("spelled/state/key", ""),
        ] {
            assert_eq!(sees(&dir.join(path)), text, "{path}");
        }
        // What has come to be a link since, and what is no file at all, is an error and not shown.
        for (place, why) in [
            (Place::same(dir.join("spelled")), "a link has come to be on the way"),
            (Place { at: dir.join("x"), real: package.join("up/secret") }, "a link has come to be on the way"),
            (Place::same(dir.join("socket")), "neither a regular file nor a directory"),
            (Place { at: dir.join("tty"), real: "/dev/null".into() }, "neither a regular file nor a directory"),
            (Place::same(dir.join("gone")), "No such file"),
        ] {
            let mut cell = shell("true");
            cell.view.read = vec![place.clone()];
            let error = RUNTIME.block_on(ran(&confiner, cell)).unwrap_err().to_string();
            assert!(error.contains(why), "{place:?}: {error}");
        }
        drop(listener);
    });
}

/// W3, W15: memory of the whole cell, whatever it is made of, and the other things a cell has a number of.
#[test]
fn what_a_cell_may_use_up_is_bounded_as_a_whole() {
    as_root_and_as_an_ordinary_user("confined::what_a_cell_may_use_up_is_bounded_as_a_whole", || {
        let confiner = confiner();
        let python = |script: &str, limits: Limits| {
            let args = vec!["-c".into(), script.into()];
            run(&confiner, Cell { program: "/usr/bin/python3".into(), args, limits, ..shell("") })
        };
        let small = Limits { memory: 256 << 20, process_memory: 1 << 30, processes: 64, ..Limits::provider() };
        // One process with too much, many with too much together, and memory that belongs to none of them.
        for (what, script) in [
            ("its own", "x = bytearray(400 << 20); import time; time.sleep(20)"),
            (
                "together",
                "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n    x = bytearray(60 << 20); time.sleep(3); print('held'); os._exit(0)\nfor i in range(8): os.wait()",
            ),
            (
                "shared",
                "import mmap, time\nm = mmap.mmap(-1, 400 << 20)\nfor i in range(0, 400 << 20, 4096): m[i] = 1\ntime.sleep(20)",
            ),
        ] {
            let ended = python(script, small);
            assert!(
                ended.code != Some(0) || ended.wrote.matches("held").count() < 8 && what == "together",
                "{what}: {ended:?}"
            );
        }
        let nameless = "import os, time\ntry:\n  f = os.memfd_create('x')\n  b = b'x' * (1 << 20)\n  for i in range(400): os.write(f, b)\n  os.lseek(f, 0, 0); time.sleep(20)\nexcept OSError as e: print(e.errno)";
        let ended = python(nameless, Limits { file: 1 << 30, ..small });
        assert!(ended.code != Some(0) || ended.wrote.trim() == "38", "{ended:?}");
        let forks = "import os, time\nn = 0\ntry:\n  for i in range(500):\n    if os.fork() == 0: time.sleep(20)\n    n += 1\nexcept OSError as e: print(n < 64, e.errno, flush=True)\nos._exit(0)";
        assert_eq!(python(forks, small).wrote, "True 11\n");
        let disk = "import os\nn = 0\ntry:\n  for d in ('/tmp', '/run/home'):\n    for i in range(64):\n      open(f'{d}/{i}', 'wb').write(b'x' * (4 << 20)); n += 4\nexcept OSError as e: print(n <= 64, e.errno)";
        assert_eq!(python(disk, small).wrote, "True 28\n");
        let files = "n = 0\ntry:\n  for i in range(100000): open(f'/tmp/{i}', 'w'); n += 1\nexcept OSError as e: print(n <= 1000, e.errno)";
        assert_eq!(python(files, Limits { scratch_files: 1000, ..small }).wrote, "True 28\n");
        // It still works.
        assert_eq!(python("print(sum(bytearray(100 << 20)))", small).wrote, "0\n");
    });
}

/// W5: a file comes back as what it is, or not at all.
#[test]
fn only_a_regular_file_comes_back() {
    as_root_and_as_an_ordinary_user("confined::only_a_regular_file_comes_back", || {
        let confiner = confiner();
        for (script, expect) in [
            ("echo text > /tmp/out", Ok("text\n")),
            ("echo text > /tmp/out; sleep 1000 & exit 0", Ok("text\n")),
            ("true", Err("it was not written")),
            ("ln -s /etc/passwd /tmp/out", Err("it is a link, or behind one")),
            ("ln -s /proc/1/environ /tmp/out", Err("it is a link, or behind one")),
            ("mkfifo /tmp/out", Err("it is not a regular file")),
            ("mkdir /tmp/out", Err("it is not a regular file")),
            ("truncate -s 17M /tmp/out", Err("it has 17825792 bytes, and may have 16777216")),
            ("echo text > /tmp/out; exit 3", Err("it ended without one")),
        ] {
            let cell = Cell { collect: Some("/tmp/out".into()), ..shell(script) };
            let ended = run(&confiner, cell);
            let expect = expect.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned);
            assert_eq!(ended.left, expect, "{script}: {ended:?}");
        }
    });
}

/// W7: what the machine is short of at the moment refuses a start and weakens none; and what it cannot do is refused where
/// it is required.
#[test]
fn a_passing_want_refuses_and_weakens_nothing() {
    as_root_and_as_an_ordinary_user("confined::a_passing_want_refuses_and_weakens_nothing", || {
        let confiner = confiner();
        assert_eq!(confiner.means().missing(), Vec::<String>::new());
        // A gate that may open nothing more: EMFILE; and, for all but root, one that may start nothing more: EAGAIN.
        for limit in if getuid().is_root() { vec!["--nofile=4"] } else { vec!["--nofile=4", "--nproc=0"] } {
            let (error, wrote) = RUNTIME.block_on(async {
                let (mut command, gate) = confiner.gate(Cell { required: false, ..shell("echo ran") }).unwrap();
                let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
                drop(command);
                // It waits for its order.
                let pid = child.id().unwrap().to_string();
                assert!(Command::new("prlimit").args([limit, "--pid", &pid]).status().unwrap().success());
                let passed = gate.pass(child.id()).await;
                let mut wrote = String::new();
                child.stdout.take().unwrap().read_to_string(&mut wrote).await.unwrap();
                child.wait().await.unwrap();
                (passed.err().unwrap(), wrote)
            });
            assert!(error.is_passing() && wrote.is_empty(), "{limit}: {error}: {wrote}");
        }
        assert_eq!(run(&confiner, shell("echo ran")).wrote, "ran\n");
        // A machine that is short from the start on: what it can do is not known, and it is not taken for one that cannot.
        if !getuid().is_root() {
            let (_keep, dir) = directory();
            let worker = dir.join("worker");
            let text = format!("#!/bin/sh\nexec prlimit --nproc=1 {:?} \"$@\"\n", gestaltd());
            std::fs::write(&worker, text).unwrap();
            std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
            let error = RUNTIME.block_on(Confiner::find_out(&worker)).unwrap_err();
            assert!(error.is_passing() && error.to_string().contains("second process"), "{error}");
        }
    });
}

/// A cell without the walls that are required of it is not made.
#[test]
fn what_is_required_is_there() {
    let means = Means::none("the kernel is too old");
    let missing = means.missing();
    assert_eq!(missing.len(), 4, "{missing:?}");
    assert!(missing.iter().any(|wall| wall == "namespaces: the kernel is too old"), "{missing:?}");
    assert!(Means::all().missing().is_empty() && Means::all().bounds().starts_with("control group"));
}
