//! One list of scenarios, every way to run an app's code. Whoever calls an app must not be able to tell them apart.
//!
//! A cell is one test with a daemon of its own. Columns leave out what they cannot do. A manifest calls no apps; nor do
//! handlers of the published Rust SDK, whose router runs them in tasks that have lost the request's context. The native
//! protocol carries numbers as doubles. Only components and manifests send their requests through the daemon (`egress`
//! has one example of either).

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

/// What every column does, and what it does besides.
macro_rules! every {
    ($name:ident = $column:expr; $($more:ident)*) => {
        column!($name = $column;
            echo typed_error status_and_headers unknown_operation large_input deadline crash called_by_an_app $($more)*);
    };
}

every!(wasm_rust = Column::WasmRust; nested_calls exact_integers egress);
every!(wasm_python = Column::WasmPython; nested_calls exact_integers);
every!(wasm_typescript = Column::WasmTypescript; nested_calls exact_integers);
every!(native_python_a22 = Column::NativePythonA22; nested_calls);
every!(native_python_a29 = Column::NativePythonA29; nested_calls);
every!(native_rust_alpha16 = Column::NativeRustAlpha16;);
every!(native_rust_alpha26 = Column::NativeRustAlpha26;);
every!(declarative = Column::Declarative; exact_integers egress);
