//! From component bytes to native code, in a process that can be killed.
//!
//! The daemon itself parses none of the bytes: it hands them to a child ([`crate::worker`]) that has given up everything
//! but its standard streams, and takes an artifact or a reason from it.

use crate::WasmError;
use crate::worker;
use gestalt_confine::WorkLimits;
use gestalt_core::limits::CompileLimits;
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::Semaphore;

/// What a worker may write to its standard error: the panic or the failed allocation that ended it.
const LAST_WORDS: u64 = 4 << 10;

/// Threads of one worker at most. The memory it needs grows with them, the time it takes hardly shrinks beyond.
const THREADS: usize = 8;

const SIGXCPU: i32 = Signal::SIGXCPU as i32;

/// Starts workers.
pub(crate) struct Compiler {
    /// A binary that does the work of [`worker::COMPILING`].
    program: PathBuf,
    limits: CompileLimits,
    places: Semaphore,
}

impl Compiler {
    pub(crate) fn new(program: PathBuf, limits: CompileLimits) -> Self {
        let places = Semaphore::new(limits.workers.clamp(1, Semaphore::MAX_PERMITS));
        Self { program, limits, places }
    }

    /// Compiles `component`, whose size is already checked, and checks what it imports and exports.
    ///
    /// Dropping the future kills the worker.
    ///
    /// # Errors
    /// When the bytes are not a component an app may be, or take too much time or memory.
    pub(crate) async fn compile(&self, component: Vec<u8>) -> Result<Vec<u8>, WasmError> {
        let _place = self.places.acquire().await.map_err(|e| WasmError::Compiler(e.to_string()))?;
        let cannot = |why: String| WasmError::Compiler(format!("cannot be started: {why}"));
        let (mut worker, order) = self.launch().map_err(cannot)?;
        // From here on: a component does not pay for those before it.
        match tokio::time::timeout(self.limits.timeout, self.converse(&mut worker, order, component)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Waited for, so that the place is free when the memory is.
                let _ = worker.kill().await;
                Err(WasmError::CompileTimeout(self.limits.timeout))
            }
        }
    }

    /// A worker, and what it has to be told before anything else.
    fn launch(&self) -> Result<(Child, Vec<u8>), String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(THREADS);
        // Real time cannot outrun processor time by more than the number of threads: this one only ends a worker whose
        // daemon is gone.
        let cpu = self.limits.timeout.saturating_mul(u32::try_from(threads).unwrap_or(1)) + Duration::from_secs(1);
        let limits = WorkLimits { memory: self.limits.memory.0, processor: cpu };
        let work = gestalt_confine::work(&self.program, worker::COMPILING.name, limits);
        let (mut command, order) = work.map_err(|error| error.to_string())?;
        let worker = command
            .env("RAYON_NUM_THREADS", threads.to_string())
            // Each further arena of the allocator reserves 64 MiB of the address space that is bounded.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Ok((worker.map_err(|error| error.to_string())?, order))
    }

    /// Hands over the component, and takes what comes back.
    async fn converse(&self, worker: &mut Child, order: Vec<u8>, component: Vec<u8>) -> Result<Vec<u8>, WasmError> {
        let (stdin, stdout, stderr) = (worker.stdin.take(), worker.stdout.take(), worker.stderr.take());
        let hand_over = async move {
            if let Some(mut stdin) = stdin {
                // A worker that is gone says so by its status.
                if stdin.write_all(&order).await.is_ok() {
                    let _ = stdin.write_all(&component).await;
                }
            }
        };
        // The worker cannot have made more than it may hold.
        let ((), answer, last_words) =
            tokio::join!(hand_over, read(stdout, self.limits.memory.0), read(stderr, LAST_WORDS));
        let status = worker.wait().await.map_err(|e| WasmError::Compiler(e.to_string()))?;
        let last_words = String::from_utf8_lossy(&last_words);
        if status.success() {
            return worker::answer(answer);
        }
        Err(self.explain(status, last_words.trim()))
    }

    /// What the end of a worker without an answer means.
    fn explain(&self, status: ExitStatus, last_words: &str) -> WasmError {
        // How Rust and the C library end a process that gets no more memory.
        if ["memory allocation of", "Cannot allocate memory", "out of memory"].iter().any(|s| last_words.contains(s)) {
            return WasmError::CompileMemory(self.limits.memory);
        }
        match status.signal() {
            Some(SIGXCPU) => WasmError::CompileTimeout(self.limits.timeout),
            Some(signal) => WasmError::Compiler(format!("was ended by signal {signal}: {last_words}")),
            None => WasmError::Compiler(format!("failed: {last_words}")),
        }
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read before an error is what there is.
        let _ = from.take(most).read_to_end(&mut bytes).await;
    }
    bytes
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
