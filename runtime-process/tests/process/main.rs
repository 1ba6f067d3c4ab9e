//! Apps of the published Python SDKs as child processes: nothing of the SDK is replaced by anything else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says so by panicking")]

mod callbacks;
mod calls;
mod kit;
mod lifecycle;
mod source;
