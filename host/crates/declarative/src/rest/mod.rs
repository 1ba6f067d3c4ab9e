//! `surfaces.rest`: each operation is one HTTP request.
//!
//! `surface` is what the manifest says, `plan` what is compiled from it, `template` its paths, `request` what a call
//! makes of them, `values` how a JSON value is written outside of JSON, `catalog` what callers see, and `executor`
//! what happens at a call.

mod catalog;
mod executor;
mod plan;
mod request;
mod surface;
mod template;
#[cfg(test)]
mod tests;
mod values;

pub use executor::{RestExecutor, RestLimits};
pub use surface::{RestOperation, RestSurface};
