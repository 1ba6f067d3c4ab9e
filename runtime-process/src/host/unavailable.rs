//! Services of the protocol that this host does not offer to apps, or not yet.
//!
//! A client that calls one is told so by name. UNIMPLEMENTED would be taken for another dialect of the protocol, and
//! answered by probing for the next name.

use std::convert::Infallible;
use tonic::service::Routes;
use tonic::{Status, body::Body};

/// Every service a provider of any dialect may look for on its host socket, beside those that are served.
const SERVICES: [&str; 16] = [
    "Agent",
    "AgentHost",
    "AgentManagerHost",
    "AgentProvider",
    "Authorization",
    "AuthorizationProvider",
    "Cache",
    "ExternalCredentials",
    "Identity",
    "IndexedDB",
    "PluginInvoker",
    "PluginRuntimeLogHost",
    "S3",
    "S3ObjectAccess",
    "Workflow",
    "WorkflowProvider",
];

/// Likewise, of protocol 3 alone; kept apart for the day the others are served.
const SERVICES_OF_3: [&str; 2] = ["WorkflowHost", "WorkflowManagerHost"];

pub(super) fn register(routes: &mut Routes) {
    let router = routes.axum_router_mut();
    for name in SERVICES.into_iter().chain(SERVICES_OF_3) {
        let answer = tower::service_fn(move |_: http::Request<_>| async move {
            let status = Status::unavailable(format!("host service {name} is not available"));
            Ok::<_, Infallible>(status.into_http::<Body>())
        });
        let path = format!("/gestalt.provider.v1.{name}/{{*method}}");
        *router = std::mem::take(router).route_service(&path, answer);
    }
}
