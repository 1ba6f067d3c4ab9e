//! From component bytes to native code.

use crate::WasmError;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::Engine;

/// Compilations at once. The compiler spreads each over all cores by itself; more than two only add memory.
const WORKERS: usize = 2;

/// Turns a component into an artifact the cache can store.
///
/// The only place where bytes of a component are parsed: whoever implements it decides what a hostile one can do.
#[async_trait]
pub(crate) trait Compiler: Send + Sync + 'static {
    /// Compiles `component`, whose size is already checked.
    ///
    /// # Errors
    /// When the bytes are not a valid component, or take too long.
    async fn compile(&self, component: Vec<u8>) -> Result<Vec<u8>, WasmError>;
}

/// Compiles on a thread of the daemon.
///
/// A thread cannot be killed: after a timeout it goes on, keeping its place among the [`WORKERS`], so that at most that
/// many can be stuck and their memory is all that is lost.
pub(crate) struct InProcess {
    engine: Engine,
    timeout: Duration,
    workers: Arc<Semaphore>,
}

impl InProcess {
    pub(crate) fn new(engine: Engine, timeout: Duration) -> Self {
        Self { engine, timeout, workers: Arc::new(Semaphore::new(WORKERS)) }
    }
}

#[async_trait]
impl Compiler for InProcess {
    async fn compile(&self, component: Vec<u8>) -> Result<Vec<u8>, WasmError> {
        let work = async {
            let place = self.workers.clone().acquire_owned().await;
            let engine = self.engine.clone();
            tokio::task::spawn_blocking(move || {
                let _place = place;
                engine.precompile_component(&component)
            })
            .await
        };
        match tokio::time::timeout(self.timeout, work).await {
            Err(_) => Err(WasmError::CompileTimeout(self.timeout)),
            Ok(Err(panic)) => Err(WasmError::Invalid(format!("the compiler failed: {panic}"))),
            Ok(Ok(Err(e))) => Err(WasmError::Invalid(format!("{e:#}"))),
            Ok(Ok(Ok(artifact))) => Ok(artifact),
        }
    }
}

/// Tells a component from what people mistake for one, by its first eight bytes.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), WasmError> {
    let what = match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "it is a core module, as targets such as wasm32-wasip1 make them; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
        }
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => "it uses a version of the component format this runtime does not know",
        [0x7f, b'E', b'L', b'F', ..] => "it is native code; compiled artifacts are never loaded from outside",
        [b'(', ..] => "it is the text format; assemble it first",
        [] => "the file is empty",
        _ => "it does not start as one",
    };
    Err(WasmError::NotAComponent(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_component_by_its_header() {
        let component = wat::parse_str("(component)").unwrap();
        assert!(check_header(&component).is_ok());
        let module = wat::parse_str("(module)").unwrap();
        for (bytes, expect) in [
            (&module[..], "core module"),
            (b"\0asm\x0e\0\x01\0", "version"),
            (b"\x7fELF\x02\x01", "native code"),
            (b"(component)", "text format"),
            (b"", "empty"),
            (b"\0as", "does not start"),
            (b"#!/bin/sh", "does not start"),
        ] {
            let error = check_header(bytes).unwrap_err().to_string();
            assert!(error.contains(expect), "{bytes:?}: {error}");
        }
    }
}
