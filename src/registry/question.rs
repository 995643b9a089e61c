use super::http::{Manner, Method};
use super::token::Scope;
use super::url::Url;

/// What is asked of a server.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// The repository that it is about.
    pub(super) repository: &'a str,
    /// What follows the repository in the path, and the query.
    pub(super) target: String,
    /// What it takes to be allowed to.
    pub(super) scope: Scope,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) manner: Manner,
    /// Whether the answer is worth nothing to somebody else than who we are.
    pub(super) insists: bool,
}

impl<'a> Question<'a> {
    /// One that only reads.
    pub(super) fn read(method: Method, repository: &'a str, target: String) -> Question<'a> {
        let scope = Scope::pull(repository);
        let manner = Manner::default();
        Question { method, repository, target, scope, headers: Vec::new(), manner, insists: false }
    }

    /// The same, for which it takes that.
    pub(super) fn needing(mut self, scope: Scope) -> Question<'a> {
        self.scope = scope;
        self
    }

    /// The same past whatever is kept on the way: caches, connections.
    pub(super) fn afresh(mut self) -> Question<'a> {
        self.headers.push(("Cache-Control", "no-cache".into()));
        self.manner.afresh = true;
        self
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Question<'a> {
        self.headers.push((name, value.into()));
        self
    }
}

/// Where a server takes requests.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) url: Url,
    /// Whether it is the server itself, without a detour, so that it may know who we are.
    pub(super) is_own: bool,
}

impl Place {
    /// A URL of the server's own origin.
    pub(super) fn own(url: Url) -> Place {
        Place { url, is_own: true }
    }
}
