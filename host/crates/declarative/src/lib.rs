//! Declarative surfaces as executors.
