//! Certificates for the registry: good ones and bad ones.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig};

use super::content::Content;
use super::scratch::Scratch;

/// Names that a good certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A server's certificate and the files a client needs.
pub(crate) struct Tls {
    folder: Scratch,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// For `localhost`, 127.0.0.1 and ::1, signed by the authority of [`Tls::ca_file`].
    pub(crate) fn new() -> Tls {
        Tls::with(|_| {}, false)
    }

    /// Valid until 2001.
    pub(crate) fn expired() -> Tls {
        Tls::with(|server| server.not_after = date_time_ymd(2001, 1, 1), false)
    }

    /// For another name.
    pub(crate) fn wrong_name() -> Tls {
        let names = CertificateParams::new(vec!["elsewhere.test".to_owned()]);
        Tls::with(|server| server.subject_alt_names = names.unwrap().subject_alt_names, false)
    }

    /// Signed by another authority than that of [`Tls::ca_file`].
    pub(crate) fn unknown_ca() -> Tls {
        let mut tls = Tls::new();
        tls.folder = Tls::new().folder;
        tls
    }

    /// Signed by itself.
    pub(crate) fn self_signed() -> Tls {
        let mut tls = Tls::new();
        let certified = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
        let config = ServerConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        tls.config = with_certificate(config, &certified.cert, &certified.signing_key);
        tls
    }

    /// As `new`, for clients with the certificate of [`Tls::cert_file`] only.
    pub(crate) fn with_client_certificate() -> Tls {
        Tls::with(|_| {}, true)
    }

    /// PEM of the authority.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// PEM of the client's certificate.
    pub(crate) fn cert_file(&self) -> PathBuf {
        self.folder.join("client.pem")
    }

    /// PEM of the client's key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.join("client.key")
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    fn with(change: impl FnOnce(&mut CertificateParams), client_needed: bool) -> Tls {
        let folder = Scratch::new();
        let ca = authority();
        let mut server = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut server);
        let key = KeyPair::generate().unwrap();
        let certificate = server.signed_by(&key, &ca).unwrap();

        let mut client = CertificateParams::default();
        client.distinguished_name.push(DnType::CommonName, "client");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client_key = KeyPair::generate().unwrap();
        folder.write("ca.pem", ca.pem());
        folder.write("client.pem", client.signed_by(&client_key, &ca).unwrap().pem());
        folder.write("client.key", client_key.serialize_pem());

        let config = ServerConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = if client_needed {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            config.with_client_cert_verifier(verifier.unwrap())
        } else {
            config.with_no_client_auth()
        };
        Tls { folder, config: with_certificate(config, &certificate, &key) }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn with_certificate(
    config: ConfigBuilder<ServerConfig, WantsServerCert>,
    certificate: &Certificate,
    key: &KeyPair,
) -> Arc<ServerConfig> {
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Arc::new(config.with_single_cert(chain, key).unwrap())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    let key = KeyPair::generate().unwrap();
    // Every authority has another name: else a stranger's signature would be a bad one of ours.
    let name = Content::from(key.public_key_raw()).digest();
    params.distinguished_name.push(DnType::CommonName, format!("authority {}", &name[7..23]));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, key).unwrap()
}
