use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::super::host::is_docker_hub;
use super::{Credential, Secret};
use crate::error::{Error, ErrorKind, Result};

/// Docker pads, some who write the file by hand or by script do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What Docker's `config.json` and podman's `auth.json` say about credentials.
///
/// Of two equal hosts the last counts, as it does for Docker.
#[derive(Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
}

impl ConfigFile {
    /// Reads a file; an empty one says nothing.
    ///
    /// The error has the line and hides what is there.
    pub(super) fn parse(bytes: &[u8]) -> Result<ConfigFile> {
        if bytes.trim_ascii().is_empty() {
            return Ok(ConfigFile { auths: None, helpers: None, store: None });
        }
        serde_json::from_slice(bytes).map_err(|error| {
            let what = if error.is_data() { "what Docker writes" } else { "JSON" };
            let (line, column) = (error.line(), error.column());
            Error::new(ErrorKind::Local(format!("line {line}, column {column}: not {what}")))
        })
    }

    /// The name of the program that knows the credentials for this registry, if one does.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.helpers.iter().flatten().find(|(key, _)| registry_of(key) == registry);
        own.map(|(_, name)| name).or(self.store.as_ref()).map(|name| &**name).filter(is_text)
    }

    /// The credential of the most specific key: of the repository, of the folders above it, of
    /// its registry.
    pub(super) fn credential(&self, registry: &str, path: &str) -> Result<Option<Credential>> {
        let full = format!("{registry}/{path}");
        let mut wanted = Some(&*full);
        while let Some(name) = wanted {
            for (key, entry) in self.entries(name) {
                if let Some(credential) = entry.credential(key)? {
                    return Ok(Some(credential));
                }
            }
            wanted = name.rsplit_once('/').map(|(above, _)| above);
        }
        Ok(None)
    }

    /// The entries for exactly this repository, folder or registry, best key first: one that is
    /// written like that before `https://host/v1/` and the like.
    fn entries(&self, name: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let all = || self.auths.iter().flatten();
        let written = all().filter(move |(key, _)| *key == name);
        let meant = all().filter(move |(key, _)| *key != name && place_of(key) == name);
        written.chain(meant).filter_map(|(key, entry)| Some((&**key, entry.as_ref()?)))
    }
}

impl Entry {
    fn credential(&self, key: &str) -> Result<Option<Credential>> {
        let text = |field: &Option<String>| field.clone().filter(|text| is_text(&&**text));
        let (user, password) = match text(&self.auth) {
            Some(auth) => decode(&auth).ok_or_else(|| {
                let what = "`auth` is not base64 of `user:password`";
                Error::new(ErrorKind::Local(format!("`{}`: {what}", key.escape_debug())))
            })?,
            None => (text(&self.username).unwrap_or_default(), text(&self.password)),
        };
        let password = password.unwrap_or_default();
        Ok(if let Some(token) = text(&self.registry_token) {
            Some(Credential::Registry(Secret::new(token)))
        } else if let Some(token) = text(&self.identity_token) {
            let user = Some(user).filter(|user| is_text(&&**user) && user != "<token>");
            Some(Credential::Identity { user, token: Secret::new(token) })
        } else {
            from_pair(user, password)
        })
    }
}

/// What user and password, as helpers and files have them, mean.
pub(super) fn from_pair(user: String, password: String) -> Option<Credential> {
    match (&*user, &*password) {
        ("", "") => None,
        ("<token>", _) => Some(Credential::Identity { user: None, token: Secret::new(password) }),
        _ => Some(Credential::Basic { user, password: Secret::new(password) }),
    }
}

/// The registry that a key, or a name that someone typed, belongs to: `docker.io` for all that
/// Docker Hub is called.
pub(super) fn registry_of(key: &str) -> String {
    let host = without_scheme(key).split('/').next().unwrap_or("").to_ascii_lowercase();
    if is_docker_hub(&host) { "docker.io".into() } else { host }
}

/// What a key is for: a registry, or `registry/folder/repository` where it has no scheme.
pub(super) fn place_of(key: &str) -> String {
    match key.split_once('/') {
        Some((_, path))
            if without_scheme(key) == key && !matches!(path, "" | "v1" | "v1/" | "v2" | "v2/") =>
        {
            format!("{}/{}", registry_of(key), path.trim_end_matches('/'))
        }
        _ => registry_of(key),
    }
}

