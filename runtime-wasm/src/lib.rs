//! Apps as WebAssembly components.
