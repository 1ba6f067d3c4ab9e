//! The one certificate authority of the namespace: `server.egress.caFile` trusts it, and it signs for whoever is asked for.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, IsCa, KeyPair,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

static ISSUER: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = called("the namespace's authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
});

/// A subject that is nobody else's: OpenSSL takes a certificate whose issuer is called like itself for its own issuer.
fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

/// The certificate to trust, as PEM.
pub(crate) fn pem() -> String {
    ISSUER.pem()
}

/// Presents a certificate for the name that is asked for, or for the address that was connected to. For names that start
/// with `mallory.`, one that belongs to somebody else.
#[derive(Debug)]
struct Certificates(IpAddr);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map_or_else(|| self.0.to_string(), str::to_owned);
        let name = if name.starts_with("mallory.") { "evil.test".to_owned() } else { name };
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.clone()]).unwrap();
        params.distinguished_name = called(&name);
        params.custom_extensions.push(revocation());
        let certificate = params.signed_by(&key, &*ISSUER).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Some(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
    }
}

/// Where a client that asks about revocation would go: authority information access (RFC 5280, 4.2.2.1) with an OCSP
/// responder at `http://ocsp.evil.test/`.
fn revocation() -> CustomExtension {
    let url = b"http://ocsp.evil.test/";
    let ocsp = [&[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x86, url.len() as u8][..], url].concat();
    let access = [&[0x30, ocsp.len() as u8][..], &ocsp].concat();
    let content = [&[0x30, access.len() as u8][..], &access].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}

/// How to serve TLS on `ip`: HTTP/2 is offered, and nobody should take it.
pub(crate) fn server(ip: IpAddr) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates(ip)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
