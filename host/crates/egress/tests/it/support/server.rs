//! Servers that do what a test says, byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A listener nobody may connect to.
pub(crate) struct Canary(std::net::TcpListener);

impl Canary {
    pub(crate) fn bind(ip: &str) -> Self {
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// A connection is in the backlog as soon as the client's connect has succeeded, so there is nothing to wait for.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.0.accept().map_err(|error| error.kind()).unwrap_err(), std::io::ErrorKind::WouldBlock);
    }
}

/// A server that runs a script for each connection.
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    /// What scripts report: request heads, or how a connection ended.
    reports: mpsc::UnboundedReceiver<String>,
    accepted: Arc<Mutex<usize>>,
}

impl Server {
    pub(crate) async fn start<F, Fut>(ip: &str, script: F) -> Self
    where
        F: Fn(TcpStream, mpsc::UnboundedSender<String>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, reports) = mpsc::unbounded_channel();
        let accepted = Arc::new(Mutex::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                tokio::spawn(script(stream, sender.clone()));
            }
        });
        Self { address, task, reports, accepted }
    }

    /// Reads a head, reports it, answers with `answer` and closes.
    pub(crate) async fn answering(ip: &str, answer: &'static str) -> Self {
        Self::start(ip, move |mut stream, reports| async move {
            let head = read_head(&mut stream).await;
            let _ = reports.send(head);
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn uri(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }

    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.lock().unwrap()
    }

    pub(crate) async fn report(&mut self) -> String {
        let report = tokio::time::timeout(std::time::Duration::from_secs(10), self.reports.recv());
        report.await.expect("no report within 10 s").expect("server is gone")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Up to and with the empty line; what was read of the body too.
pub(crate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(length) => head.extend_from_slice(&piece[..length]),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A whole answer with this body.
pub(crate) const fn ok() -> &'static str {
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
}
