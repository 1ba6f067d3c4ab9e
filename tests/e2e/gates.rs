//! What stands around a program in a cell besides its files: the processes above it, limits, and workers.

use super::confined::{RUNTIME, as_root_and_as_an_ordinary_user, confiner, directory, run, shell};
use gestalt_confine::{Cell, Confiner, Place, View, WorkLimits};
use gestalt_tests::{eventually, gestaltd};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// W2: what a daemon happens to be started with, nobody in a cell is.
#[test]
fn what_a_daemon_is_started_with_does_not_come_through() {
    as_root_and_as_an_ordinary_user("gates::what_a_daemon_is_started_with_does_not_come_through", || {
        let (_keep, dir) = directory();
        let (worker, marked) = (dir.join("worker"), dir.join("marked"));
        std::fs::create_dir(&marked).unwrap();
        let text = format!(
            "#!/bin/sh\numask 077\ncd {marked:?}\nexec python3 -c 'import os, signal, sys\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGCHLD])\n\
             os.execv(sys.argv[1], sys.argv[1:])' {:?} \"$@\" 7<{:?}\n",
            gestaltd(),
            worker
        );
        std::fs::write(&worker, text).unwrap();
        std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
        let confiner = RUNTIME.block_on(Confiner::find_out(&worker)).unwrap();
        let script =
            "umask; pwd; ls /proc/self/fd | tr '\\n' ' '; grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n'";
        let ended = run(&confiner, shell(&script.replace("\\\\", "\\")));
        let (before, signals) = ended.wrote.split_once("Sig").unwrap();
        assert_eq!(before, "0022\n/\n0 1 2 3 ", "{ended:?}");
        assert!(signals.starts_with("Blk:\t0000000000000000"), "{ended:?}");
        RUNTIME.block_on(async {
            let (mut command, gate) = confiner.gate(shell("sleep 1000")).unwrap();
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
            drop(command);
            let pid = child.id().unwrap();
            let passage = gate.pass(Some(pid)).await.unwrap();
            assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"), "the gate's directory");
            child.kill().await.unwrap();
            drop(passage);
        });
    });
}

/// Every limit of one process, by what the kernel says. What the machine has less of stays less.
#[test]
fn each_limit_is_set_for_good() {
    as_root_and_as_an_ordinary_user("gates::each_limit_is_set_for_good", || {
        let limits = gestalt_confine::Limits::provider();
        let ended = run(&confiner(), shell("cat /proc/self/limits"));
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let both = |text: &str, name: &str| -> [u64; 2] {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
            let words: Vec<u64> = line.split_whitespace().take(2).map(|w| w.parse().unwrap_or(u64::MAX)).collect();
            words.try_into().unwrap()
        };
        for (name, most) in [
            ("Max open files", limits.descriptors),
            ("Max processes", limits.processes),
            ("Max data size", limits.process_memory),
            ("Max file size", limits.file),
            ("Max core file size", 0),
            ("Max msgqueue size", 0),
            ("Max locked memory", 8 << 20),
            ("Max pending signals", 4096),
            ("Max nice priority", 0),
            ("Max realtime priority", 0),
        ] {
            let most = most.min(both(&own, name)[1]);
            assert_eq!(both(&ended.wrote, name), [most; 2], "{name}: {ended:?}");
        }
    });
}

