//! One list of scenarios, every way to run an app's code. Whoever calls an app must not be able to tell them apart.
//!
//! A cell is one test with a daemon of its own. A scenario that a column leaves out is one it has nothing to show for:
//! a manifest without code cannot crash or call, and not every example has an operation that fetches.

mod columns;
mod scenarios;

use columns::Column;

/// The cells of one column.
macro_rules! column {
    ($name:ident = $column:expr; $($scenario:ident)*) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    scenarios::$scenario($column).await;
                }
            )*
        }
    };
}

/// The scenarios of every column with code of its own.
macro_rules! code {
    ($name:ident = $column:expr; $($more:ident)*) => {
        column!($name = $column;
            echo typed_error status_and_headers unknown_operation large_input deadline crash nested_calls $($more)*);
    };
}

code!(wasm_rust = Column::WasmRust; exact_integers egress);
code!(wasm_python = Column::WasmPython; exact_integers);
code!(wasm_typescript = Column::WasmTypescript; exact_integers);
code!(native_python_a22 = Column::NativePythonA22;);
code!(native_python_a29 = Column::NativePythonA29;);
code!(native_rust_alpha16 = Column::NativeRustAlpha16;);
code!(native_rust_alpha26 = Column::NativeRustAlpha26;);
column!(declarative = Column::Declarative;
    echo exact_integers status_and_headers unknown_operation large_input deadline egress);
