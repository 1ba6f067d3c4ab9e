//! The words and contracts every other crate speaks.
//!
//! * [`AppName`], [`Params`], [`Catalog`], [`Principal`], [`Credential`]: the nouns of a request.
//! * [`Executor`]: how an app's code is run, whatever it is made of. [`Call`] goes in, [`Reply`] or [`ExecError`] comes out.
//! * [`service`]: what an app may ask of the host, one trait per host service.
//! * [`egress`]: how an app's outgoing HTTP leaves the daemon; [`host`]: how a host name is spelled and matched.
//! * [`foreign`]: how words of others are printed, wherever the daemon prints them.
//! * [`audit`]: the records that say what happened. [`metrics`]: what is counted. [`limits`]: the bounds an operator can set
//!   on an app.
//!
//! **Invariant:** this crate does no I/O and knows no transport: it opens nothing, spawns nothing, logs nothing.
//! **Invariant:** it depends on no other crate of the workspace. Adding a dependency to it is a design change.

pub mod address;
pub mod audit;
mod call;
mod catalog;
mod credential;
pub mod egress;
mod error;
mod executor;
pub mod foreign;
pub mod host;
pub mod limits;
pub mod metrics;
mod name;
mod params;
mod response_headers;
mod rpc;
pub mod service;
mod subject;

pub use call::{Call, CallContext, CallLink, CredentialChoice, Headers, Origin, Reply, RequestMeta};
pub use catalog::{Annotations, Catalog, Operation, Parameter, ParameterLocation, Transport};
pub use credential::{Credential, Metadata, Secret};
pub use error::ExecError;
pub use executor::{Executor, HttpSubjectRequest};
pub use name::{AppName, NameError};
pub use params::{Params, ParamsError, json_depth};
pub use response_headers::{ResponseHeaderError, ResponseHeaders};
pub use rpc::{Code, RpcError};
pub use subject::{AppPermission, Principal, SubjectError, SubjectRef};
