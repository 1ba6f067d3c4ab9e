//! Hosted HTTP bindings: routes of their own for operations, and what guards them (seed 003, `spec.http` and
//! `spec.securitySchemes`).

use super::connections::ConnectionMode;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How a hosted request proves where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityScheme {
    /// For people.
    pub description: Option<String>,
    /// The proof.
    pub proof: Proof,
}

/// What a hosted request has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The hex HMAC-SHA256 of a text made from the request.
    Hmac {
        /// Header with the digest.
        header: String,
        /// What stands before the digest.
        prefix: String,
        /// What is signed.
        payload: Vec<PayloadPart>,
        /// Header with the Unix time of the request, and how far from now it may be.
        freshness: Option<(String, Duration)>,
        /// The key.
        secret: SchemeSecret,
    },
    /// The secret itself, in a header.
    HeaderKey {
        /// The header.
        name: String,
        /// The key.
        secret: SchemeSecret,
    },
    /// The secret itself, in the query.
    QueryKey {
        /// The parameter.
        name: String,
        /// The key.
        secret: SchemeSecret,
    },
    /// The secret as password of HTTP's basic scheme.
    Basic {
        /// User and password.
        secret: SchemeSecret,
    },
    /// The secret as bearer token.
    Bearer {
        /// The token.
        secret: SchemeSecret,
    },
    /// Nothing: anybody may call.
    Open,
}

/// Part of a signed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadPart {
    /// This text.
    Text(String),
    /// The body as it came.
    RawBody,
    /// The value of this header.
    Header(String),
}

/// Where the secret of a scheme is. It is looked up when a request comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemeSecret {
    /// An environment variable.
    Env(String),
    /// A name the secrets provider knows.
    Secret(String),
}

/// A route of its own for one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpBinding {
    /// Below the app's own prefix; begins with a slash, and has no `.`, `..` or empty segments.
    pub path: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Whose credentials the operation runs with; as without the binding when `None`.
    pub credential_mode: Option<ConnectionMode>,
    /// Name of a security scheme.
    pub security: String,
    /// Id of the operation.
    pub target: String,
    /// What bodies are taken; any when `None`.
    pub body: Option<RequestBody>,
    /// Answers at once, and lets the operation run on.
    pub ack: Option<Ack>,
}

/// What bodies are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestBody {
    /// Whether a request must have one.
    pub required: bool,
    /// Media types in lower case without parameters, `*/*` for any. Empty: any.
    pub content: BTreeSet<String>,
}

/// An answer that does not wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// 200 to 299.
    pub status: u16,
    /// Its headers, by name as written.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Option<serde_json::Value>,
}
