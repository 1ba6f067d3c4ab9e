use crate::problem::Location;
use gestalt_core::Secret;
use std::collections::BTreeMap;
use std::time::Duration;

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
    pub refresh: Option<Refresh>,
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

/// Whose credentials are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionMode {
    /// Nobody's.
    None,
    /// The calling subject's.
    Subject,
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
        refresh: Option<Refresh>,
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
    /// `manual`: headers made of fields; names are in lower case.
    pub headers: BTreeMap<String, AuthValue>,
    /// `manual`: user and password made of fields.
    pub basic: Option<(AuthValue, AuthValue)>,
}

/// The strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// Authorization code, then refresh tokens.
    Oauth2,
    /// A form the user fills in.
    Manual,
    /// One token.
    Bearer,
    /// Nothing.
    None,
    /// OAuth 2 as the upstream MCP server describes it.
    McpOauth,
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

/// A field of the form a user fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialField {
    /// Lower case with underscores.
    pub name: String,
    /// Shown instead of the name.
    pub label: Option<String>,
    /// Shown below the label.
    pub description: Option<String>,
}

/// What a part of a request is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthValue {
    /// The same for everybody.
    Fixed(Secret<String>),
    /// A field of the user's credential.
    Field(String),
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

/// A list of resources to choose from after connecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Answers with the list; an absolute http(s) URL that may hold `{param}`.
    pub url: String,
    /// Dotted path of a resource's id.
    pub id_path: Option<String>,
    /// Dotted path of a resource's name.
    pub name_path: Option<String>,
    /// Parameters of the connection: dotted paths in the chosen resource.
    pub metadata: BTreeMap<String, String>,
}

/// Refresh ahead of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// How often credentials are looked through.
    pub interval: Duration,
    /// How long before it expires a credential is refreshed.
    pub before_expiry: Duration,
}
