//! The compile worker: the one process that parses the bytes of a component.
//!
//! It is this binary itself, started by [`crate::compile`] as a confined worker of `gestalt-confine`. It gives up
//! everything a compiler does not need, reads a component from standard input, and writes an artifact, or the reason why
//! there is none, to standard output.
//!
//! **What it protects against**: a component that crashes the parser or the compiler, or makes them take all memory or
//! time there is. **What it does not**: one that takes the worker over. What the worker answers is native code the daemon
//! will run, so whoever controls the worker controls what is compiled, though nothing else on the way there.

use crate::{WasmError, engine, vet};
use gestalt_confine::{Doors, Work};
use std::io::{Read, Write};
use wasmtime::Engine;
use wasmtime::component::Component;

/// What a binary has to be able to do to be a [worker](crate::Settings::worker).
pub const COMPILING: Work = Work { name: "compile", run };

/// How an answer begins. What follows is the artifact, or one text after the other, each ended by a zero byte.
const ARTIFACT: u8 = b'+';
const INVALID: u8 = b'i';
const FOREIGN_IMPORTS: u8 = b'f';
const WRONG_WORLD: u8 = b'w';

/// A text of an answer at most: a compiler's error may quote the component.
const TEXT: usize = 4 << 10;

fn run(doors: Doors) -> Result<(), String> {
    // Made before the doors close: it asks the machine what its processor can do.
    let engine = Engine::new(&engine::code()).map_err(|e| format!("{e:#}"))?;
    doors.close()?;
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
