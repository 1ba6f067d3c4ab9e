use gestalt_core::foreign::Foreign;
use gestalt_core::limits::ByteSize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why a runtime could not be built, or an app not be launched.
///
/// The texts say what is wrong with the component or its surroundings; what they quote of a component is displayed as
/// [`Foreign`] text. Which app and which file it is about, the
/// caller knows and adds.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WasmError {
    /// The machine cannot give what the limits ask for, such as the address space of the instance pool.
    #[error("wasm engine could not be built: {0}")]
    Engine(String),
    /// A bound of the app does not fit into the runtime's.
    #[error("{what} of {asked} is more than the runtime's {most_name} of {most}")]
    Limits {
        /// The app's bound, as the config spells it.
        what: &'static str,
        /// Its value.
        asked: String,
        /// The runtime's bound, as the config spells it.
        most_name: &'static str,
        /// Its value.
        most: String,
    },
    /// The cache directory cannot be used.
    #[error("compile cache {path}: {source}", path = Foreign::phrase(&.path.to_string_lossy()))]
    Cache {
        /// What could not be read or written.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// The component file cannot be read.
    #[error("component {path}: {source}", path = Foreign::phrase(&.path.to_string_lossy()))]
    Read {
        /// The component.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// The component file is larger than `maxComponentSize`.
    #[error("component has more than {max}, the runtime's maxComponentSize")]
    TooLarge {
        /// The bound.
        max: ByteSize,
    },
    /// The file is something else.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(&'static str),
    /// The file starts as a component and goes wrong, or needs what this runtime does not offer.
    #[error("component is invalid: {}", Foreign::phrase(.0))]
    Invalid(String),
    /// Compilation did not end within `compile.timeout`.
    #[error("component compile timed out after {0:?}")]
    CompileTimeout(Duration),
    /// Compilation needed more than `compile.memory`.
    #[error("component compile needs more than {0}, the runtime's compile.memory")]
    CompileMemory(ByteSize),
    /// The process that compiles could not be started, or ended otherwise than by an answer.
    #[error("compile worker {}", Foreign::phrase(.0))]
    Compiler(String),
    /// The component imports what no app may have, or what nobody knows.
    #[error("component imports what an app cannot have: {}", Foreign::phrase(&.0.join(", ")))]
    ForeignImports(Vec<String>),
    /// The component is not an app of a version this runtime knows.
    #[error("component exports no {expected}; it exports {}", list(.found))]
    WrongWorld {
        /// The interface an app exports.
        expected: String,
        /// What this component exports instead.
        found: Vec<String>,
    },
    /// An interface has the right name and the wrong shape.
    #[error("component does not fit the contract: {}", Foreign::phrase(.0))]
    Mismatch(String),
    /// The component trapped, timed out or refused while it was started.
    #[error("app did not start: {}", Foreign::phrase(.0))]
    Start(String),
    /// What the component says about its operations cannot be used.
    #[error("app's catalog is invalid: {}", Foreign::phrase(.0))]
    Catalog(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { Foreign::phrase(&names.join(", ")).to_string() }
}
