//! Rows D15–D17: who the server is, and what it is told.

use crate::support::{Desk, Server, Setup, get, ok, read_head};
use gestalt_core::egress::{EgressError, SendOptions, Settings, follow};
use gestalt_egress::{BuildError, Egress, Parts, SystemResolver};
use http::HeaderValue;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::Write;
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A certificate authority and the file that makes it trusted.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// What a server with a certificate for `name` needs.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().clone(), &key)
    }

    pub(crate) async fn serve(&self, name: &str) -> Server {
        self.serve_with(self.acceptor(name)).await
    }

    /// A client that trusts this authority alone.
    pub(crate) fn connector(&self) -> tokio_rustls::TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        tokio_rustls::TlsConnector::from(Arc::new(builder.with_no_client_auth()))
    }

    /// Reports `SNI, ALPN` and the head; or that the handshake failed.
    async fn serve_with(&self, acceptor: TlsAcceptor) -> Server {
        self.serve_answer(acceptor, ok()).await
    }

    async fn serve_answer(&self, acceptor: TlsAcceptor, answer: &'static str) -> Server {
        Server::start("127.0.0.2", move |stream, reports| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    let _ = reports.send("handshake failed".to_owned());
                    return;
                };
                let tls = stream.get_ref().1;
                let alpn = String::from_utf8_lossy(tls.alpn_protocol().unwrap_or_default()).into_owned();
                let resumed = tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                let told = format!("sni {} alpn {alpn}\n", tls.server_name().unwrap_or("-"));
                let told = if resumed { format!("resumed {told}") } else { told };
                let head = read_head(&mut stream).await;
                let _ = reports.send(told + &head);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    fn desk(&self, server: &Server) -> Desk {
        let file = self.file.path().to_owned();
        Setup::new().settings(|settings| settings.ca_file = Some(file)).reach(server.address()).build()
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    acceptor_for(certificate, key, &[b"h2", b"http/1.1"])
}

fn acceptor_for(certificate: CertificateDer<'static>, key: &KeyPair, protocols: &[&[u8]]) -> TlsAcceptor {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn uri(server: &Server, host: &str) -> String {
    server.uri(host, "/").replace("http:", "https:")
}

#[tokio::test]
async fn d16_sni_host_and_certificate_are_the_canonical_name() {
    let authority = Authority::new();
    let mut server = authority.serve("allowed.test").await;
    let desk = authority.desk(&server);
    let mut request = get(&uri(&server, "ALLOWED.Test."));
    for (name, value) in [("host", "evil.test"), ("x-forwarded-host", "evil.test"), ("forwarded", "host=evil.test")] {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    assert_eq!(desk.send(request).await.unwrap().status(), 200);
    let seen = server.report().await;
    assert!(seen.starts_with("sni allowed.test alpn http/1.1\nGET / HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: allowed.test:{}\r\n", server.address().port())), "{seen}");
    assert!(!seen.contains("evil"), "{seen}");
}

#[tokio::test]
async fn d15_a_certificate_for_another_name() {
    let authority = Authority::new();
    let mut server = authority.serve("evil.test").await;
    let desk = authority.desk(&server);
    let error = desk.get(&uri(&server, "allowed.test")).await.unwrap_err();
    assert!(matches!(error, EgressError::TlsCertificate(_)), "{error:?}");
    desk.refusal_recorded("tls", "d15");
    assert_eq!(server.report().await, "handshake failed");
}

#[tokio::test]
async fn d15_a_certificate_nobody_here_trusts() {
    let mut server = Authority::new().serve("allowed.test").await;
    let desk = Authority::new().desk(&server);
    let error = desk.get(&uri(&server, "allowed.test")).await.unwrap_err();
    assert!(matches!(error, EgressError::TlsCertificate(_)), "{error:?}");
    desk.refusal_recorded("tls", "d15");
    assert_eq!(server.report().await, "handshake failed");
}

#[tokio::test]
async fn d14_certificates_out_of_their_time_or_of_nobody() {
    let authority = Authority::new();
    let date = rcgen::date_time_ymd;
    for (what, not_before, not_after) in
        [("expired", date(2000, 1, 1), date(2001, 1, 1)), ("not yet valid", date(4000, 1, 1), date(4001, 1, 1))]
    {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["allowed.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (not_before, not_after);
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        let mut server = authority.serve_with(acceptor(certificate.der().clone(), &key)).await;
        let desk = authority.desk(&server);
        let error = desk.get(&uri(&server, "allowed.test")).await.unwrap_err();
        assert!(matches!(error, EgressError::TlsCertificate(_)), "{what}: {error:?}");
        desk.refusal_recorded("tls", what);
        assert_eq!(server.report().await, "handshake failed");
    }
}

/// A name must be among those the certificate is for, and the certificate for a server.
#[tokio::test]
async fn d14_certificates_that_only_look_right() {
    let authority = Authority::new();
    let mut common_name = CertificateParams::new(Vec::new()).unwrap();
    common_name.distinguished_name.push(DnType::CommonName, "allowed.test");
    let mut for_clients = CertificateParams::new(vec!["allowed.test".to_owned()]).unwrap();
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let above = CertificateParams::new(vec!["*.test".to_owned(), "test".to_owned()]).unwrap();
    let deeper = CertificateParams::new(vec!["*.wild.test".to_owned()]).unwrap();
    for (what, params, host, accepted) in [
        ("a common name", common_name, "allowed.test", false),
        ("for clients", for_clients, "allowed.test", false),
        ("a wildcard over everything there is", above.clone(), "allowed.test", false),
        ("a wildcard two labels up", above, "a.wild.test", false),
        ("a wildcard that covers it", deeper.clone(), "a.wild.test", true),
        ("a wildcard beside it", deeper, "allowed.test", false),
    ] {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        let mut server = authority.serve_with(acceptor(certificate.der().clone(), &key)).await;
        let desk = authority.desk(&server);
        let result = desk.fetch(&uri(&server, host)).await;
        let refused = matches!(result, Err(EgressError::TlsCertificate(_)));
        assert_eq!((result.is_ok(), refused), (accepted, !accepted), "{what} {host}: {result:?}");
        assert_eq!(server.report().await == "handshake failed", !accepted, "{what} {host}");
    }
}

/// TLS 1.3 and 1.2, HTTP/1.1, the canonical name; no client certificate, no early data.
#[tokio::test]
async fn d12_what_a_client_hello_says() {
    let mut server = Server::start("127.0.0.2", |mut stream, reports| async move {
        let mut hello = [0; 4096];
        let length = stream.read(&mut hello).await.unwrap();
        let _ = reports.send(hello[..length].iter().map(|byte| format!("{byte:02x}")).collect());
    })
    .await;
    let desk = Setup::new().reach(server.address()).build();
    desk.get(&uri(&server, "Allowed.TEST.")).await.unwrap_err();
    let hello = server.report().await;
    assert!(hello.contains("002b00050403040303"), "supported versions: {hello}");
    assert!(hello.contains("0010000b000908687474702f312e31"), "ALPN: {hello}");
    let name: String = b"allowed.test".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(hello.contains(&format!("00000011000f00000c{name}")), "SNI: {hello}");
    assert!(!hello.contains("002a0000"), "early data: {hello}");
}

#[tokio::test]
async fn d17_a_server_of_http_2_alone() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["allowed.test".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let acceptor = acceptor_for(certificate.der().clone(), &key, &[b"h2"]);
    let mut server = authority.serve_with(acceptor).await;
    let desk = authority.desk(&server);
    let error = desk.get(&uri(&server, "allowed.test")).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
    assert_eq!(server.report().await, "handshake failed");
}

/// Somebody on the way can end a connection; that an answer was whole can only be said in TLS.
#[tokio::test]
async fn d13_an_answer_that_is_cut_off_is_not_taken_for_a_whole_one() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("allowed.test");
    let server = Server::start("127.0.0.2", move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_head(&mut stream).await;
            // Of no declared length: it ends with the connection, and that without a farewell.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf an ans").await;
            let _ = stream.flush().await;
        }
    })
    .await;
    let desk = authority.desk(&server);
    let error = desk.fetch(&uri(&server, "allowed.test")).await.unwrap_err();
    assert!(matches!(error, EgressError::Closed(_)), "{error:?}");
}

