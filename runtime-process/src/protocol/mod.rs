//! The provider protocol as a client: one app process, whichever of the three versions it speaks.

mod catalog;
mod current;
pub(crate) mod json;
mod legacy;
pub(crate) mod reply;

use crate::error::ProcessError;
use gestalt_core::foreign::Foreign;
use gestalt_core::{AppName, Call, Catalog, Credential, ExecError, HttpSubjectRequest, Metadata, Reply, SubjectRef};
use gestalt_proto::v1::app_provider_client::AppProviderClient;
use gestalt_proto::v3::integration_provider_client::IntegrationProviderClient;
use gestalt_proto::{v1, v3};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Largest message in either direction: what the Python SDK takes. Rust providers take 4 MiB and say so themselves.
pub(crate) const MAX_MESSAGE: usize = 64 << 20;

/// An app process that has told what it is.
pub(crate) struct Peer {
    client: Client,
    version: i32,
    session_catalog: bool,
    post_connect: bool,
}

enum Client {
    /// Protocols 4 and 5, alike as far as an app is concerned.
    Current(AppProviderClient<Channel>),
    /// Protocol 3.
    Legacy(IntegrationProviderClient<Channel>),
}

/// What every call about a credential says.
pub(crate) struct About<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) public_base_url: &'a str,
    pub(crate) timeout: Duration,
}

impl Peer {
    /// Asks the process what it is, under the service name of either era, and settles on a protocol version.
    ///
    /// The outer error is the process' own: an UNAVAILABLE there means that it is not listening yet.
    pub(crate) async fn negotiate(channel: Channel) -> Result<Result<Self, ProcessError>, Status> {
        let mut client = AppProviderClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        match client.get_metadata(()).await {
            Ok(metadata) => {
                let m = metadata.into_inner();
                let chosen = choose(&[5, 4], m.min_protocol_version, m.max_protocol_version);
                return Ok(chosen.map(|version| Self {
                    client: Client::Current(client),
                    version,
                    session_catalog: m.supports_session_catalog,
                    post_connect: false,
                }));
            }
            Err(status) if status.code() != Code::Unimplemented => return Err(status),
            Err(_) => {}
        }
        let mut client = IntegrationProviderClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let m = client.get_metadata(()).await?.into_inner();
        let chosen = choose(&[3], m.min_protocol_version, m.max_protocol_version);
        Ok(chosen.map(|version| Self {
            client: Client::Legacy(client),
            version,
            session_catalog: m.supports_session_catalog,
            post_connect: m.supports_post_connect,
        }))
    }

    /// The protocol version both sides speak.
    pub(crate) fn version(&self) -> i32 {
        self.version
    }

    /// Hands over name and config, and checks that the version comes back. The inner error is the protocol's.
    pub(crate) async fn start(
        &self,
        app: &AppName,
        config: Option<&Map<String, Value>>,
        timeout: Duration,
    ) -> Result<Result<(), ProcessError>, Status> {
        let (name, told) = (app.as_str().to_owned(), self.version);
        let config = config.filter(|c| !c.is_empty()).map(|c| json::to_struct(c.clone()));
        let answer = match &self.client {
            Client::Current(client) => {
                let message = v1::StartProviderRequest { name, config, protocol_version: told };
                client.clone().start_provider(within(message, timeout)).await.map(|a| a.into_inner().protocol_version)
            }
            Client::Legacy(client) => {
                let message = v3::StartProviderRequest { name, config, protocol_version: told };
                client.clone().start_provider(within(message, timeout)).await.map(|a| a.into_inner().protocol_version)
            }
        };
        match answer {
            Ok(echoed) if echoed == told => Ok(Ok(())),
            Ok(echoed) => Ok(Err(ProcessError::Echo { told, echoed })),
            // An app that takes no config.
            Err(status) if status.code() == Code::Unimplemented => Ok(Ok(())),
            Err(status) => Err(status),
        }
    }

    /// Runs one operation.
    pub(crate) async fn execute(&self, call: &Call) -> Result<Reply, ExecError> {
        let left = call.deadline.saturating_duration_since(Instant::now());
        let answer = match &self.client {
            Client::Current(client) => client.clone().execute(within(current::execute(call, self.version), left)).await,
            Client::Legacy(client) => client.clone().execute(within(legacy::execute(call), left)).await,
        };
        reply::decode(answer.map_err(failed)?.into_inner())
    }

