//! The host-service socket of one app: what its process may ask of the daemon.
//!
//! The socket is the caller's identity: it lies in a directory nobody else may enter, and its path is told to one child.

mod app;
mod frames;
mod log;
mod unavailable;

use crate::authority::Authority;
use crate::error::ProcessError;
use crate::output::AppLog;
use crate::protocol::MAX_MESSAGE;
use crate::socket::SocketDir;
use frames::Repaired;
use gestalt_core::AppName;
use gestalt_core::service::HostServices;
use gestalt_proto::v1::app_server::AppServer;
use gestalt_proto::v1::runtime_log_host_server::RuntimeLogHostServer;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

/// Streams at once on one connection. Against a child that opens calls without end.
const MAX_STREAMS: u32 = 256;

/// Calls carried out at once for one app, whatever the number of its connections: SDKs open one per client object.
const MAX_CALLS: usize = 1024;

/// What calls in flight get when the socket closes.
const CLOSE: Duration = Duration::from_secs(2);

/// What a host service needs to know of its caller.
pub(crate) struct Caller {
    pub(crate) app: AppName,
    pub(crate) services: HostServices,
    pub(crate) authority: Arc<Authority>,
    pub(crate) log: Arc<AppLog>,
    pub(crate) session: String,
    /// Known as soon as the process has told it, which is before it has anything to ask.
    pub(crate) version: OnceLock<i32>,
    /// Bounds the calls in flight; one permit each.
    pub(crate) calls: Semaphore,
    /// For nested calls whose outer call is over.
    pub(crate) rpc_timeout: Duration,
}

impl Caller {
    pub(crate) fn new(
        app: AppName,
        services: HostServices,
        log: Arc<AppLog>,
        session: String,
        rpc_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            app,
            services,
            authority: Arc::default(),
            log,
            session,
            version: OnceLock::new(),
            calls: Semaphore::new(MAX_CALLS),
            rpc_timeout,
        })
    }
}

/// A listening host-service socket.
pub(crate) struct HostServer {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl HostServer {
    /// Listens. Connections are accepted from the moment this returns.
    pub(crate) fn launch(sockets: &SocketDir, caller: Arc<Caller>) -> Result<Self, ProcessError> {
        let path = sockets.host_socket();
        let listener =
            UnixListener::bind(&path).map_err(|source| ProcessError::Listen { path: path.clone(), source })?;
        // A confined process knows the socket by another path.
        let inside = Path::new(gestalt_confine::SOCKETS).join(path.file_name().unwrap_or_default());
        let incoming = accept(listener, frames::Authority::new([path.as_path(), &inside]));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .add_routes(routes(&caller))
            .serve_with_incoming_shutdown(incoming, stopped);
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!(app = %caller.app, %error, "host-service socket failed");
            }
        });
        Ok(Self { stop, task })
    }

    /// Lets calls in flight finish for a moment, then ends them.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        if timeout(CLOSE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for HostServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn accept(
    listener: UnixListener,
    authority: frames::Authority,
) -> impl Stream<Item = std::io::Result<Repaired<tokio::net::UnixStream>>> {
    UnixListenerStream::new(listener).map(move |stream| Ok(Repaired::new(stream?, authority.clone())))
}

fn routes(caller: &Arc<Caller>) -> Routes {
    let app = AppServer::new(app::AppHost(Arc::clone(caller)))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let log = RuntimeLogHostServer::new(log::LogHost(Arc::clone(caller))).max_decoding_message_size(MAX_MESSAGE);
    let mut routes = Routes::new(app).add_service(log);
    unavailable::register(&mut routes);
    routes
}
