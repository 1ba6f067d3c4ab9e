//! Built-in backends of host services and provider kinds.
