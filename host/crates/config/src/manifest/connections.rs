//! Connections: where an app's upstream credentials come from (seed 003, `spec.connections`).

use gestalt_core::Secret;
use std::collections::BTreeMap;
use std::time::Duration;

/// A connection to an upstream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// Name for people.
    pub display_name: Option<String>,
    /// As it was written; see [`Connection::effective_mode`].
    pub mode: Option<ConnectionMode>,
    /// Who sees it.
    pub exposure: Exposure,
    /// How credentials come about.
    pub auth: Auth,
    /// Values that differ from one credential to the next, by name.
    pub params: BTreeMap<String, ConnectionParam>,
    /// Looks up, right after connecting, what the credential is for.
    pub discovery: Option<Discovery>,
    /// One more request right after connecting.
    pub post_connect: Option<PostConnect>,
    /// Renews credentials before they are needed.
    pub refresh: Option<CredentialRefresh>,
}

impl Connection {
    /// The mode it comes down to: without credentials there is nobody's to choose from.
    pub fn effective_mode(&self) -> ConnectionMode {
        self.mode.unwrap_or(match self.auth.kind {
            AuthKind::None => ConnectionMode::None,
            _ => ConnectionMode::Subject,
        })
    }
}

/// Whose credentials a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionMode {
    /// Nobody's.
    None,
    /// The caller's.
    Subject,
}

/// Who sees a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Everybody who may use the app.
    #[default]
    User,
    /// The app itself.
    Internal,
}

/// How credentials come about.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// What kind of credential it is.
    pub kind: AuthKind,
    /// Where the browser is sent. An http(s) URL, perhaps with `{param}` placeholders.
    pub authorization_url: Option<String>,
    /// Where codes become tokens. An http(s) URL, perhaps with `{param}` placeholders.
    pub token_url: Option<String>,
    /// Who we are.
    pub client_id: Option<String>,
    /// And how we prove it.
    pub client_secret: Option<Secret<String>>,
    /// Where the token request carries the client's credentials. Default: its body.
    pub client_auth: ClientAuth,
    /// How the token request is encoded. Default: as a form.
    pub token_exchange: TokenExchange,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The parameter that carries the scopes. Default `scope`.
    pub scope_param: String,
    /// What stands between scopes. Default: one space.
    pub scope_separator: String,
    /// Whether the code is bound to this browser.
    pub pkce: bool,
    /// More parameters of the authorization URL.
    pub authorization_params: BTreeMap<String, String>,
    /// More parameters of the token request.
    pub token_params: BTreeMap<String, String>,
    /// More parameters of the refresh request.
    pub refresh_params: BTreeMap<String, String>,
    /// The `Accept` header of the token request.
    pub accept_header: Option<String>,
    /// Dotted path of the token in the answer, when it is not `access_token`.
    pub access_token_path: Option<String>,
    /// Keys of the answer that are kept as parameters of the connection.
    pub token_metadata: Vec<String>,
    /// What stands before the token in the `Authorization` header, when it is not `Bearer `.
    pub token_prefix: Option<String>,
    /// What people are asked for; names are unique.
    pub credentials: Vec<CredentialField>,
    /// Where in a request the credential travels, when not in `Authorization`.
    pub mapping: Option<AuthMapping>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            kind: AuthKind::None,
            authorization_url: None,
            token_url: None,
            client_id: None,
            client_secret: None,
            client_auth: ClientAuth::Body,
            token_exchange: TokenExchange::Form,
            scopes: Vec::new(),
            scope_param: "scope".to_owned(),
            scope_separator: " ".to_owned(),
            pkce: false,
            authorization_params: BTreeMap::new(),
            token_params: BTreeMap::new(),
            refresh_params: BTreeMap::new(),
            accept_header: None,
            access_token_path: None,
            token_metadata: Vec::new(),
            token_prefix: None,
            credentials: Vec::new(),
            mapping: None,
        }
    }
}

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// OAuth 2.0 with an authorization code.
    OAuth2,
    /// OAuth as an MCP server describes it.
    McpOAuth,
    /// A token that people paste.
    Bearer,
    /// Fields that people fill in.
    Manual,
    /// None at all.
    None,
}

/// Where the token request carries the client's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// In its body.
    Body,
    /// In its `Authorization` header.
    Header,
}

/// How the token request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenExchange {
    /// As a form.
    Form,
    /// As JSON.
    Json,
}

/// One thing people are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialField {
    /// Lower-case letters, digits and underscores, beginning with a letter.
    pub name: String,
    /// Name for people.
    pub label: Option<String>,
    /// Where to find it.
    pub description: Option<String>,
}

/// Where in a request the credential travels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthMapping {
    /// By header name, as it was written.
    pub headers: BTreeMap<String, AuthValue>,
    /// User and password of HTTP's basic scheme.
    pub basic: Option<BasicMapping>,
}

/// User and password of HTTP's basic scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct BasicMapping {
    /// The user.
    pub username: AuthValue,
    /// The password.
    pub password: AuthValue,
}

/// A value that is fixed, or that people supplied.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthValue {
    /// Fixed.
    Value(Secret<String>),
    /// The credential field of this name, which exists.
    Field(String),
}

/// A value that differs from one credential to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionParam {
    /// Whether a connection is of no use without it.
    pub required: bool,
    /// What it means.
    pub description: Option<String>,
    /// Used when there is no other value.
    pub default: Option<String>,
    /// What supplies it; people, when `None`.
    pub from: Option<ParamSource>,
    /// Its name there, when it differs.
    pub field: Option<String>,
}

/// What supplies a connection parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamSource {
    /// What [`Discovery`] found.
    Discovery,
    /// The answer that carried the token.
    TokenResponse,
}

/// A request whose answer lists what the credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// What is asked.
    pub url: String,
    /// Dotted path of an item's identifier.
    pub id_path: Option<String>,
    /// Dotted path of an item's name for people.
    pub name_path: Option<String>,
    /// Connection parameters, and the dotted path of each in an item.
    pub metadata: BTreeMap<String, String>,
}

/// A request right after connecting that says whose credential it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PostConnect {
    /// `GET` or `POST`.
    pub method: String,
    /// An https URL.
    pub url: String,
    /// More headers; none is blank.
    pub headers: BTreeMap<String, String>,
    /// Dotted path in the answer where everything below starts.
    pub source_path: Option<String>,
    /// What the answer must say: a dotted path and the value there.
    pub success: Option<(String, serde_json::Value)>,
    /// The kind of account, and the dotted path of its identifier.
    pub external_identity: Option<(String, String)>,
    /// Connection parameters, and the dotted path of each.
    pub metadata: BTreeMap<String, String>,
}

/// Renews credentials before they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialRefresh {
    /// How often credentials are looked at.
    pub interval: Duration,
    /// How long before its end one is renewed.
    pub before_expiry: Duration,
}
