//! Who may do what: Basic, or Bearer with a token endpoint.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::http::{Answer, Head, form_values};
use super::repositories::Target;
use super::rule::fits;

/// What a registry asks of its clients.
#[derive(Clone, Debug, Default)]
pub(crate) enum Auth {
    #[default]
    Nothing,
    /// This user and password for everything.
    Basic(String, String),
    Bearer(Box<Bearer>),
}

impl Auth {
    pub(crate) fn basic(user: &str, password: &str) -> Auth {
        Auth::Basic(user.to_owned(), password.to_owned())
    }

    pub(crate) fn bearer(bearer: Bearer) -> Auth {
        Auth::Bearer(Box::new(bearer))
    }
}

/// Tokens, and the oddities of those who give them out.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    /// Names and passwords that get a token for all they ask.
    pub(crate) users: Vec<(String, String)>,
    /// Identity tokens that do the same, by `grant_type=refresh_token`.
    pub(crate) refresh_tokens: Vec<String>,
    /// Repositories, with `*`, that anybody may pull from.
    pub(crate) public: Vec<String>,
    /// The status for anonymous requests for tokens; without it they get a token for what is
    /// public.
    pub(crate) anonymous_status: Option<u16>,
    /// Where tokens are; without it `/token` of this registry.
    pub(crate) realm: Option<String>,
    pub(crate) service: String,
    /// The whole value of `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    /// A 401 names its challenge at `/v2/` only.
    pub(crate) challenge_at_base_only: bool,
    /// The status of every POST for a token.
    pub(crate) post_status: Option<u16>,
    /// The field with the token: `token`, `access_token`.
    pub(crate) field: &'static str,
    pub(crate) expires_in: Option<Value>,
    pub(crate) issued_at: Option<String>,
    /// A refresh token that goes with every token of a user.
    pub(crate) gives_refresh_token: Option<String>,
    /// How many requests a token is good for.
    pub(crate) uses: Option<u32>,
    /// Only the first scope of a request for a token counts.
    pub(crate) first_scope_only: bool,
    /// A token with any scopes is good for everything.
    pub(crate) ignores_scope: bool,
}

impl Default for Bearer {
    fn default() -> Bearer {
        Bearer {
            users: Vec::new(),
            refresh_tokens: Vec::new(),
            public: Vec::new(),
            anonymous_status: None,
            realm: None,
            service: "registry.test".to_owned(),
            challenge: None,
            challenge_at_base_only: false,
            post_status: None,
            field: "token",
            expires_in: Some(json!(300)),
            issued_at: None,
            gives_refresh_token: None,
            uses: None,
            first_scope_only: false,
            ignores_scope: false,
        }
    }
}

impl Bearer {
    /// One user, nothing public.
    pub(crate) fn user(user: &str, password: &str) -> Bearer {
        Bearer { users: vec![(user.to_owned(), password.to_owned())], ..Bearer::default() }
    }

    /// Everybody may pull everything, with a token.
    pub(crate) fn public() -> Bearer {
        Bearer { public: vec!["*".to_owned()], ..Bearer::default() }
    }
}

struct Token {
    scopes: Vec<String>,
    uses_left: Option<u32>,
}

/// Lets in, turns away, and gives out tokens. Two servers may share one.
#[derive(Default)]
pub(super) struct Gate(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    auth: Auth,
    tokens: BTreeMap<String, Token>,
    given_out: u32,
}

impl Gate {
    pub(super) fn require(&self, auth: Auth) {
        self.0.lock().unwrap().auth = auth;
    }

    pub(super) fn expire_tokens(&self) {
        self.0.lock().unwrap().tokens.clear();
    }

    pub(super) fn tokens_given_out(&self) -> u32 {
        self.0.lock().unwrap().given_out
    }

    /// `None` lets the request in; `origin` is the URL of this server.
    pub(super) fn turn_away(&self, head: &Head, origin: &str) -> Option<Answer> {
        let target = Target::of(&head.path);
        if target == Target::Other {
            return None;
        }
        let inside = &mut *self.0.lock().unwrap();
        match &inside.auth {
            Auth::Nothing => None,
            Auth::Basic(user, password) => {
                if credentials(head, "authorization")
                    .is_some_and(|got| got == (user.clone(), password.clone()))
                {
                    return None;
                }
                let answer = Answer::error(401, "UNAUTHORIZED", "authentication required");
                Some(answer.header("WWW-Authenticate", "Basic realm=\"test registry\""))
            }
            Auth::Bearer(bearer) => {
                let bearer = bearer.clone();
                let needed = needed_scope(head, &target);
                let problem = inside.check(head, needed.as_deref(), bearer.ignores_scope)?;
                let answer = Answer::error(401, "UNAUTHORIZED", "authentication required");
                if bearer.challenge_at_base_only && target != Target::Base {
                    return Some(answer);
                }
                let challenge = bearer.challenge.clone();
                let challenge = challenge
                    .unwrap_or_else(|| bearer.usual_challenge(origin, needed.as_deref(), problem));
                Some(answer.header("WWW-Authenticate", challenge))
            }
        }
    }