    /// The catalog with this credential's own operations; `None` when the app has no such thing.
    pub(crate) async fn session_catalog(
        &self,
        base: &Catalog,
        credential: &Credential,
        about: &About<'_>,
    ) -> Result<Option<Catalog>, ExecError> {
        if !self.session_catalog {
            return Ok(None);
        }
        let token = credential.token.expose().clone();
        let connection_params = credential.params.clone().into_iter().collect();
        let invocation_id = String::new();
        let answer = match &self.client {
            Client::Current(client) => {
                let context = Some(current::outside(about, Some(credential)));
                let message = v1::GetSessionCatalogRequest { token, connection_params, invocation_id, context };
                let answer = client.clone().get_session_catalog(within(message, about.timeout)).await;
                answer.map(|a| a.into_inner().catalog)
            }
            Client::Legacy(client) => {
                let context = Some(legacy::outside(Some(credential)));
                let message = v3::GetSessionCatalogRequest { token, connection_params, invocation_id, context };
                let answer = client.clone().get_session_catalog(within(message, about.timeout)).await;
                answer.map(|a| a.into_inner().catalog)
            }
        };
        match answer {
            Ok(Some(session)) => catalog::merge(base, session).map(Some),
            Ok(None) => Ok(None),
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(failed(status)),
        }
    }

    /// Who a webhook acts as.
    pub(crate) async fn http_subject(
        &self,
        request: &HttpSubjectRequest,
        about: &About<'_>,
    ) -> Result<Option<SubjectRef>, ExecError> {
        let answer = match &self.client {
            Client::Current(client) => {
                let message = v1::ResolveHttpSubjectRequest {
                    request: Some(current::http_subject(request)),
                    context: Some(current::outside(about, None)),
                };
                let answer = client.clone().resolve_http_subject(within(message, about.timeout)).await;
                answer.map(|a| {
                    let a = a.into_inner();
                    (a.subject.map(|s| s.id), a.reject_status, a.reject_message)
                })
            }
            Client::Legacy(client) => {
                let message = v3::ResolveHttpSubjectRequest {
                    request: Some(legacy::http_subject(request)),
                    context: Some(legacy::outside(None)),
                };
                let answer = client.clone().resolve_http_subject(within(message, about.timeout)).await;
                answer.map(|a| {
                    let a = a.into_inner();
                    (a.subject.map(|s| s.id), a.reject_status, a.reject_message)
                })
            }
        };
        match answer {
            Ok((_, status, message)) if status > 0 => Err(ExecError::rejected(status, &message)),
            Ok((Some(id), ..)) if !id.is_empty() => SubjectRef::parse(&id)
                .map(Some)
                .map_err(|error| ExecError::Failed(format!("webhook subject {:?}: {error}", Foreign::name(&id)))),
            Ok(_) => Ok(None),
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(failed(status)),
        }
    }

    /// Shows the app a connection just made. Protocol 3 only; the hook does not exist in later ones.
    pub(crate) async fn post_connect(&self, credential: &Credential, about: &About<'_>) -> Result<Metadata, ExecError> {
        let Client::Legacy(client) = &self.client else { return Ok(Metadata::new()) };
        if !self.post_connect {
            return Ok(Metadata::new());
        }
        let message = v3::PostConnectRequest { token: Some(legacy::connected(credential, about.app)) };
        match client.clone().post_connect(within(message, about.timeout)).await {
            Ok(answer) => Ok(answer.into_inner().metadata.into_iter().collect()),
            Err(status) if status.code() == Code::Unimplemented => Ok(Metadata::new()),
            Err(status) => Err(failed(status)),
        }
    }
}

/// The first of `ours` within the app's bounds, where 0 is no bound.
fn choose(ours: &[i32], min: i32, max: i32) -> Result<i32, ProcessError> {
    ours.iter()
        .copied()
        .find(|v| (min == 0 || *v >= min) && (max == 0 || *v <= max))
        .ok_or(ProcessError::Version { min, max })
}

/// A request that tells the app how long it has.
fn within<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// A status with a source was made on this side of the wire, when the connection broke; one without is the app's.
fn failed(status: Status) -> ExecError {
    let local = std::error::Error::source(&status).is_some();
    match status.code() {
        Code::DeadlineExceeded => ExecError::Deadline,
        // How tonic says that the timeout of a request has passed.
        Code::Cancelled if status.message() == "Timeout expired" => ExecError::Deadline,
        Code::OutOfRange if status.message().contains("message length too large") => {
            ExecError::Limit { what: "message size", detail: status.message().to_owned() }
        }
        Code::Unavailable => ExecError::Unavailable(status.message().to_owned()),
        _ if local => ExecError::Unavailable(status.to_string()),
        code => ExecError::Failed(format!("{code:?}: {}", status.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        for (min, max, expect) in
            [(4, 4, Some(4)), (5, 5, Some(5)), (0, 0, Some(5)), (3, 4, Some(4)), (6, 0, None), (0, 3, None)]
        {
            assert_eq!(choose(&[5, 4], min, max).ok(), expect, "{min}..{max}");
        }
        assert_eq!(choose(&[3], 3, 3).ok(), Some(3));
    }
}
