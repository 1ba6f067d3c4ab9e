//! The process that compiles: what it may take, what it has given up, and that no bomb reaches beyond it.

use crate::fixture::{Events, Setup, call, gestaltd, probe, runtime_limits, settings, until};
use gestalt_core::limits::{ByteSize, CompileLimits, RuntimeLimits};
use gestalt_core::metrics::Event;
use gestalt_runtime_wasm::{Runtime, Settings, WasmError};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn runtime(dir: &Path, compile: CompileLimits) -> Runtime {
    let limits = RuntimeLimits { compile, ..runtime_limits() };
    Runtime::build(settings(limits, dir.join("cache"))).unwrap()
}

fn written(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A number as the format has it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Bytes with their length before them.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [leb(bytes.len()), bytes.to_vec()].concat()
}

fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![id], sized(bytes)].concat()
}

/// A component that holds this module, so many times.
fn component(module: &[u8], times: usize) -> Vec<u8> {
    [COMPONENT, &section(1, module).repeat(times)].concat()
}

/// A bound no other test has.
const OWN: u64 = (1 << 30) + 4096;

/// Functions that take longer to compile than any test waits, and one that takes more memory than a test allows.
const SLOW: usize = 40;
const STEPS: usize = 10_000;
const BIG: usize = 60_000;

/// A component around functions of so many steps, each of which the optimizer has to look at.
fn heavy(functions: usize, steps: usize) -> Vec<u8> {
    let mut code = leb(functions);
    for function in 0..functions {
        // Four more locals of type i32.
        let mut body = vec![1, 4, 0x7f];
        for step in 0..steps {
            let (a, b, to) = ((step % 6) as u8, ((step * 5 + function) % 6) as u8, ((step * 7) % 6) as u8);
            let constant = [vec![0x41], leb(step & 0x3f)].concat();
            // block; if a < step, leave it; to = rotl(a * b, step); end
            body.extend([&[0x02, 0x40, 0x20, a][..], &constant, &[0x49, 0x0d, 0, 0x20, a, 0x20, b, 0x6c]].concat());
            body.extend([&constant[..], &[0x77, 0x21, to, 0x0b]].concat());
        }
        body.extend([0x20, 2, 0x0b]);
        code.extend(sized(&body));
    }
    let types = section(1, &[1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]);
    let declared = section(3, &[leb(functions), vec![0; functions]].concat());
    component(&[MODULE, &types, &declared, &section(10, &code)].concat(), 1)
}

/// Row G19, by time: the worker is killed, and the app beside the bomb neither waits for it nor suffers.
#[tokio::test(flavor = "multi_thread")]
async fn g19_a_compile_bomb_is_killed_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let bomb = written(dir.path(), "bomb.wasm", &heavy(SLOW, STEPS));
    let timeout = Duration::from_secs(5);
    let runtime = runtime(dir.path(), CompileLimits { timeout, memory: ByteSize(OWN), workers: 2 });
    let begun = Instant::now();
    let timed = async |path: PathBuf| (Setup::of(path).launch_on(&runtime).await.err().unwrap(), begun.elapsed());
    let empty = r#"(component (instance $i) (export "gestalt:provider/app-provider@0.4.0" (instance $i)))"#;
    let (bombed, beside) =
        tokio::join!(timed(bomb), timed(written(dir.path(), "empty.wasm", &wat::parse_str(empty).unwrap())));
    assert_eq!(bombed.0.to_string(), "component compile timed out after 5s");
    assert!(bombed.1 < Duration::from_secs(30), "{:?}", bombed.1);
    // It was compiled, and then found to be empty, before the bomb had gone off.
    assert!(matches!(beside.0, WasmError::Mismatch(_)), "{}", beside.0);
    assert!(beside.1 < bombed.1, "{:?}", beside.1);
    until("gone", || workers(OWN).is_empty()).await;
}

/// Row G19, by memory.
#[tokio::test]
async fn g19_a_compile_bomb_is_killed_by_memory() {
    let dir = tempfile::tempdir().unwrap();
    let bomb = written(dir.path(), "bomb.wasm", &heavy(1, BIG));
    let small = CompileLimits { memory: ByteSize::mib(160), timeout: Duration::from_secs(60), workers: 1 };
    let error = Setup::of(bomb).launch_on(&runtime(dir.path(), small)).await.err().unwrap();
    assert_eq!(error.to_string(), "component compile needs more than 160MiB, the runtime's compile.memory");
}

