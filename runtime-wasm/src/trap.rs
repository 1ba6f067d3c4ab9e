//! What the end of a guest means.

use crate::limits::Refused;
use crate::state::State;
use gestalt_core::ExecError;
use wasmtime::component::ResourceTableError;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap};
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

/// Turns whatever ended a guest into the executor's error. The backtrace goes to the log, and nowhere else.
pub(crate) fn explain(error: &Error, state: &State) -> ExecError {
    let limits = &state.app.limits;
    let verdict = if let Some(I32Exit(status)) = error.downcast_ref() {
        ExecError::Failed(format!("the app called exit({status})"))
    } else if error.is::<PoolConcurrencyLimitError>() {
        ExecError::Busy { what: "pool.instances" }
    } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
        over("handles", format!("more than {} host objects", limits.handles))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        of_trap(*trap, state)
    } else {
        let root = error.root_cause().to_string();
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
    let id = state.invocation_id();
    tracing::warn!(app = %state.app.name, invocation = %id, reason = %verdict, trace = ?error, "guest ended");
    verdict
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
