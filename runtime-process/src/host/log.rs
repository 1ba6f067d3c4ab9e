use super::Caller;
use gestalt_core::service::LogStream;
use gestalt_proto::v1::runtime_log_host_server::RuntimeLogHost;
use gestalt_proto::v1::{AppendRuntimeLogsRequest, AppendRuntimeLogsResponse, RuntimeLogStream};
use std::sync::Arc;
use std::time::SystemTime;
use tonic::{Request, Response, Status};

/// `RuntimeLogHost`: lines an app hands over itself.
pub(super) struct LogHost(pub(super) Arc<Caller>);

#[tonic::async_trait]
impl RuntimeLogHost for LogHost {
    async fn append_logs(
        &self,
        request: Request<AppendRuntimeLogsRequest>,
    ) -> Result<Response<AppendRuntimeLogsResponse>, Status> {
        let request = request.into_inner();
        match request.session_id.as_str() {
            "" => return Err(Status::invalid_argument("session_id is required")),
            id if id != self.0.session => return Err(Status::not_found("unknown session")),
            _ => {}
        }
        let mut last = 0;
        for entry in request.logs.iter().filter(|entry| !entry.message.is_empty()) {
            let stream = match entry.stream() {
                RuntimeLogStream::Stdout => LogStream::Stdout,
                RuntimeLogStream::Stderr => LogStream::Stderr,
                RuntimeLogStream::Runtime | RuntimeLogStream::Unspecified => LogStream::Runtime,
            };
            let observed_at = entry.observed_at.and_then(|at| SystemTime::try_from(at).ok());
            last = self.0.log.append(stream, &entry.message, observed_at).unwrap_or(last);
        }
        Ok(Response::new(AppendRuntimeLogsResponse { last_seq: i64::try_from(last).unwrap_or(i64::MAX) }))
    }
}
