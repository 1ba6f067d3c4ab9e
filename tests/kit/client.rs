use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Calls one daemon over HTTP/1.1, each request on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct Client(SocketAddr);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status as a number, for tables.
    pub fn code(&self) -> u16 {
        self.status.as_u16()
    }
}

impl Client {
    /// Calls what listens there.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// A connection that is kept.
    ///
    /// # Errors
    /// When nobody listens.
    #[expect(clippy::disallowed_methods, reason = "a caller's own connection, not one on behalf of an app")]
    pub async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Connection { sender, host: self.0.to_string() })
    }

    /// A bare connection from `from`, which may be any address of `127.0.0.0/8`: for clients that do not speak HTTP well.
    ///
    /// # Errors
    /// When nobody listens.
    #[expect(clippy::disallowed_methods, reason = "a caller's own connection, not one on behalf of an app")]
    pub async fn open(&self, from: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        socket.connect(self.0).await
    }

    /// One request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> io::Result<Answer> {
        self.connect().await?.send(method, path, body).await
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.try_send(Method::GET, path, "").await.unwrap()
    }

    /// `POST path`.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_send(Method::POST, path, body).await.unwrap()
    }

    /// `POST /api/v1/{app}/{operation}`.
    pub async fn call(&self, app: &str, operation: &str, params: impl Into<Bytes>) -> Answer {
        self.post(&format!("/api/v1/{app}/{operation}"), params).await
    }
}

/// One connection, one request after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// One request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&mut self, method: Method, path: &str, body: impl Into<Bytes>) -> io::Result<Answer> {
        let request = Request::builder().method(method).uri(path).header("host", &self.host);
        let request = request.header("content-type", "application/json").body(Full::new(body.into())).unwrap();
        self.sender.ready().await.map_err(io::Error::other)?;
        let response = self.sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
