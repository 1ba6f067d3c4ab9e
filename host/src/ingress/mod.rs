//! The doors: each decodes a request into an [`Invocation`](gestalt_invoke::Invocation) and renders what came of it.
//!
//! **Invariant:** an ingress sees the [`Invoker`](gestalt_invoke::Invoker), never an executor.

pub mod http;
