//! What a guest can call: one file per group of imports.

pub(crate) mod app;
pub(crate) mod context;
pub(crate) mod held;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod stdio;
pub(crate) mod stub;
