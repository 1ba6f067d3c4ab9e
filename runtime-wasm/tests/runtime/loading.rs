//! From a file to an app, or to the reason why not.

use crate::fixture::{Setup, call, probe, runtime_limits, settings};
use gestalt_core::limits::{ByteSize, CompileLimits, RuntimeLimits};
use gestalt_runtime_wasm::{Runtime, WasmError};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn runtime_in(dir: &Path, limits: RuntimeLimits) -> Runtime {
    Runtime::build(settings(limits, dir.join("cache"))).unwrap()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir.join("cache")).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.extension().is_some_and(|e| e == "cwasm")).collect()
}

/// Of a runtime that has no time to compile anything.
fn hasty() -> RuntimeLimits {
    let compile = CompileLimits { timeout: Duration::from_millis(1), ..CompileLimits::default() };
    RuntimeLimits { compile, ..runtime_limits() }
}

async fn failure_of(bytes: &[u8]) -> WasmError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.wasm");
    fs::write(&path, bytes).unwrap();
    Setup::of(path).failure().await
}

#[tokio::test]
async fn what_is_not_a_component_is_named_for_what_it_is() {
    let module = wat::parse_str("(module)").unwrap();
    let p1 = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#).unwrap();
    for (bytes, expect) in [
        (&module[..], "it is a core module"),
        (&p1, "it is a core module, as targets such as wasm32-wasip1 make them"),
        (b"", "the file is empty"),
        (b"\x7fELF", "it is native code"),
        (b"not wasm at all", "it does not start as one"),
    ] {
        let error = failure_of(bytes).await;
        assert!(matches!(error, WasmError::NotAComponent(_)));
        assert!(error.to_string().contains(expect), "{error}");
    }
}

#[tokio::test]
async fn h01_broken_components_are_errors_and_never_panics() {
    let good = fs::read(probe()).unwrap();
    for length in [8, 9, 100, good.len() / 3, good.len() / 2, good.len() - 1] {
        let error = failure_of(&good[..length]).await;
        // Cut after its header, it is a component that exports nothing.
        assert!(matches!(error, WasmError::Invalid(_) | WasmError::WrongWorld { .. }), "{length}: {error}");
    }
    // Random bytes behind a valid header, always the same ones.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for length in [1, 10, 1000] {
        let mut bytes = good[..8].to_vec();
        for _ in 0..length {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.push(seed as u8);
        }
        assert!(matches!(failure_of(&bytes).await, WasmError::Invalid(_)));
    }
}

#[tokio::test]
async fn f09_h02_foreign_imports_and_wrong_worlds_are_listed() {
    let foreign = r#"(component (import "wasi:tls/types@0.2.0" (instance)) (import "env:x/foo@1.0.0" (instance)))"#;
    let error = failure_of(&wat::parse_str(foreign).unwrap()).await.to_string();
    assert_eq!(error, "component imports what an app cannot have: wasi:tls/types@0.2.0, env:x/foo@1.0.0");
    let world = r#"(component (instance $i) (export "gestalt:provider/provider-lifecycle@0.4.0" (instance $i)))"#;
    let error = failure_of(&wat::parse_str(world).unwrap()).await.to_string();
    assert_eq!(
        error,
        "component exports no gestalt:provider/app-provider@0.4.0; it exports gestalt:provider/provider-lifecycle@0.4.0"
    );
    let empty = r#"(component (instance $i) (export "gestalt:provider/app-provider@0.4.0" (instance $i)))"#;
    let error = failure_of(&wat::parse_str(empty).unwrap()).await;
    assert!(matches!(error, WasmError::Mismatch(_)), "{error}");
    assert!(error.to_string().contains("get-metadata"), "{error}");
    // The right name of an import with the wrong shape.
    let shape = r#"(component
        (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func (param "a" string)))))
        (instance $i) (export "gestalt:provider/app-provider@0.4.0" (instance $i)))"#;
    let error = failure_of(&wat::parse_str(shape).unwrap()).await;
    assert!(error.to_string().contains("wasi:cli/exit@0.2.0"), "{error}");
}

#[tokio::test]
async fn a_component_that_is_too_large_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let limits = RuntimeLimits { max_component_size: ByteSize::kib(1), ..runtime_limits() };
    let runtime = runtime_in(dir.path(), limits);
    let error = Setup::probe().launch_on(&runtime).await.err().unwrap();
    assert_eq!(error.to_string(), "component has more than 1KiB, the runtime's maxComponentSize");
    assert!(entries(dir.path()).is_empty());
    for (path, expect) in [(dir.path().join("none.wasm"), "No such file"), (dir.path().into(), "not a regular file")] {
        let error = Setup::of(path).launch_on(&runtime).await.err().unwrap().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn compilation_has_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let error = Setup::probe().launch_on(&runtime_in(dir.path(), hasty())).await.err().unwrap();
    assert_eq!(error.to_string(), "component compile timed out after 1ms");
}

#[tokio::test]
async fn the_second_launch_compiles_nothing_and_a_bad_entry_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let answers = async |runtime: &Runtime| {
        let app = Setup::probe().launch_on(runtime).await.unwrap();
        app.executor.execute(call("echo", r#"{"a":1}"#)).await.unwrap().body == r#"{"a":1}"#
    };
    // Whoever cannot compile within the time needs the cache.
    assert!(answers(&runtime_in(dir.path(), runtime_limits())).await);
    assert!(answers(&runtime_in(dir.path(), hasty())).await);

    let entry = entries(dir.path()).pop().unwrap();
    let good = fs::read(&entry).unwrap();
    let middle = good.len() / 2;
    let tampered = [&good[..middle], &[good[middle] ^ 1], &good[middle + 1..]].concat();
    for bad in [tampered, good[..middle].to_vec(), Vec::new()] {
        // Replaced and not overwritten, as the entry may be mapped.
        fs::remove_file(&entry).unwrap();
        fs::write(&entry, &bad).unwrap();
        let refused = Setup::probe().launch_on(&runtime_in(dir.path(), hasty())).await.err().unwrap();
        assert!(matches!(refused, WasmError::CompileTimeout(_)), "{refused}");
        assert!(answers(&runtime_in(dir.path(), runtime_limits())).await);
        assert_eq!(fs::read(&entry).unwrap().len(), good.len());
        assert!(answers(&runtime_in(dir.path(), hasty())).await);
    }
    assert_eq!(entries(dir.path()).len(), 1);
}

#[tokio::test]
async fn an_app_that_refuses_or_contradicts_itself_does_not_launch() {
    for (setup, expect) in [
        (
            Setup::probe().config(json!({"refuse": "no such tenant"})),
            "app did not start: app failed: StatusCode::InvalidArgument: no such tenant",
        ),
        (Setup::probe().env("CATALOG", "panic"), "app did not start: app failed: wasm trap"),
        (Setup::probe().env("CATALOG", "twice"), "app's catalog is invalid: operation \"a\" is there twice"),
        (Setup::probe().env("CATALOG", "bad"), "app's catalog is invalid: \"-\" is not an operation id"),
    ] {
        let error = setup.failure().await.to_string();
        assert!(error.starts_with(expect), "{error}");
    }
}

#[test]
fn a_cache_directory_that_cannot_be_one_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Runtime::build(settings(runtime_limits(), file.path().join("cache"))).err().unwrap();
    assert!(matches!(error, WasmError::Cache { .. }), "{error}");
}
