//! Apps as gRPC child processes.
