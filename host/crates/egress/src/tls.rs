//! Who a server must prove to be.

use crate::BuildError;
use gestalt_core::egress::EgressError;
use gestalt_core::host::Host;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Sessions kept for resumption, per app. An app that talks to more hosts than this at a time pays full handshakes.
const SESSIONS: usize = 32;

/// The daemon's side of every handshake: trusted roots, protocol versions, ALPN `http/1.1`, no client certificate.
///
/// # Errors
/// When `ca_file` cannot be read or holds no usable certificate.
pub(crate) fn build(ca_file: Option<&Path>) -> Result<ClientConfig, BuildError> {
    let mut roots = platform_roots();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        tracing::warn!(
            target: "gestalt::egress",
            "no root certificate on this machine and no server.egress.caFile: every https request will fail"
        );
    }
    // Named, so that it does not matter which provider the process has installed, or whether it has.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// One app's copy: same trust, its own session store.
pub(crate) fn for_app(base: &ClientConfig) -> TlsConnector {
    let mut config = base.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    TlsConnector::from(Arc::new(config))
}

/// Shakes hands; the certificate must name the host the policy allowed, and SNI names the same.
pub(crate) async fn handshake(
    connector: &TlsConnector,
    host: &Host,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, EgressError> {
    let name = match host {
        Host::Ip(ip) => ServerName::from(*ip),
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| EgressError::TlsCertificate("no certificate can name this host".to_owned()))?,
    };
    connector.connect(name, stream).await.map_err(|error| tls_error(&error))
}

fn tls_error(error: &io::Error) -> EgressError {
    use rustls::Error::{InvalidCertRevocationList, InvalidCertificate, NoCertificatesPresented, UnsupportedNameType};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(
            found @ (InvalidCertificate(_)
            | InvalidCertRevocationList(_)
            | NoCertificatesPresented
            | UnsupportedNameType),
        ) => EgressError::TlsCertificate(found.to_string()),
        Some(found) => EgressError::Tls(found.to_string()),
        None => EgressError::Tls(error.to_string()),
    }
}

/// What the platform has that can be read. One broken file there must not take https away from every app.
fn platform_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(target: "gestalt::egress", %error, "some of the platform's root certificates were not read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

/// All of the operator's file, or an error: half a file is not what was asked for.
fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), BuildError> {
    let fail = |reason: String| BuildError::CaFile { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
    let mut any = false;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        any = true;
    }
    if any { Ok(()) } else { Err(fail("holds no PEM certificate".to_owned())) }
}
