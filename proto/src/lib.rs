//! The provider protocol: messages and services of `gestalt.provider.v1`, compiled from `proto/`.
//!
//! * [`v1`]: protocol 4 as the published SDKs speak it, one `.proto` file per topic. Protocol 5 keeps these layouts for
//!   the app kind but for additions nobody has to read, so the same types serve both.
//! * [`v3`]: an app's own side of protocol 3, where the same names stand for other layouts.
//! * [`rpc`]: the error message used inside streams.
//!
//! Each service module holds a client and a server. Byte fields are [`bytes::Bytes`](prost::bytes::Bytes).
//!
//! **Invariant:** names, numbers, types and service paths are exactly those in `tests/protocol-4.txt`, but for
//! `OperationResult.body`, which is bytes here: on the wire that is the same for every UTF-8 text, and a later peer may
//! send any bytes. A test holds the compiled descriptors against that file in both directions.
//! **Invariant:** there is nothing here but what the compiler wrote.

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated; the documentation is in the .proto files"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}

pub use generated::gestalt::provider::v1;
pub use generated::google::rpc;

/// An app's own side of protocol 3.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated; the documentation is in the .proto file"
)]
pub mod v3 {
    include!(concat!(env!("OUT_DIR"), "/v3/gestalt.provider.v1.rs"));
}

/// The compiled descriptors of [`v1`], an encoded `FileDescriptorSet`.
pub const DESCRIPTORS_V4: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/v4.bin"));

/// The compiled descriptors of [`v3`], an encoded `FileDescriptorSet`.
pub const DESCRIPTORS_V3: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/v3.bin"));
