//! Built-in backends of host services and provider kinds: one implementation each, offered through two skins.
//!
//! * [`AppLog`]: what apps write, in the daemon's log.
//!
//! **Invariant:** a backend knows nothing of who asks: no WIT, no gRPC, no HTTP request reaches this crate.

mod app_log;

pub use app_log::AppLog;