fn without_scheme(key: &str) -> &str {
    key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key)
}

/// `user:password` of an `auth` field. The password may have colons; Docker has padded it with
/// NULs.
fn decode(auth: &str) -> Option<(String, Option<String>)> {
    let text = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Some(password.trim_end_matches('\0').to_owned())))
}

fn is_text(text: &&str) -> bool {
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic { user: user.into(), password: Secret::new(password) })
    }

    fn identity(user: Option<&str>, token: &str) -> Option<Credential> {
        Some(Credential::Identity { user: user.map(str::to_owned), token: Secret::new(token) })
    }

    #[test]
    fn entries_mean_what_docker_and_podman_mean_by_them() {
        for (entry, expected) in [
            (r#"{"auth":"bWU6cHc="}"#, basic("me", "pw")),
            (r#"{"auth":"bWU6cHc"}"#, basic("me", "pw")),
            (r#"{"auth":"bWU6cDp3Og=="}"#, basic("me", "p:w:")),
            (r#"{"auth":"bWU6cHcAAA=="}"#, basic("me", "pw")),
            (r#"{"auth":"bWU6cHc=","username":"you","password":"x"}"#, basic("me", "pw")),
            (r#"{"username":"me","password":"pw"}"#, basic("me", "pw")),
            (r#"{"auth":"","username":"me","password":"pw","email":5}"#, basic("me", "pw")),
            (r#"{"auth":"bWU6","identitytoken":"t"}"#, identity(Some("me"), "t")),
            (r#"{"identitytoken":"t"}"#, identity(None, "t")),
            (r#"{"username":"<token>","password":"t"}"#, identity(None, "t")),
            (r#"{"auth":"PHRva2VuPjp0"}"#, identity(None, "t")),
            (
                r#"{"registrytoken":"t","auth":"bWU6cHc="}"#,
                Some(Credential::Registry(Secret::new("t"))),
            ),
            ("{}", None),
            ("null", None),
            (r#"{"auth":null}"#, None),
            (r#"{"auth":"Og=="}"#, None),
        ] {
            let text = format!(r#"{{"auths":{{"a.io":{entry}}}}}"#);
            let config = ConfigFile::parse(text.as_bytes()).unwrap();
            assert_eq!(config.credential("a.io", "x").unwrap(), expected, "{entry}");
        }
    }

    #[test]
    fn auth_that_is_no_pair_is_an_error_for_its_registry_only() {
        for auth in ["!", "aHVudGVyMg==", "//8="] {
            let text = format!(r#"{{"auths":{{"a.io":{{"auth":"{auth}"}}}}}}"#);
            let config = ConfigFile::parse(text.as_bytes()).unwrap();
            let error = config.credential("a.io", "x").unwrap_err().to_string();
            assert!(error.contains("a.io") && !error.contains(auth), "{error}");
            assert_eq!(config.credential("b.io", "x").unwrap(), None);
        }
    }

    #[test]
    fn helper_of_the_registry_comes_before_the_store() {
        let text = r#"{"credHelpers":{"a.io":"one","https://index.docker.io/v1/":"hub"},
            "credsStore":"all"}"#;
        let config = ConfigFile::parse(text.as_bytes()).unwrap();
        assert_eq!(config.helper("a.io"), Some("one"));
        assert_eq!(config.helper("docker.io"), Some("hub"));
        assert_eq!(config.helper("b.io"), Some("all"));
        let config = ConfigFile::parse(br#"{"credHelpers":null,"credsStore":""}"#).unwrap();
        assert_eq!(config.helper("a.io"), None);
    }

    #[test]
    fn other_settings_and_empty_files_say_nothing() {
        for text in ["", " \n", "{}", r#"{"HttpHeaders":{"a":1},"auths":null,"plugins":[]}"#] {
            let config = ConfigFile::parse(text.as_bytes()).unwrap();
            assert_eq!(config.credential("a.io", "x").unwrap(), None);
            assert_eq!(config.helper("a.io"), None);
        }
    }
}
