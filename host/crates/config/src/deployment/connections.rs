//! Connections as a deployment gives them. What is the same in a manifest is the manifest's type.

use crate::manifest::connections::{
    AuthKind, AuthMapping, ConnectionMode, CredentialField, CredentialRefresh, Discovery,
};
use crate::problem::Location;
use gestalt_core::Secret;
use std::collections::BTreeMap;

/// A credential definition (seed 004, `connections.<id>`).
///
/// An app's manifest may define a connection of its own; what is given here is laid over it. So everything is optional,
/// and what is not given is not defaulted here.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Where its entry begins.
    pub at: Location,
    /// Name for people.
    pub display_name: Option<String>,
    /// As written; see [`Connection::mode`].
    pub given_mode: Option<ConnectionMode>,
    /// How credentials are obtained and sent.
    pub auth: Auth,
    /// What else a connection knows, by name.
    pub params: BTreeMap<String, Param>,
    /// What is asked for after connecting.
    pub discovery: Option<Discovery>,
    /// Refresh ahead of time.
    pub refresh: Option<CredentialRefresh>,
}

impl Connection {
    /// Whose credentials are used: as written, else nobody's when `auth` needs none, else the caller's.
    pub fn mode(&self) -> ConnectionMode {
        self.given_mode.unwrap_or(match self.auth.kind {
            None | Some(AuthKind::None) => ConnectionMode::None,
            Some(_) => ConnectionMode::Subject,
        })
    }
}

/// What an app or agent provider binds one of its own connection names to.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// A top-level connection, shared with everything else that binds it.
    Reference {
        /// A key of [`Deployment::connections`](super::Deployment::connections).
        connection: String,
        /// Name for people, instead of the connection's.
        display_name: Option<String>,
        /// Instead of the connection's.
        refresh: Option<CredentialRefresh>,
        /// Whether only the host may choose it.
        internal: bool,
        /// Where it was written.
        at: Location,
    },
    /// A connection of its own. It collects no subject's credentials.
    Inline(Box<Connection>),
}

/// How credentials are obtained and sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// The strategy.
    pub kind: Option<AuthKind>,
    /// OAuth 2.
    pub oauth: Oauth,
    /// Before the token in a header; `Bearer ` when absent.
    pub token_prefix: Option<String>,
    /// `manual`: fields of the form; names are unique.
    pub credentials: Option<Vec<CredentialField>>,
    /// `manual`: where in a request the fields travel.
    pub mapping: Option<AuthMapping>,
}

/// OAuth 2. What is absent is the manifest's word, or the default named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oauth {
    /// Where the user's browser is sent. May hold `{param}`.
    pub authorization_url: Option<String>,
    /// Where codes and refresh tokens are exchanged. May hold `{param}`.
    pub token_url: Option<String>,
    /// The deployment's client.
    pub client_id: Option<String>,
    /// The deployment's client.
    pub client_secret: Option<Secret<String>>,
    /// Where the browser comes back. Default: derived from `server.baseUrl`.
    pub redirect_url: Option<String>,
    /// Whether client credentials travel in a header. Default: in the body.
    pub client_in_header: Option<bool>,
    /// Whether token requests are JSON. Default: a form.
    pub json_exchange: Option<bool>,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
    /// Name of the parameter that carries scopes. Default `scope`.
    pub scope_param: Option<String>,
    /// Between scopes. Default one space.
    pub scope_separator: Option<String>,
    /// Proof key for code exchange.
    pub pkce: bool,
    /// More parameters of the authorization request.
    pub authorization_params: BTreeMap<String, String>,
    /// More parameters of the token request.
    pub token_params: BTreeMap<String, Secret<String>>,
    /// More parameters of the refresh request.
    pub refresh_params: BTreeMap<String, Secret<String>>,
    /// `Accept` of token requests.
    pub accept_header: Option<String>,
    /// Dotted path of the access token in the answer.
    pub access_token_path: Option<String>,
    /// Fields of the answer kept with the connection.
    pub token_metadata: Vec<String>,
}

/// A parameter of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Param {
    /// Whether a connection must have it.
    pub required: bool,
    /// For people.
    pub description: Option<String>,
    /// Used when nothing says otherwise.
    pub default: Option<String>,
    /// `discovery`, `tokenResponse`, …; asked of the user when absent.
    pub from: Option<String>,
    /// Its name there.
    pub field: Option<String>,
}
