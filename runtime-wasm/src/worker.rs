//! The compile worker: the one process that parses the bytes of a component.
//!
//! `gestaltd __compile <job>` ends up in [`run`], which gives up everything a compiler does not need
//! (`confine`), reads a component from standard input, and writes an artifact, or the reason why there is none,
//! to standard output.
//!
//! **What it protects against**: a component that crashes the parser or the compiler, or makes them take all memory or
//! time there is. **What it does not**: one that takes the worker over. What the worker answers is native code the daemon
//! will run, so whoever controls the worker controls what is compiled, though nothing else on the way there.

use crate::{WasmError, confine, engine, vet};
use gestalt_core::limits::ByteSize;
use std::fmt;
use std::io::{Read, Write};
use std::process::ExitCode;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The argument that makes a binary a worker. The one after it says what the worker may take.
pub const COMMAND: &str = "__compile";

/// What a worker may take. Its form on the command line: `memory=1073741824,cpu=121,parent=4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Address space.
    pub(crate) memory: ByteSize,
    /// Processor time, of all its threads together.
    pub(crate) cpu_seconds: u64,
    /// The daemon's process id: without it a worker has nothing to live for.
    pub(crate) parent: u32,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory={},cpu={},parent={}", self.memory.0, self.cpu_seconds, self.parent)
    }
}

impl Job {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut number = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok();
        let memory = ByteSize(number("memory")?);
        let cpu_seconds = number("cpu")?;
        let parent = u32::try_from(number("parent")?).ok()?;
        Some(Self { memory, cpu_seconds, parent })
    }
}

/// How an answer begins. What follows is the artifact, or one text after the other, each ended by a zero byte.
const ARTIFACT: u8 = b'+';
const INVALID: u8 = b'i';
const FOREIGN_IMPORTS: u8 = b'f';
const WRONG_WORLD: u8 = b'w';

/// A text of an answer at most: a compiler's error may quote the component.
const TEXT: usize = 4 << 10;

/// Does the work of the process it is called in, and ends it.
pub fn run(job: &str) -> ExitCode {
    match serve(job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(job: &str) -> Result<(), String> {
    let job = Job::parse(job).ok_or("not called by the daemon")?;
    confine::close_the_rest();
    // Made before the doors close: it asks the machine what its processor can do.
    let engine = Engine::new(&engine::code()).map_err(|e| format!("{e:#}"))?;
    confine::confine(&job)?;
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component).map_err(|e| e.to_string())?;
    let answer = encode(compile(&engine, &component));
    drop(component);
    std::io::stdout().lock().write_all(&answer).map_err(|e| e.to_string())
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, WasmError> {
    let invalid = |e: wasmtime::Error| WasmError::Invalid(format!("{e:#}"));
    let component = Component::new(engine, component).map_err(invalid)?;
    vet::check(engine, &component)?;
    component.serialize().map_err(invalid)
}

fn encode(answer: Result<Vec<u8>, WasmError>) -> Vec<u8> {
    let (tag, texts) = match answer {
        Ok(mut artifact) => {
            artifact.insert(0, ARTIFACT);
            return artifact;
        }
        Err(WasmError::ForeignImports(names)) => (FOREIGN_IMPORTS, names),
        Err(WasmError::WrongWorld { expected, found }) => {
            (WRONG_WORLD, std::iter::once(expected).chain(found).collect())
        }
        Err(WasmError::Invalid(text)) => (INVALID, vec![text]),
        Err(other) => (INVALID, vec![other.to_string()]),
    };
    let mut bytes = vec![tag];
    for text in texts {
        let text = &text[..text.floor_char_boundary(TEXT)];
        bytes.extend(text.bytes().map(|b| if b == 0 { b' ' } else { b }));
        bytes.push(0);
    }
    bytes
}

/// Reads a worker's answer, in the daemon.
pub(crate) fn answer(mut bytes: Vec<u8>) -> Result<Vec<u8>, WasmError> {
    if bytes.first() == Some(&ARTIFACT) {
        bytes.remove(0);
        return Ok(bytes);
    }
    let Some((tag, rest)) = bytes.split_first() else {
        return Err(WasmError::Compiler("answered nothing".into()));
    };
    let rest = String::from_utf8_lossy(rest);
    let mut texts = rest.split_terminator('\0').map(str::to_owned);
    Err(match *tag {
        FOREIGN_IMPORTS => WasmError::ForeignImports(texts.collect()),
        WRONG_WORLD => WasmError::WrongWorld { expected: texts.next().unwrap_or_default(), found: texts.collect() },
        INVALID => WasmError::Invalid(texts.next().unwrap_or_default()),
        _ => WasmError::Compiler("answered what it should not".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_as_it_is_written() {
        let job = Job { memory: ByteSize::mib(3), cpu_seconds: 7, parent: 42 };
        assert_eq!(job.to_string(), "memory=3145728,cpu=7,parent=42");
        assert_eq!(Job::parse(&job.to_string()), Some(job));
        for text in ["", "memory=1", "memory=1,cpu=x,parent=1", "cpu=1,memory=1,parent=1", "memory=1,cpu=1,parent=-1"] {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }

    #[test]
    fn answers_are_read_as_they_are_written() {
        let there_and_back = |answered: Result<Vec<u8>, WasmError>| match answer(encode(answered)) {
            Ok(artifact) => format!("{artifact:?}"),
            Err(e) => e.to_string(),
        };
        assert_eq!(there_and_back(Ok(vec![1, 0, 2])), "[1, 0, 2]");
        let names = || vec!["a:b/c@1.0.0".to_owned(), "x\0y".to_owned()];
        let text = there_and_back(Err(WasmError::ForeignImports(names())));
        assert_eq!(text, "component imports what an app cannot have: a:b/c@1.0.0, x y");
        let text = there_and_back(Err(WasmError::WrongWorld { expected: "e".into(), found: names() }));
        assert_eq!(text, "component exports no e; it exports a:b/c@1.0.0, x y");
        let text = there_and_back(Err(WasmError::WrongWorld { expected: "e".into(), found: Vec::new() }));
        assert_eq!(text, "component exports no e; it exports nothing");
        let long = there_and_back(Err(WasmError::Invalid("ü".repeat(TEXT))));
        assert_eq!(long, format!("component is invalid: {}", "ü".repeat(TEXT / 2)));
        assert!(matches!(answer(Vec::new()), Err(WasmError::Compiler(_))));
        assert!(matches!(answer(b"ELF".to_vec()), Err(WasmError::Compiler(_))));
    }
}