/// Where no control group says how much a cell may run, it has a lower priority; and it reads nothing.
#[test]
fn a_cell_is_patient_and_reads_nothing() {
    as_root_and_as_an_ordinary_user("gates::a_cell_is_patient_and_reads_nothing", || {
        let confiner = confiner();
        let ended = run(&confiner, shell("readlink /proc/self/fd/0; nice"));
        let nice = if confiner.means().groups.is_some() {
            "5".to_owned()
        } else {
            ended.wrote.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(ended.wrote, format!("/dev/null\n{nice}\n"), "{ended:?}");
    });
}

/// A worker has closed its doors before it reads what others wrote: it waits for that here, and is looked at meanwhile.
#[test]
fn a_worker_is_confined_before_it_reads() {
    RUNTIME.block_on(async {
        let limits = WorkLimits { memory: 3 << 30, processor: Duration::from_secs(77) };
        let work = gestalt_confine::work(&gestaltd(), gestalt_runtime_wasm::COMPILING.name, limits);
        let (mut command, order) = work.unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&order).await.unwrap();
        let pid = child.id().unwrap();
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let limits = eventually("the filter", || async {
            assert!(!read("status").contains("State:\tZ"), "it ended");
            read("status").contains("Seccomp:\t2\n").then(|| read("limits"))
        });
        let limits = limits.await;
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        let names = ["Max address space", "Max cpu time", "Max core file size", "Max file size", "Max open files"];
        let set: BTreeMap<_, _> = names.into_iter().map(|name| (name, limit(name))).collect();
        let expect = [(3_u64 << 30).to_string(), "77".into(), "0".into(), "0".into(), "3".into()];
        assert_eq!(set, names.into_iter().zip(expect).collect());
        child.kill().await.unwrap();
    });
}

/// Whatever a package holds, the mounts of its cell are the fixed ones and the package.
#[test]
fn nothing_but_the_allowed_places_is_ever_bound() {
    as_root_and_as_an_ordinary_user("gates::nothing_but_the_allowed_places_is_ever_bound", || {
        let confiner = confiner();
        let (_keep, dir) = directory();
        let package = dir.join("package");
        std::fs::create_dir_all(package.join("venv/bin")).unwrap();
        let mounts = || {
            let cell = Cell {
                program: "/bin/cat".into(),
                args: vec!["/proc/self/mountinfo".into()],
                view: View { read: Place::of(&package), ..View::default() },
                ..shell("")
            };
            let wrote = run(&confiner, cell).wrote;
            let mut at: Vec<_> = wrote.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect();
            at.sort();
            at
        };
        let expect = mounts();
        assert!(expect.contains(&package.to_str().unwrap().to_owned()), "{expect:?}");
        let fixed =
            ["/bin", "/dev/", "/etc/", "/gnu/store", "/lib", "/nix/store", "/proc", "/run/", "/sbin", "/tmp", "/usr"];
        let allowed = |at: &String| at == "/" || fixed.iter().any(|fixed| at.starts_with(fixed));
        let beside: Vec<_> = expect.iter().filter(|at| !allowed(at) && **at != *package.to_str().unwrap()).collect();
        assert!(beside.is_empty(), "{beside:?}");
        for to in ["/", "/root", "/etc", "/proc/1/root", "/run", "/var/tmp", "..", "../.."] {
            for name in ["run", "venv/bin/python", "venv/pyvenv.cfg", ".venv"] {
                let at = package.join(name);
                let _ = std::fs::remove_file(&at);
                match name.contains("cfg") {
                    true => std::fs::write(&at, format!("home = {to}\n")).unwrap(),
                    false => std::os::unix::fs::symlink(to, &at).unwrap(),
                }
            }
            std::fs::write(package.join("script"), format!("#!{to}/bin/sh\n")).unwrap();
            assert_eq!(mounts(), expect, "{to}");
        }
    });
}

/// The gate looks at what it is told once more, whoever tells it.
#[test]
fn a_gate_refuses_a_cell_that_is_none() {
    let means = serde_json::to_value(gestalt_confine::Means::all()).unwrap();
    for order in ["Enter", "Inside"] {
        let mut cell = serde_json::to_value(shell("echo ran")).unwrap();
        cell["workdir"] = "/srv/../etc".into();
        let body = serde_json::json!({ order: {"cell": cell, "means": means, "dry": false} }).to_string();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut gate = std::process::Command::new(gestaltd());
        let gate = gate.arg(gestalt_confine::COMMAND).env_clear().stdin(std::os::fd::OwnedFd::from(far));
        let child = gate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut near, &[b"gstcell2".as_slice(), &length, body.as_bytes()].concat()).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{order}: {output:?}");
        assert!(told.contains("/srv/../etc is not an absolute path"), "{order}: {told}");
    }
}
