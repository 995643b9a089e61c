//! Debian's docker-registry, as its users run it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture;
use crate::tls::Authority;
use crate::token::{SERVICE, Tokens};
use crate::tool::{Process, Ran, Tool};

/// Who may read from, and write to, a registry that asks.
pub(crate) const USER: &str = "fetcher";
pub(crate) const PASSWORD: &str = "correct:horse";

/// A running registry with a folder of its own, ended when dropped.
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    folder: TempDir,
    /// What skopeo needs to write here.
    access: Vec<String>,
    _process: Process,
}

impl Registry {
    /// Plain HTTP, for everybody.
    pub(crate) fn open() -> Registry {
        Registry::start(TempDir::new().unwrap(), json!({}), json!({}))
    }

    /// Plain HTTP, for [`USER`].
    pub(crate) fn with_password() -> Registry {
        let folder = TempDir::new().unwrap();
        let line = Tool::new("htpasswd", folder.path()).args(&["-Bbn", USER, PASSWORD]).run().ok();
        let path = folder.path().join("htpasswd");
        fs::write(&path, line.stdout).unwrap();
        let auth = json!({"htpasswd": {"realm": "interop", "path": path}});
        let mut registry = Registry::start(folder, json!({}), auth);
        registry.access.extend(["--dest-creds".to_owned(), format!("{USER}:{PASSWORD}")]);
        registry
    }

    /// HTTPS with a certificate that `authority` has signed.
    pub(crate) fn with_tls(authority: &Authority) -> Registry {
        let tls = json!({"certificate": authority.certificate(), "key": authority.key()});
        let mut registry = Registry::start(TempDir::new().unwrap(), json!({"tls": tls}), json!({}));
        registry.access = vec!["--dest-cert-dir".to_owned(), authority.folder_of_ca()];
        registry
    }

    /// Plain HTTP, for those who have a token that `authority` has signed.
    pub(crate) fn with_tokens(tokens: &Tokens, authority: &Authority) -> Registry {
        let auth = json!({"token": {
            "realm": tokens.realm,
            "service": SERVICE,
            "issuer": SERVICE,
            "rootcertbundle": authority.ca(),
        }});
        Registry::start(TempDir::new().unwrap(), json!({}), auth)
    }

    fn start(folder: TempDir, http: Value, auth: Value) -> Registry {
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": folder.path().join("storage")},
                "delete": {"enabled": true},
            },
            "http": {"addr": "127.0.0.1:0"},
            "auth": auth,
        });
        config["http"].as_object_mut().unwrap().extend(http.as_object().unwrap().clone());
        let path = folder.path().join("config.yml"); // JSON is YAML
        fs::write(&path, config.to_string()).unwrap();

        let mut process = Tool::new("docker-registry", folder.path())
            .arg("serve")
            .arg(path)
            .start(&folder.path().join("log"));
        let port = process.wait_for(|log| {
            let rest = log.split("listening on 127.0.0.1:").nth(1)?;
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            Some(rest[..end].to_owned())
        });
        let port = port.unwrap_or_else(|| panic!("docker-registry ended:\n{}", process.said()));
        Registry {
            host: format!("127.0.0.1:{port}"),
            folder,
            access: vec!["--dest-tls-verify=false".to_owned()],
            _process: process,
        }
    }

    /// A registry that has the fixture as `library/busybox:1.35`.
    pub(crate) fn filled(self) -> Registry {
        self.put(&["--all", "--preserve-digests", &fixture::place()], &busybox(&self.host));
        self
    }

    /// Has skopeo copy what `args` say to `name`.
    #[track_caller]
    pub(crate) fn put(&self, args: &[&str], name: &str) {
        let access: Vec<&str> = self.access.iter().map(String::as_str).collect();
        Tool::new("skopeo", self.folder.path())
            .args(&["--insecure-policy", "copy", "--quiet"])
            .args(&access)
            .args(args)
            .arg(format!("docker://{name}"))
            .run()
            .ok();
    }

    /// The manifest of `name`, as skopeo reads it from a registry that lets everybody.
    #[track_caller]
    pub(crate) fn raw(&self, name: &str) -> Vec<u8> {
        skopeo_raw(self.folder.path(), name).ok().stdout
    }

    /// Where the registry keeps the content of blobs: `ab/abcd.../data`.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.path().join("storage/docker/registry/v2/blobs/sha256")
    }

    /// Adds tags behind the registry's back: a push of each would take minutes.
    pub(crate) fn tag_many(&self, repository: &str, digest: &str, tags: &[String]) {
        let storage = self.folder.path().join("storage/docker/registry/v2/repositories");
        for tag in tags {
            let folder = storage.join(repository).join("_manifests/tags").join(tag).join("current");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("link"), digest).unwrap();
        }
    }
}

/// The fixture's name in a registry.
pub(crate) fn busybox(host: &str) -> String {
    format!("{host}/library/busybox:{}", fixture::TAG)
}

fn skopeo_raw(home: &Path, name: &str) -> Ran {
    let name = format!("docker://{name}");
    Tool::new("skopeo", home).args(&["inspect", "--raw", "--tls-verify=false", &name]).run()
}