/// An address proves itself by a certificate for the address; a name in it is no help, and no SNI is sent.
#[tokio::test]
async fn d13_an_address_needs_a_certificate_for_the_address() {
    let authority = Authority::new();
    for (name, accepted) in [("127.0.0.2", true), ("allowed.test", false)] {
        let mut server = authority.serve(name).await;
        let file = authority.file.path().to_owned();
        let desk = Setup::new().hosts(&["127.0.0.2"]).settings(|settings| settings.ca_file = Some(file)).build();
        let result = desk.get(&uri(&server, "127.0.0.2")).await;
        assert_eq!(result.is_ok(), accepted, "{name}: {:?}", result.err());
        let seen = server.report().await;
        assert!(seen.starts_with(if accepted { "sni - alpn" } else { "handshake failed" }), "{seen}");
    }
}

/// A server that is reached in TLS cannot send the daemon on in the clear, not even to itself.
#[tokio::test]
async fn e03_a_redirect_out_of_tls_is_not_followed() {
    let authority = Authority::new();
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://allowed.test/\r\ncontent-length: 0\r\n\r\n";
    let server = authority.serve_answer(authority.acceptor("allowed.test"), answer).await;
    let desk = authority.desk(&server);
    let mut request = http::Request::new(bytes::Bytes::new());
    *request.uri_mut() = uri(&server, "allowed.test").parse().unwrap();
    let error = follow(&*desk.client, request, &SendOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "redirected to allowed.test: request denied: scheme_invalid");
    assert_eq!((desk.asked().len(), desk.records().len()), (1, 1));
}

