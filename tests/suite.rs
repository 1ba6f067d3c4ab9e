//! The one integration test binary of this package: a module per concern.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

mod conformance;
mod contract;
mod e2e;
mod tidy;
