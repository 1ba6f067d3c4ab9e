//! What the end of a guest means.

use crate::convert;
use crate::host::held::{FULL_COLLECTIONS, Overdrawn};
use crate::limits::Refused;
use crate::state::State;
use gestalt_core::ExecError;
use gestalt_core::foreign::Foreign;
use wasmtime::component::ResourceTableError;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// What wasmtime says, in a type of its own or only as text, when a guest holds too many handles or hands over too much.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";
const TOO_MANY_BYTES: &str = "fuel allocated for hostcalls has been exhausted";

/// The same for header collections, random bytes, and what a component consists of.
const TOO_MANY_FIELDS: &str = "total size of fields exceeds limit";
const TOO_MUCH_RANDOM: &str = "requested len";
const COUNTS: [(&str, &str); 3] = [
    ("instance count too high", "instances"),
    ("memory count too high", "memories"),
    ("table count too high", "tables"),
];

/// Bytes of a function's name in a backtrace. Names are the component's to choose, and may be as long as it is.
const NAME: usize = 128;

/// Turns whatever ended a guest into the executor's error. The backtrace goes to the log, and nowhere else.
pub(crate) fn explain(error: &Error, state: &State) -> ExecError {
    let limits = &state.app.limits;
    let verdict = if let Some(I32Exit(status)) = error.downcast_ref() {
        ExecError::Failed(format!("the app called exit({status})"))
    } else if error.is::<PoolConcurrencyLimitError>() {
        ExecError::Busy { what: "pool.instances" }
    } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
        over("handles", format!("more than {} host objects", limits.handles))
    } else if error.is::<Overdrawn>() {
        over("fieldBytes", format!("more than {FULL_COLLECTIONS} times {} in one call", limits.field_bytes))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        of_trap(*trap, state)
    } else {
        let root = convert::shortened(&error.root_cause().to_string());
        if root.contains(TOO_MANY_HANDLES) {
            over("handles", format!("more than {} handles", limits.handles))
        } else if root.contains(TOO_MANY_BYTES) {
            over("hostcallBytes", format!("more than {} in one call of an import", limits.hostcall_bytes))
        } else if root.contains(TOO_MANY_FIELDS) {
            over("fieldBytes", format!("more than {} in one collection", limits.field_bytes))
        } else if root.starts_with(TOO_MUCH_RANDOM) {
            over("randomBytes", format!("more than {} at once", limits.random_bytes))
        } else if let Some((_, what)) = COUNTS.iter().find(|(text, _)| root.contains(text)) {
            over(what, root)
        } else {
            refused(state).unwrap_or(ExecError::Failed(root))
        }
    };
    let (id, trace) = (state.invocation_id(), frames(error));
    tracing::warn!(app = %state.app.name, invocation = %id, reason = %verdict, trace, "guest ended");
    verdict
}

/// The functions that were running, the innermost first.
///
/// By the names the component gives them, and not through the error's own text: that would demangle them, which can be
/// made to take all memory there is.
fn frames(error: &Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => Foreign::name(name).within(NAME).to_string(),
        None => format!("#{}", frame.func_index()),
    };
    trace.frames().iter().map(name).collect::<Vec<_>>().join(" < ")
}

fn of_trap(trap: Trap, state: &State) -> ExecError {
    match trap {
        Trap::Interrupt => over("cpuTime", format!("more than {:?}", state.cpu.budget())),
        Trap::StackOverflow => over("stack", "calls nested too deep".into()),
        // How a guest ends that gets no more memory: an abort, or the use of what it did not get.
        Trap::UnreachableCodeReached | Trap::MemoryOutOfBounds => {
            refused(state).unwrap_or_else(|| ExecError::Failed(trap.to_string()))
        }
        trap => ExecError::Failed(trap.to_string()),
    }
}

fn refused(state: &State) -> Option<ExecError> {
    let limits = &state.app.limits;
    Some(match state.gauge.refused()? {
        Refused::Memory(wanted) => over("memory", format!("{wanted} bytes wanted, {} are allowed", limits.memory.0)),
        Refused::Table(wanted) => {
            over("tableElements", format!("{wanted} entries wanted, {} are allowed", limits.table_elements))
        }
    })
}

fn over(what: &'static str, detail: String) -> ExecError {
    ExecError::Limit { what, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::limits::RuntimeLimits;
    use wasmtime::{Engine, Instance, Module, Store};

    /// What is told of a recursion that ends in the stack's end, in functions of this name.
    fn told(backtrace_frames: usize, name: &str) -> String {
        let limits = RuntimeLimits { backtrace_frames, ..crate::engine::small() };
        let engine = Engine::new(&crate::engine::config(&limits)).unwrap();
        let text = format!(r#"(module (func (@name "{name}") (export "f") (call 0)))"#);
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let error = f.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        frames(&error)
    }

    #[test]
    fn a_deep_trap_is_told_in_so_many_frames() {
        assert_eq!(told(3, "f"), "f < f < f");
        assert_eq!(told(16, "f").split(" < ").count(), 16);
        assert_eq!(told(0, "f"), "");
    }

    #[test]
    fn g20_names_of_functions_are_neither_long_nor_expanded() {
        assert_eq!(told(1, &"n".repeat(1 << 20)), "n".repeat(NAME) + "... (1048448 more bytes)");
        assert_eq!(told(1, "a\\nb\\1b[2J"), "a\\nb\\u{1b}[2J");
        // Of a kind that says each part twice: demangled, it is longer than any memory.
        let bomb = format!("_Z1f1aIiiE{}", (0..9).map(|n| format!("1aIS{n}_S{n}_E")).collect::<String>());
        assert_eq!(told(1, &bomb), bomb);
    }
}
