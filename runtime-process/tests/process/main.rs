//! Apps of the published Python SDKs as child processes: nothing of the SDK is replaced by anything else.

mod callbacks;
mod calls;
mod kit;
mod lifecycle;
mod source;
