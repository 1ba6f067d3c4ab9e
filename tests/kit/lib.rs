//! Test kit, conformance, end-to-end tests and benches.
