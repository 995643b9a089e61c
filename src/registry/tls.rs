//! Whom to trust, and as whom to appear.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::{Context, Error, ErrorKind, Result};

/// Most bytes of a file of certificates. The bundle of a system has a quarter of a megabyte.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Certificates beside those of the system, read and checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    /// Trusted for every host.
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// Trusted for the registry's own host.
    pub(super) own_roots: Vec<CertificateDer<'static>>,
    /// Shown to the registry's own host.
    pub(super) client: Option<ClientCertificate>,
}

/// A certificate and its key, which fit together.
#[derive(Clone)]
pub(super) struct ClientCertificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key_pem: Vec<u8>,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads what is given for all hosts, and what `folders` have for `host` in the way of
    /// docker and podman: `HOST/*.crt` are authorities, `HOST/NAME.cert` and `HOST/NAME.key` a
    /// client certificate. One that is given goes before one that is found.
    pub(super) fn load(
        host: &str,
        ca_files: &[PathBuf],
        client: Option<&(PathBuf, PathBuf)>,
        folders: &[PathBuf],
    ) -> Result<Identity> {
        let mut identity = Identity::default();
        for file in ca_files {
            identity.roots.extend(certificates(file)?);
        }
        identity.client = match client {
            Some((certificate, key)) => Some(client_certificate(certificate, key)?),
            None => None,
        };
        for folder in folders {
            identity.add_folder(&folder.join(host))?;
        }
        Ok(identity)
    }

    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                // Others may use this machine in other ways; the handshake tells what is missing.
                log::warn!("no certificates from `{}`: {error}", folder.display());
                return Ok(());
            }
        };
        let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        files.sort();
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.own_roots.extend(certificates(&file)?),
                Some("cert") if self.client.is_none() => {
                    self.client = Some(client_certificate(&file, &file.with_extension("key"))?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The certificates of the system and `extra`; `None` if there are neither, so that those that
/// are compiled in have to do.
pub(super) fn roots<'a>(
    extra: impl Iterator<Item = &'a CertificateDer<'static>>,
) -> Option<Vec<CertificateDer<'static>>> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        log::debug!("reading the system's certificates: {error}");
    }
    let mut roots = system.certs;
    if roots.is_empty() {
        log::debug!("the system has no certificates");
    }
    roots.extend(extra.cloned());
    (!roots.is_empty()).then_some(roots)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let reading = || format!("reading `{}`", path.display());
    let size = fs::metadata(path).context(reading)?.len();
    if size > FILE_LIMIT {
        let message = format!("expected at most {FILE_LIMIT} bytes, got {size}");
        return Err(Error::new(ErrorKind::Local(message)).context(reading()));
    }
    fs::read(path).context(reading)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let invalid = |reason: String| {
        Error::new(ErrorKind::Local(reason)).context(format!("reading `{}`", path.display()))
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(format!("expected PEM: {error}")))?;
    if found.is_empty() {
        Err(invalid("expected a certificate in PEM, got none".into()))
    } else {
        Ok(found)
    }
}

fn client_certificate(certificate: &Path, key: &Path) -> Result<ClientCertificate> {
    let chain = certificates(certificate)?;
    let key_pem = read(key)?;
    let invalid = |reason: String| {
        Error::new(ErrorKind::Local(reason)).context(format!("reading `{}`", key.display()))
    };
    let parsed = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| invalid("expected a private key in PEM, without a passphrase".into()))?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&parsed)
        .map_err(|error| invalid(format!("expected a private key: {error}")))?;
    match CertifiedKey::new(chain.clone(), Arc::clone(&signing)).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(ClientCertificate { chain, key_pem })
        }
        Err(_) => Err(invalid(format!("it is not the key of `{}`", certificate.display()))),
    }
}

/// Why a handshake failed, in plain words.
pub(super) fn reason(error: &rustls::Error) -> String {
    use rustls::AlertDescription as Alert;
    let words = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::Revoked => "its certificate is revoked",
            CertificateError::UnknownIssuer => "its certificate is signed by an unknown authority",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::BadEncoding => "its certificate is malformed",
            // What webpki says of one that is its own authority.
            CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
                "its certificate is signed by itself"
            }
            error => return format!("its certificate is not valid: {error}"),
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        rustls::Error::AlertReceived(Alert::CertificateRequired) => "it wants a client certificate",
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::AccessDenied,
        ) => "it refuses the client certificate",
        error => return error.to_string(),
    };
    words.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        use std::io::Write;
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn certificates_of_a_host_are_found_where_docker_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        write(folder.path(), "a.test:5000/ca.crt", &certificate);
        write(folder.path(), "a.test:5000/client.cert", &certificate);
        write(folder.path(), "a.test:5000/client.key", &key);
        write(folder.path(), "a.test:5000/README", "");
        let folders = [folder.path().to_owned(), folder.path().join("absent")];
        let identity = Identity::load("a.test:5000", &[], None, &folders).unwrap();
        assert_eq!((identity.own_roots.len(), identity.client.is_some()), (1, true));
        let other = Identity::load("a.test", &[], None, &folders).unwrap();
        assert_eq!((other.own_roots.len(), other.client.is_some()), (0, false));
    }

    #[test]
    fn certificates_that_are_none_are_refused_by_their_path() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        let certificate = write(folder.path(), "a.pem", &certificate);
        let key = write(folder.path(), "a.key", &key);
        let other_key = write(folder.path(), "b.key", &pair().1);
        let empty = write(folder.path(), "empty", "");
        let check = |ca: &[PathBuf], client: (&PathBuf, &PathBuf), expected: &str| {
            let client = (client.0.clone(), client.1.clone());
            let error = Identity::load("a", ca, Some(&client), &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[folder.path().join("absent")], (&certificate, &key), "absent");
        check(std::slice::from_ref(&empty), (&certificate, &key), "expected a certificate");
        check(&[], (&certificate, &other_key), "it is not the key of");
        check(&[], (&certificate, &certificate), "expected a private key");
        check(&[], (&certificate, &empty), "expected a private key");
        let pair = (certificate, key);
        assert!(Identity::load("a", &[], Some(&pair), &[]).unwrap().client.is_some());
    }
}
