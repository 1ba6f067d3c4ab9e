//! Write a gestaltd app as a WebAssembly component.
//!
//! An app is a list of typed operations. Parameters and answers are ordinary serde types; their JSON Schemas, and so
//! the app's catalog, are derived from them.
//!
//! ```
//! use gestalt_guest::{App, Error, Operation, Request};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Greet {
//!     /// Whom to greet.
//!     name: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Greeting {
//!     text: String,
//! }
//!
//! fn greet(greet: Greet, _request: &Request) -> Result<Greeting, Error> {
//!     if greet.name.is_empty() {
//!         return Err(Error::new(422, "nobody to greet"));
//!     }
//!     Ok(Greeting { text: format!("Hello, {}!", greet.name) })
//! }
//!
//! fn app() -> App {
//!     App::new("greeter").operation(Operation::new("greet").title("Greet somebody"), greet)
//! }
//!
//! gestalt_guest::export!(app);
//! # let answer = app().call(&Request::new("greet", r#"{"name":"Ada"}"#));
//! # assert_eq!(answer.body, br#"{"text":"Hello, Ada!"}"#);
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2` from a crate of type `cdylib`.
//!
//! **Invariant:** what a handler returns decides the answer as with the native SDKs:
//!
//! | handler | answer |
//! |---|---|
//! | a value | 200, the value as JSON |
//! | a [`Response`] | its status and headers, the body as JSON |
//! | [`Error::new`]`(403, "nope")` | 403 `{"error":"nope"}` |
//! | any other error, by `?` | 500 `{"error":"internal error"}`; what went wrong is on stderr only |
//! | parameters that do not fit | 400 `{"error":"…"}` |
//! | an operation that is not there | 404 `{"error":"unknown operation"}` |
//! | a panic | the instance ends, the host answers 502, the next call gets a fresh instance |
//!
//! **Invariant:** JSON stays text until a handler's own type reads it, so integers of 64 bits arrive unchanged.

mod app;
mod component;
mod error;
pub mod http;
mod log;
mod request;
mod response;
mod schema;

pub use app::{Answer, App, Operation, Start};
pub use component::Provide;
pub use error::Error;
pub use log::log;
pub use request::{CallError, Context, Reply, Request};
pub use response::{Binary, Empty, Encoded, Json, Output, Response};

/// The generated bindings of `wit/`, for what this crate does not wrap.
#[allow(missing_docs, unused_qualifications, unreachable_pub, clippy::all, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "..",
        world: "gestalt:provider/app-component",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "gestalt_guest::bindings",
    });
}

/// Makes a function that builds an [`App`] the app of this component.
#[macro_export]
macro_rules! export {
    ($app:path) => {
        #[doc(hidden)]
        struct GestaltComponent;

        impl $crate::Provide for GestaltComponent {
            fn app() -> $crate::App {
                $app()
            }
        }

        $crate::bindings::export!(GestaltComponent with_types_in $crate::bindings);
    };
}