/// A session is resumed by the app that opened it and by no other.
#[tokio::test]
async fn e06_tls_sessions_belong_to_one_app() {
    let authority = Authority::new();
    let mut server = authority.serve("allowed.test").await;
    let desk = authority.desk(&server);
    let uri = uri(&server, "allowed.test");
    let mut resumed = Vec::new();
    for _ in 0..2 {
        desk.fetch(&uri).await.unwrap();
        resumed.push(server.report().await.starts_with("resumed"));
    }
    let rules = crate::support::allowing(&["allowed.test"]);
    let app = gestalt_core::AppName::parse("other").unwrap();
    let other = desk.egress.client(app, rules, gestalt_core::limits::EgressLimits::default());
    other.send(get(&uri), SendOptions::default()).await.unwrap();
    resumed.push(server.report().await.starts_with("resumed"));
    assert_eq!(resumed, [false, true, false]);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let server = Server::start("127.0.0.2", |mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let desk = Setup::new().reach(server.address()).build();
    let error = desk.get(&uri(&server, "allowed.test")).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
    desk.refusal_recorded("tls", "plain server");
}

#[test]
fn an_unusable_ca_file_is_an_error_that_names_it() {
    let mut empty = NamedTempFile::new().unwrap();
    empty.write_all(b"no certificate").unwrap();
    let mut broken = NamedTempFile::new().unwrap();
    broken.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for path in [empty.path(), broken.path(), "/nonexistent/ca.pem".as_ref()] {
        let settings = Settings { ca_file: Some(path.to_owned()), ..Settings::default() };
        let built = Egress::build(
            settings,
            Parts {
                resolver: Arc::new(SystemResolver::new()),
                sink: Arc::new(Nowhere),
                meter: Arc::new(Nowhere),
                listeners: Arc::default(),
                clock: Arc::new(std::time::Instant::now),
                artifacts: None,
            },
        );
        let error = built.map(drop).unwrap_err();
        assert!(matches!(error, BuildError::CaFile { .. }), "{error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

struct Nowhere;

impl gestalt_core::metrics::Meter for Nowhere {
    fn record(&self, _: gestalt_core::metrics::Event) {}
}

impl gestalt_core::audit::Sink for Nowhere {
    fn record(&self, _: gestalt_core::audit::Record) {}
}
