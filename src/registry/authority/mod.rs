//! Getting into one registry: what is known of it, and how a request gets past its 401.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::credentials::{Credential, Credentials, Login};
use super::host::is_loopback;
use super::token::{self, Realm, Scope};
use super::url::Origin;
use crate::error::Result;

mod handshake;

pub(super) use handshake::{Handshake, Outcome};

/// How long a login that the token server does not believe is not shown to it again for reading:
/// servers lock accounts after some wrong passwords.
const DISBELIEF: Duration = Duration::from_secs(300);

/// The authorities for the repositories of one registry: files may have other credentials for
/// other repositories.
pub(super) struct Authorities {
    host: String,
    credentials: Credentials,
    permissions: Permissions,
    known: Mutex<Vec<(String, Arc<Authority>)>>,
}

/// What we know of getting into one registry as one user: how it wants to be asked, and the
/// tokens that it takes. Threads share it; only one asks for the same token at a time.
///
/// Tokens are in memory only. Another registry or another user is another `Authority`, so no
/// token can reach either.
pub(super) struct Authority {
    registry: Origin,
    login: Login,
    permissions: Permissions,
    state: Mutex<State>,
}

/// What the user has allowed beyond what is safe for everyone.
#[derive(Clone, Debug, Default)]
pub(super) struct Permissions {
    /// `HOST[:PORT]` of token servers that may be told the credentials.
    pub(super) trusted_realms: Vec<String>,
    /// Whether credentials may go unencrypted to this registry.
    pub(super) plain_http: bool,
}

#[derive(Default)]
struct State {
    way: Option<Way>,
    slots: HashMap<Scope, Arc<Mutex<Slot>>>,
    /// When and how the token server said that it does not believe the login.
    disbelieved: Option<(Instant, String)>,
    warned: bool,
}

/// How the registry wants to be convinced.
#[derive(Clone, PartialEq, Eq)]
enum Way {
    Token(Realm),
    Password,
}

/// What is known for one scope. Whoever asks for its token holds the lock meanwhile.
#[derive(Default)]
struct Slot {
    token: Option<Held>,
    /// What is asked for, if the registry wanted something else than we thought.
    scope: Option<Scope>,
    /// Whether the login is of no use for this scope, and nobody in particular is let in.
    as_nobody: bool,
}

struct Held {
    header: String,
    renew_at: Instant,
    dies_at: Instant,
    as_user: bool,
}

impl Authorities {
    /// For the registry `host`, as [`Repository::host`](crate::reference::Repository::host) has
    /// it.
    pub(super) fn new(host: &str, credentials: Credentials, permissions: Permissions) -> Self {
        Authorities { host: host.to_owned(), credentials, permissions, known: Mutex::default() }
    }

    /// The one for the repository `path`, while the registry is reached at `origin`. All
    /// repositories with the same credentials share one.
    ///
    /// # Errors
    ///
    /// When a file of credentials cannot be read or is malformed.
    pub(super) fn of(&self, origin: &Origin, path: &str) -> Result<Arc<Authority>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut here = known.iter().filter(|(_, authority)| authority.registry == *origin);
        if let Some((_, authority)) = here.clone().find(|(own, _)| own == path) {
            return Ok(Arc::clone(authority));
        }
        let login = self.credentials.find(&self.host, path)?;
        let authority = match here.find(|(_, authority)| authority.login == login) {
            Some((_, authority)) => Arc::clone(authority),
            None => {
                let permissions = self.permissions.clone();
                Arc::new(Authority::new(origin.clone(), login, permissions))
            }
        };
        known.push((path.to_owned(), Arc::clone(&authority)));
        Ok(authority)
    }
}

impl Authority {
    pub(super) fn new(registry: Origin, login: Login, permissions: Permissions) -> Authority {
        Authority { registry, login, permissions, state: Mutex::default() }
    }

    /// Starts a request that needs `scope`; if it `insists`, as who we are or not at all. What
    /// changes something always does.
    pub(super) fn handshake(&self, scope: Scope, insists: bool) -> Handshake<'_> {
        let slot = Arc::clone(self.state().slots.entry(scope.clone()).or_default());
        Handshake::new(self, scope, insists, slot)
    }

    /// Why there is no credential although a helper should know one. Who cannot do without one
    /// fails with it before asking the registry.
    pub(super) fn problem(&self) -> Option<&str> {
        self.login.problem.as_deref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header that needs no token server.
    fn fixed_header(&self, way: &Way) -> Option<String> {
        match (&self.login.credential, way) {
            (Credential::Registry(token), _) => Some(token::bearer(token)),
            (Credential::Basic { user, password }, Way::Password) => {
                Some(token::basic(user, password))
            }
            _ => None,
        }
    }

    /// Why this user's credential may not be sent to the registry at all.
    fn secrecy(&self) -> Result<(), String> {
        let registry = &self.registry;
        if registry.is_https() || is_loopback(registry.host()) || self.permissions.plain_http {
            return Ok(());
        }
        Err(format!("credentials are not sent to {registry}: it is not encrypted"))
    }

    /// Warns, once, that the login is of no use.
    fn warn(&self, why: &str) {
        if !std::mem::replace(&mut self.state().warned, true) {
            let host = self.registry.authority();
            log::warn!("the login for {host} is refused, going on without it: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secret;
    use super::super::url::Url;
    use super::*;

    #[test]
    fn repositories_share_an_authority_only_if_they_share_the_login_and_the_origin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        let mut file = std::fs::File::create_new(&path).unwrap();
        let content = br#"{"auths":{"r.io":{"auth":"bWU6cHc="},"r.io/b":{"auth":"eW91OnB3"}}}"#;
        std::io::Write::write_all(&mut file, content).unwrap();
        let credentials = Credentials::from_file(path);
        let authorities = Authorities::new("r.io", credentials, Permissions::default());
        let origin = |text: &str| Url::parse(text).unwrap().origin().clone();
        let of = |url: &str, path: &str| authorities.of(&origin(url), path).unwrap();
        let own = of("https://r.io", "a");
        assert!(Arc::ptr_eq(&own, &of("https://r.io", "a")));
        assert!(Arc::ptr_eq(&own, &of("https://r.io", "c/d")));
        assert!(!Arc::ptr_eq(&own, &of("http://r.io", "a")));
        let other = of("https://r.io", "b/x");
        assert!(!Arc::ptr_eq(&own, &other));
        let password = Secret::new("pw");
        assert_eq!(other.login.credential, Credential::Basic { user: "you".into(), password });
    }
}