    /// The answer to a request for a token.
    pub(super) fn token(&self, head: &Head, body: &[u8]) -> Answer {
        let inside = &mut *self.0.lock().unwrap();
        let Auth::Bearer(bearer) = inside.auth.clone() else {
            return Answer::error(404, "NOT_FOUND", "no tokens here");
        };
        let posted = head.method == "POST";
        if let Some(status) = bearer.post_status.filter(|_| posted) {
            return Answer::error(status, "UNSUPPORTED", "no POST here");
        }
        let body = String::from_utf8_lossy(body);
        let values = form_values(if posted { &body } else { &head.query });
        let value =
            |name: &str| values.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let user = if !posted {
            credentials(head, "authorization")
        } else if let Some(token) = value("refresh_token") {
            if !bearer.refresh_tokens.contains(&token) {
                return Answer::error(401, "UNAUTHORIZED", "unknown refresh token");
            }
            Some((String::new(), token))
        } else {
            value("username").zip(value("password"))
        };
        let refreshed = posted && value("refresh_token").is_some();
        if user.as_ref().is_some_and(|user| !refreshed && !bearer.users.contains(user)) {
            return Answer::error(401, "UNAUTHORIZED", "incorrect username or password");
        }
        if let (None, Some(status)) = (&user, bearer.anonymous_status) {
            return Answer::error(status, "DENIED", "requested access to the resource is denied");
        }
        let asked = values.iter().filter(|(key, _)| key == "scope");
        let asked = asked.flat_map(|(_, scopes)| scopes.split(' ').map(str::to_owned));
        let asked = asked.take(if bearer.first_scope_only { 1 } else { usize::MAX });
        let granted = asked.filter_map(|scope| match &user {
            Some(_) => Some(scope),
            None => bearer.public_part(&scope),
        });
        let token = inside.give_out(granted.collect(), bearer.uses);
        Answer::json(200, &bearer.document(&token, user.is_some()))
    }
}

impl Inside {
    /// What is wrong with the request's token.
    fn check(&mut self, head: &Head, needed: Option<&str>, any: bool) -> Option<&'static str> {
        let header = head.header("authorization").unwrap_or_default();
        let Some(text) = header.strip_prefix("Bearer ") else { return Some("") };
        let Some(token) = self.tokens.get_mut(text) else { return Some("invalid_token") };
        if token.uses_left == Some(0) {
            return Some("invalid_token");
        }
        let covered = |needed: &str| token.scopes.iter().any(|scope| covers(scope, needed));
        if !any && needed.is_some_and(|needed| !covered(needed)) {
            return Some("insufficient_scope");
        }
        token.uses_left = token.uses_left.map(|left| left - 1);
        None
    }

    fn give_out(&mut self, scopes: Vec<String>, uses_left: Option<u32>) -> String {
        self.given_out += 1;
        let text = format!("opaque-token-{}", self.given_out);
        self.tokens.insert(text.clone(), Token { scopes, uses_left });
        text
    }
}

impl Bearer {
    fn usual_challenge(&self, origin: &str, scope: Option<&str>, problem: &str) -> String {
        let realm = self.realm.clone().unwrap_or_else(|| format!("{origin}/token"));
        let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{}\"", self.service);
        if let Some(scope) = scope {
            challenge.push_str(&format!(",scope=\"{scope}\""));
        }
        if !problem.is_empty() {
            challenge.push_str(&format!(",error=\"{problem}\""));
        }
        challenge
    }

    /// What of a scope is for everybody.
    fn public_part(&self, scope: &str) -> Option<String> {
        let (repository, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
        let public = self.public.iter().any(|pattern| fits(pattern, repository));
        let pulls = actions.split(',').any(|action| action == "pull");
        (public && pulls).then(|| format!("repository:{repository}:pull"))
    }

    fn document(&self, token: &str, of_user: bool) -> Value {
        let mut document = Map::new();
        document.insert(self.field.to_owned(), json!(token));
        if let Some(seconds) = &self.expires_in {
            document.insert("expires_in".to_owned(), seconds.clone());
        }
        if let Some(time) = &self.issued_at {
            document.insert("issued_at".to_owned(), json!(time));
        }
        if let Some(refresh) = self.gives_refresh_token.as_ref().filter(|_| of_user) {
            document.insert("refresh_token".to_owned(), json!(refresh));
        }
        Value::Object(document)
    }
}

fn needed_scope(head: &Head, target: &Target<'_>) -> Option<String> {
    let actions = match head.method.as_str() {
        "GET" | "HEAD" if !matches!(target, Target::Upload(..)) => "pull",
        "DELETE" if !matches!(target, Target::Upload(..)) => "delete",
        _ => "pull,push",
    };
    target.repository().map(|name| format!("repository:{name}:{actions}"))
}

/// Whether one scope has the repository and all actions of the other.
fn covers(scope: &str, needed: &str) -> bool {
    let (Some((place, actions)), Some((needed_place, needed))) =
        (scope.rsplit_once(':'), needed.rsplit_once(':'))
    else {
        return false;
    };
    let has = |action: &str| actions.split(',').any(|own| own == action || own == "*");
    place == needed_place && needed.split(',').all(has)
}

/// User and password of a Basic header of this name.
pub(crate) fn credentials(head: &Head, name: &str) -> Option<(String, String)> {
    let header = head.header(name)?;
    let header = header.strip_prefix("Basic ").or_else(|| header.strip_prefix("basic "))?;
    let text = String::from_utf8(decode_base64(header)?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == character)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}
