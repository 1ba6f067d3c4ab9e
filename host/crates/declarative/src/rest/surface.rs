use gestalt_core::Parameter;
use url::Url;

/// A manifest's `spec.surfaces.rest`, with the `spec.headers` that go with it.
#[derive(Clone, Debug)]
pub struct RestSurface {
    /// Absolute `http` or `https` URL without query, fragment and user; operation paths are appended to its path.
    pub base_url: Url,
    /// Headers of every request, as name and value.
    pub headers: Vec<(String, String)>,
    /// What can be called; at least one makes sense.
    pub operations: Vec<RestOperation>,
}

/// One entry of `spec.surfaces.rest.operations`.
#[derive(Clone, Debug, Default)]
pub struct RestOperation {
    /// Operation id.
    pub name: String,
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// Path below the base URL, with `{name}` where a value goes; may end in a fixed `?query`.
    pub path: String,
    /// What it does; may be empty.
    pub description: String,
    /// The declared parameters. One with no location is accepted and not sent.
    pub parameters: Vec<Parameter>,
    /// Roles that may call it; empty means every role.
    pub allowed_roles: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
}
