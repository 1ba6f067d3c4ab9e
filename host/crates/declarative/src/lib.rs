//! Declarative surfaces as executors: an app without code, made of what its manifest says about an upstream API.
//!
//! A surface is compiled once, when the app is built: methods, path templates and header names are checked, and every
//! declared parameter is assigned its place in the request. A call then only fills in values.
//!
//! An upstream that redirects is followed, by the rules of [`follow`](gestalt_core::egress::follow): each hop is judged
//! like a request of its own, and one that leads where the app may not go ends the call with an error.
//!
//! * [`RestSurface`], [`RestOperation`]: what the manifest says, in this crate's own words.
//! * [`RestExecutor`]: one `surfaces.rest` as an [`Executor`](gestalt_core::Executor).
//! * [`DeclarativeError`]: why a surface cannot be compiled.
//!
//! **Invariant:** nothing here opens a socket or resolves a name; every request leaves through
//! [`Outbound`](gestalt_core::egress::Outbound), under the app's own policy.
//! **Invariant:** a caller's value fills the place the manifest gave it and no more: it never adds a path segment, a
//! query pair, a header or a body key that was not meant by its name.

mod error;
mod rest;

pub use error::DeclarativeError;
pub use rest::{RestExecutor, RestLimits, RestOperation, RestSurface};
