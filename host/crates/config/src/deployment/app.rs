use super::connections::Binding;
use super::providers::Config;
use super::source::Source;
use super::workflows::RunAs;
use super::{Indexeddb, Placement};
use crate::manifest::connections::ConnectionMode;
use crate::manifest::http::Ack;
use crate::problem::{Location, Problems};
use gestalt_core::egress::Rules;
use gestalt_core::{AppName, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One app (seed 004, `apps.<name>`).
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Its key.
    pub name: AppName,
    /// Where its entry begins, in the last file that has one.
    pub at: Location,
    /// Its package.
    pub source: Source,
    /// Overrides the manifest's.
    pub display_name: Option<String>,
    /// Overrides the manifest's.
    pub description: Option<String>,
    /// An SVG file that exists; overrides the manifest's.
    pub icon_file: Option<PathBuf>,
    /// Who may call it: a key of the policies. Everybody who is logged in when absent.
    pub authorization_policy: Option<String>,
    /// How callers of its routes log in; as everywhere when absent.
    pub route_auth: Option<RouteAuth>,
    /// Its web pages.
    pub ui: Option<AppUi>,
    /// The app's own configuration.
    pub config: Config,
    /// Environment variables of the app.
    pub env: BTreeMap<String, Secret<String>>,
    /// The whole network the app has.
    pub egress: Rules,
    /// Its connections, by its own names.
    pub connections: BTreeMap<String, Binding>,
    /// Where declared surfaces send requests, instead of where the manifest says.
    pub surfaces: SurfaceUrls,
    /// The operations that are offered, instead of the manifest's list, by the app's own ids.
    pub allowed_operations: Option<BTreeMap<String, AllowedOperation>>,
    /// Laid over the manifest's; `None` removes one.
    pub security_schemes: BTreeMap<String, Option<SecurityScheme>>,
    /// Laid over the manifest's; `None` removes one.
    pub http: BTreeMap<String, Option<HttpBinding>>,
    /// Whether operations are offered as MCP tools, instead of the manifest's word.
    pub mcp: Option<bool>,
    /// Roles of the app's policy that may stand in for it from a developer's machine.
    pub attach_roles: Vec<String>,
    /// The runtime it asked for. `None` is no `runtime` key: a component runs in
    /// [`Deployment::component_runtime`](super::Deployment::component_runtime), anything else on this machine.
    pub placement: Option<Placement>,
    /// Its database; the daemon's own provider, under the app's name, when absent.
    pub indexeddb: Option<Indexeddb>,
    /// Keys of the caches.
    pub cache: Vec<String>,
    /// Keys of the object stores.
    pub s3: Vec<String>,
    /// What it may call of other apps.
    pub invokes: Vec<Invokes>,
    /// Restrictions its entry asks for that nothing enforces yet. It is not started without them.
    pub unenforced: Problems,
}

/// How callers of an app's routes log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAuth {
    /// As everywhere; written `server`.
    Server,
    /// By this key of the authentication providers.
    Provider(String),
}

/// Web pages of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUi {
    /// Where they are mounted: begins with a slash, and does not end with one unless it is `/`.
    pub path: String,
    /// A key of the UI bundles; the manifest's own pages when absent.
    pub bundle: Option<String>,
    /// Where it was written.
    pub at: Location,
}

/// Where declared surfaces send requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SurfaceUrls {
    /// Of REST operations.
    pub rest: Option<String>,
    /// Of an OpenAPI document.
    pub openapi: Option<String>,
    /// A GraphQL endpoint.
    pub graphql: Option<String>,
    /// An MCP server.
    pub mcp: Option<String>,
}

/// An operation that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOperation {
    /// Where its entry begins.
    pub at: Location,
    /// Its id for callers.
    pub alias: Option<String>,
    /// Instead of its own.
    pub description: Option<String>,
    /// Roles of the app's policy that may call it; all when absent.
    pub allowed_roles: Option<Vec<String>>,
    /// Free labels, instead of its own.
    pub tags: Option<Vec<String>>,
    /// Whether all pages are fetched as one answer.
    pub paginate: Option<bool>,
}

/// How a webhook proves where it comes from. What is absent is the manifest's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityScheme {
    /// The way.
    pub kind: Option<SchemeKind>,
    /// For people.
    pub description: Option<String>,
    /// `hmac`: carries the signature.
    pub signature_header: Option<String>,
    /// `hmac`: before the signature.
    pub signature_prefix: Option<String>,
    /// `hmac`: what is signed.
    pub payload_template: Option<String>,
    /// `hmac`: carries the time.
    pub timestamp_header: Option<String>,
    /// `hmac`: how old a request may be.
    pub max_age_seconds: Option<u32>,
    /// `apiKey`: of the header or parameter.
    pub name: Option<String>,
    /// `apiKey`: whether it travels in the query; else in a header.
    pub in_query: Option<bool>,
    /// `http`: whether it is basic; else bearer.
    pub basic: Option<bool>,
    /// What the caller must know.
    pub secret: Option<SchemeSecret>,
}

/// The ways of a [`SecurityScheme`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemeKind {
    /// A signature of the request.
    Hmac,
    /// A key in a header or parameter.
    ApiKey,
    /// HTTP authentication.
    Http,
    /// Not at all.
    None,
}

/// Where the secret of a [`SecurityScheme`] comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SchemeSecret {
    /// An environment variable of the daemon.
    Env(String),
    /// The name of a secret.
    Named(String),
    /// The secret itself, which a secrets provider supplied.
    Value(Secret<String>),
}

impl std::fmt::Debug for SchemeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::Named(_) => f.write_str("Named([secret])"),
            Self::Value(_) => f.write_str("Value([secret])"),
        }
    }
}

/// A route of an app for requests from elsewhere. What is absent is the manifest's word.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpBinding {
    /// Where its entry begins.
    pub at: Location,
    /// Below `/api/v1/<app>`; begins with a slash.
    pub path: Option<String>,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: Option<String>,
    /// A security scheme of the app.
    pub security: Option<String>,
    /// An operation of the app.
    pub target: Option<String>,
    /// Whose credentials the operation gets.
    pub credential_mode: Option<ConnectionMode>,
    /// Whether there must be a body.
    pub body_required: Option<bool>,
    /// Media types that are accepted, in lower case and without parameters.
    pub content_types: Option<BTreeSet<String>>,
    /// Answered before the operation has run.
    pub ack: Option<Ack>,
}

/// What an app may call of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Invokes {
    /// Where it was written.
    pub at: Location,
    /// The other app.
    pub app: AppName,
    /// One operation; `None` is its whole GraphQL surface.
    pub operation: Option<String>,
    /// Whose credentials are used.
    pub credential_mode: Option<ConnectionMode>,
    /// On whose behalf.
    pub run_as: Option<RunAs>,
}
