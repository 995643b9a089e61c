//! A registry whose certificate comes from an authority that nobody knows.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::fixture;
use crate::registry::{Registry, busybox};
use crate::tool::Tool;
use crate::windlass::Windlass;

/// Self-contained, so that the system's openssl.cnf adds nothing.
const CONFIG: &str = "\
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
";

/// A certificate authority and one certificate of it, for 127.0.0.1.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let authority = Authority { folder: TempDir::new().unwrap() };
        fs::write(authority.path("config"), CONFIG).unwrap();
        // skopeo takes every `*.crt` in a folder for an authority.
        authority.make("/CN=interop authority", "ca", "ca.key", "ca.crt", &[]);
        let signed = [authority.path("ca.crt"), authority.path("ca.key")];
        authority.make("/CN=127.0.0.1", "server", "server.pem.key", "server.pem", &signed);
        authority
    }

    fn make(&self, name: &str, section: &str, key: &str, certificate: &str, by: &[PathBuf]) {
        let mut tool = Tool::new("openssl", self.folder.path())
            .args(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(&["-nodes", "-days", "2", "-subj", name, "-extensions", section])
            .arg("-config")
            .arg(self.path("config"))
            .arg("-keyout")
            .arg(self.path(key))
            .arg("-out")
            .arg(self.path(certificate));
        if let [ca, ca_key] = by {
            tool = tool.arg("-CA").arg(ca).arg("-CAkey").arg(ca_key);
        }
        tool.run().ok();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path("server.pem.key")
    }

    /// For skopeo, which wants the folder. It must not have a `*.key` without its `*.cert`.
    pub(crate) fn folder_of_ca(&self) -> String {
        let folder = self.path("trusted");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(self.path("ca.crt"), folder.join("ca.crt")).unwrap();
        folder.to_str().unwrap().to_owned()
    }

    pub(crate) fn ca(&self) -> String {
        self.path("ca.crt").to_str().unwrap().to_owned()
    }
}

#[test]
fn pull_trusts_the_authority_in_ca_file() {
    let authority = Authority::new();
    let (registry, windlass) = (Registry::with_tls(&authority).filled(), Windlass::new());
    let name = busybox(&registry.host);
    let answer = format!("{name}@{}\n", fixture::index_digest());
    windlass.run(&["pull", "--ca-file", &authority.ca(), &name]).ok().prints(&answer);
    windlass.copied(&name);
}

#[test]
fn pull_trusts_the_authority_in_ssl_cert_file() {
    let authority = Authority::new();
    let (registry, windlass) = (Registry::with_tls(&authority).filled(), Windlass::new());
    let name = busybox(&registry.host);
    let answer = format!("{name}@{}\n", fixture::index_digest());
    windlass.tool(&["pull", &name]).env("SSL_CERT_FILE", authority.ca()).run().ok().prints(&answer);
}

#[test]
fn pull_from_an_unknown_authority_says_why_and_never_falls_back_to_plain_http() {
    let authority = Authority::new();
    let (registry, windlass) = (Registry::with_tls(&authority).filled(), Windlass::new());
    let ran = windlass.run(&["pull", &busybox(&registry.host)]).exits(5).prints("");
    assert!(ran.stderr.to_lowercase().contains("certificate"), "{}", ran.story());
}

#[test]
fn pull_with_the_wrong_authority_is_refused_too() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (registry, windlass) = (Registry::with_tls(&authority).filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["pull", "--ca-file", &other.ca(), &name]).exits(5).prints("");
}

#[test]
fn pull_with_insecure_takes_any_certificate() {
    let authority = Authority::new();
    let (registry, windlass) = (Registry::with_tls(&authority).filled(), Windlass::new());
    let name = busybox(&registry.host);
    let answer = format!("{name}@{}\n", fixture::index_digest());
    windlass.run(&["pull", "--insecure", &name]).ok().prints(&answer);
}
