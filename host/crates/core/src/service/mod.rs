//! What an app may ask of the host: one contract per host service.
//!
//! Each has one implementation and two skins: `gestalt-runtime-wasm` offers it to components as WIT imports,
//! `gestalt-runtime-process` to native providers over gRPC. The caller's identity never comes from the app: the skin
//! hands over the [`CallContext`](crate::CallContext) the host itself made for the call in progress.

mod app;
mod log;

pub use app::{AppCall, AppInvoker};
pub use log::{LogEntry, LogSink, LogStream};

use std::sync::Arc;

/// The host services one app may use, assembled at start-up and given to its executor.
#[derive(Clone)]
pub struct HostServices {
    /// Calls other apps.
    pub apps: Arc<dyn AppInvoker>,
    /// Takes the app's log lines.
    pub logs: Arc<dyn LogSink>,
}