/// Row G19, by what the format cannot express: errors, and no panic.
#[tokio::test]
async fn g19_nesting_and_numbers_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime(dir.path(), runtime_limits().compile);
    let nested = (0..2_000).fold(COMPONENT.to_vec(), |inner, _| [COMPONENT, &section(4, &inner)].concat());
    let types = [leb(1_000_001), [0x60, 0, 0].repeat(1_000_001)].concat();
    let functions = [leb(1_000_001), vec![0; 1_000_001]].concat();
    let nothing = section(1, &[1, 0x60, 0, 0]);
    let no_code = [leb(8 << 20), vec![0; 16]].concat();
    for (name, bytes) in [
        ("nested", nested),
        ("modules", component(MODULE, 1_001)),
        ("types", component(&[MODULE, &section(1, &types)].concat(), 1)),
        ("functions", component(&[MODULE, &nothing, &section(3, &functions)].concat(), 1)),
        ("code", component(&[MODULE, &section(10, &no_code)].concat(), 1)),
    ] {
        let path = written(dir.path(), name, &bytes);
        let error = Setup::of(path).launch_on(&runtime).await.err().unwrap();
        assert!(matches!(error, WasmError::Invalid(_) | WasmError::WrongWorld { .. }), "{name}: {error}");
    }
    let app = Setup::probe().launch_on(&runtime).await.unwrap();
    assert_eq!(app.executor.execute(call("echo", r#"{"a":1}"#)).await.unwrap().body, r#"{"a":1}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_apps_of_one_component_compile_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::default());
    let settings = Settings { meter: events.clone(), ..settings(runtime_limits(), dir.path().join("cache")) };
    let runtime = Runtime::build(settings).unwrap();
    let apps = futures::future::join_all((0..100).map(|_| Setup::probe().launch_on(&runtime))).await;
    let apps: Vec<_> = apps.into_iter().map(|app| app.unwrap_or_else(|e| panic!("{e}"))).collect();
    let compiled =
        |events: &Events| events.all().iter().filter(|e| matches!(e, Event::Compile { cached: false, .. })).count();
    assert_eq!((compiled(&events), events.all().len()), (1, 1));
    drop(apps);
    // Nobody holds it any more: it is mapped again.
    Setup::probe().launch_on(&runtime).await.unwrap();
    assert!(matches!(events.all()[..], [_, Event::Compile { cached: true, .. }]), "{:?}", events.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_under_many_names_goes_off_once() {
    let dir = tempfile::tempdir().unwrap();
    let bombs: Vec<_> = (0..10).map(|i| written(dir.path(), &format!("{i}.wasm"), &heavy(SLOW, STEPS))).collect();
    let short = CompileLimits { timeout: Duration::from_secs(2), ..CompileLimits::default() };
    let runtime = runtime(dir.path(), short);
    let begun = Instant::now();
    let failed = futures::future::join_all(bombs.into_iter().map(|b| Setup::of(b).launch_on(&runtime))).await;
    for app in failed {
        assert!(matches!(app.err().unwrap(), WasmError::CompileTimeout(_)));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_launch_that_is_given_up_takes_its_worker_along() {
    let dir = tempfile::tempdir().unwrap();
    let bomb = written(dir.path(), "bomb.wasm", &heavy(SLOW, STEPS));
    let runtime = runtime(dir.path(), CompileLimits { memory: ByteSize(OWN + 1), ..CompileLimits::default() });
    {
        let launch = Setup::of(bomb).launch_on(&runtime);
        tokio::pin!(launch);
        tokio::select! {
            _ = &mut launch => panic!("it compiled"),
            // It has read what it is to compile, and works on it with more than one thread.
            () = until("compiling", || {
                let threads = |id: &u32| fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
                workers(OWN + 1).iter().any(|id| threads(id) > 1)
            }) => {}
        }
    }
    until("gone", || workers(OWN + 1).is_empty()).await;
}

#[tokio::test]
async fn without_a_worker_nothing_compiles() {
    let dir = tempfile::tempdir().unwrap();
    for (worker, expect) in [("/no/such/file", "cannot be started"), ("/bin/true", "answered nothing")] {
        let settings = Settings { worker: worker.into(), ..settings(runtime_limits(), dir.path().join("cache")) };
        let error = Setup::probe().launch_on(&Runtime::build(settings).unwrap()).await.err().unwrap();
        assert!(error.to_string().contains(expect), "{worker}: {error}");
    }
}

/// A worker as the daemon starts it, waiting for its component; but that it could dump its memory if it were let.
fn waiting(memory: u64) -> Child {
    let mut child = Command::new("/bin/sh")
        .args(["-c", r#"ulimit -c unlimited 2>/dev/null; exec "$0" "$@""#])
        .arg(gestaltd())
        .arg(gestalt_confine::COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(&order("compile", memory, std::process::id())).unwrap();
    child
}

/// What a daemon with that process id tells its worker first.
fn order(work: &str, memory: u64, daemon: u32) -> Vec<u8> {
    const HEAD: usize = 8;
    let limits = gestalt_confine::WorkLimits { memory, processor: Duration::from_secs(60) };
    let (_, order) = gestalt_confine::work(&gestaltd(), work, limits).unwrap();
    let body = String::from_utf8(order[HEAD + 4..].to_vec()).unwrap();
    let body = body.replace(&format!("\"parent\":{}", std::process::id()), &format!("\"parent\":{daemon}"));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&order[..HEAD], &length, body.as_bytes()].concat()
}

#[tokio::test]
async fn the_worker_has_given_up_all_it_can_before_it_reads() {
    let mut child = waiting(1 << 30);
    let about = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap_or_default();
    until("confined", || about("status").contains("Seccomp_filters:\t2")).await;
    let status = about("status");
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    // No network at all where the system lets an ordinary user leave it.
    let network = |whose: &str| fs::read_link(format!("/proc/{whose}/ns/net")).unwrap();
    let may_leave = Command::new("unshare").args(["-Un", "true"]).status().is_ok_and(|status| status.success());
    assert_eq!(network(&child.id().to_string()) != network("self"), may_leave);
    let limits = about("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    let names = ["Max address space", "Max cpu time", "Max open files", "Max core file size", "Max file size"];
    assert_eq!(names.map(limit), ["1073741824", "60", "3", "0", "0"]);
    // It still works.
    child.stdin.take().unwrap().write_all(&fs::read(probe()).unwrap()).unwrap();
    let mut artifact = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut artifact).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(artifact[..5], *b"+\x7fELF");
}

#[tokio::test]
async fn a_worker_serves_nobody_but_its_daemon() {
    let own = order("compile", 1 << 30, std::process::id());
    for told in [
        Vec::new(),
        b"{}".to_vec(),
        own[..own.len() - 1].to_vec(),
        order("compile", 1 << 30, 1),
        order("shell", 1 << 30, std::process::id()),
    ] {
        let mut worker = Command::new(gestaltd());
        worker.arg(gestalt_confine::COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut worker = worker.spawn().unwrap();
        // It may be gone before it has read all.
        let _ = worker.stdin.take().unwrap().write_all(&told);
        let output = worker.wait_with_output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{told:?}: {output:?}");
    }
}

/// No more than so many at once, however many components there are to compile.
#[tokio::test(flavor = "multi_thread")]
async fn workers_are_as_many_as_the_config_says() {
    for (most, memory) in [(1, OWN + 2), (2, OWN + 3)] {
        let dir = tempfile::tempdir().unwrap();
        let limits = CompileLimits { timeout: Duration::from_secs(1), memory: ByteSize(memory), workers: most };
        let runtime = runtime(dir.path(), limits);
        // Each of its own bytes, or they would be compiled as one.
        let bombs = (0..=most).map(|i| written(dir.path(), &format!("{i}.wasm"), &heavy(SLOW, STEPS + i)));
        let launches = futures::future::join_all(bombs.map(|bomb| Setup::of(bomb).launch_on(&runtime)));
        tokio::pin!(launches);
        let mut seen = 0;
        let failed = loop {
            seen = seen.max(workers(memory).len());
            tokio::select! {
                biased;
                failed = &mut launches => break failed,
                () = tokio::task::yield_now() => {}
            }
        };
        assert!(failed.into_iter().all(|app| matches!(app, Err(WasmError::CompileTimeout(_)))));
        assert_eq!(seen, most);
    }
}

/// Of the daemon's descriptors and variables, a worker has three pipes and two settings of its own.
#[tokio::test]
async fn a_worker_inherits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bomb = written(dir.path(), "bomb.wasm", &heavy(SLOW, STEPS));
    let runtime = runtime(dir.path(), CompileLimits { memory: ByteSize(OWN + 5), ..CompileLimits::default() });
    let launch = Setup::of(bomb).launch_on(&runtime);
    tokio::pin!(launch);
    let about = |what: &str| Path::new("/proc").join(workers(OWN + 5)[0].to_string()).join(what);
    tokio::select! {
        _ = &mut launch => panic!("it compiled"),
        () = until("confined", || {
            !workers(OWN + 5).is_empty()
                && fs::read_to_string(about("status")).unwrap_or_default().contains("Seccomp_filters:\t2")
        }) => {}
    }
    let open = fs::read_dir(about("fd")).unwrap().map(|fd| fd.unwrap().file_name().into_string().unwrap());
    let mut open: Vec<_> = open.collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    let environment = fs::read_to_string(about("environ")).unwrap();
    let names: Vec<_> = environment.split_terminator('\0').map(|v| v.split('=').next().unwrap()).collect();
    assert_eq!(names, ["MALLOC_ARENA_MAX", "RAYON_NUM_THREADS"]);
}

/// A worker whose daemon is killed has nobody to answer to, and goes as well.
#[tokio::test]
async fn a_worker_does_not_outlive_its_daemon() {
    let memory = OWN + 6;
    // A shell in the daemon's place.
    let line = format!(r#"exec 3<&0; "$0" {} <&3 & wait"#, gestalt_confine::COMMAND);
    let mut daemon = Command::new("/bin/sh")
        .args(["-c", &line])
        .arg(gestaltd())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = daemon.stdin.take().unwrap();
    stdin.write_all(&order("compile", memory, daemon.id())).unwrap();
    until("waiting", || !workers(memory).is_empty()).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    until("gone", || workers(memory).is_empty()).await;
    // Not for want of input.
    drop(stdin);
}

/// Process ids of the workers alive whose bound on memory is this one: the tests beside have workers too.
fn workers(memory: u64) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_worker = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
        let bound = limits.lines().find_map(|line| line.strip_prefix("Max address space")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(gestalt_confine::COMMAND.as_bytes())
            && bound.split_whitespace().next() == Some(memory.to_string().as_str())
    };
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).filter(is_worker).collect()
}
