//! Provider protocol: messages and services.
