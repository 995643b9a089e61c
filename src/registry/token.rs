use std::fmt;
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::credentials::Credential;
use super::host::may_follow;
use super::http::{Body, Method, Request, Response};
use super::problem::problem;
use super::secret::Secret;
use super::url::{Origin, Url, encode_component};
use crate::error::{Context, Error, ErrorKind, Fault, Result};

/// Most bytes of a token server's answer. Tokens travel in headers, which servers hold to less.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// How long a token lives whose server does not say it ([Token Authentication][spec]).
///
/// [spec]: https://distribution.github.io/distribution/spec/auth/token/#token-response-fields
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// No token is believed to live longer. A wrong guess costs one 401.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Who we are to token servers that want to know what asks.
const CLIENT_ID: &str = "windlass";

/// Most redirects of one request for a token.
const HOP_LIMIT: usize = 5;

/// What a token is good for: actions on repositories, as token servers write them.
///
/// Spec: [Token Scope][spec].
///
/// [spec]: https://distribution.github.io/distribution/spec/auth/scope/
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Scope(Vec<String>);

/// A token server, for one registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Realm {
    pub(super) url: Url,
    pub(super) service: Option<String>,
}

/// What a token server answers.
pub(super) enum Fetched {
    /// A token, and how long from now on it lives.
    Token(Secret, Duration),
    /// It does not believe us, or gives nothing for this.
    Refused {
        /// Whether it is the login that it does not believe.
        login: bool,
        /// What it says, with its name.
        why: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

impl Scope {
    /// Nothing in particular, as for `/v2/`.
    pub(super) fn none() -> Scope {
        Scope::default()
    }

    /// Reading a repository.
    pub(super) fn pull(repository: &str) -> Scope {
        Scope(vec![format!("repository:{repository}:pull")])
    }

    /// Reading and writing a repository.
    pub(super) fn push(repository: &str) -> Scope {
        Scope(vec![format!("repository:{repository}:pull,push")])
    }

    /// Reading a repository and deleting from it. Quay grants `delete` to nobody, so it is asked
    /// for only where it is needed.
    pub(super) fn delete(repository: &str) -> Scope {
        Scope(vec![format!("repository:{repository}:pull,delete")])
    }

    /// The scopes of a challenge, or of an earlier request.
    pub(super) fn of(scopes: Vec<String>) -> Scope {
        scopes.into_iter().fold(Scope::none(), |all, scope| all.and(Scope(vec![scope])))
    }

    /// Both; what is first here stays first, because some servers honour only the first.
    pub(super) fn and(mut self, other: Scope) -> Scope {
        for scope in other.0 {
            if !self.has(&scope) {
                self.0.push(scope);
            }
        }
        self
    }

    /// Whether there is nothing in `other` that is not here too.
    pub(super) fn covers(&self, other: &Scope) -> bool {
        other.0.iter().all(|scope| self.has(scope))
    }

    /// Whether there is a repository in `other` that is not here, in whatever way.
    pub(super) fn lacks_repository_of(&self, other: &Scope) -> bool {
        let is_own = |place: &str| self.0.iter().any(|own| place_and_actions(own).0 == place);
        let places = other.0.iter().map(|scope| place_and_actions(scope).0);
        places.filter(|place| place.starts_with("repository:")).any(|place| !is_own(place))
    }

    /// Whether nothing can be changed with it.
    pub(super) fn only_reads(&self) -> bool {
        self.0.iter().all(|scope| place_and_actions(scope).1 == "pull")
    }

    fn has(&self, scope: &str) -> bool {
        let (place, actions) = place_and_actions(scope);
        self.0.iter().any(|own| {
            let (own_place, own_actions) = place_and_actions(own);
            let has = |action| own_actions.split(',').any(|own| own == action || own == "*");
            own_place == place && actions.split(',').all(has)
        })
    }
}

fn place_and_actions(scope: &str) -> (&str, &str) {
    scope.rsplit_once(':').unwrap_or((scope, ""))
}

/// The value of an `Authorization` header for user and password.
pub(super) fn basic(user: &str, password: &Secret) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{}", password.expose())))
}

/// The value of an `Authorization` header for a token.
pub(super) fn bearer(token: &Secret) -> String {
    format!("Bearer {}", token.expose())
}

/// How long after its receipt a token is renewed: a tenth of its life before its end, but at
/// least 10 s, unless that is half of it.
pub(super) fn renewal(lifetime: Duration) -> Duration {
    let margin = (lifetime / 10).max(Duration::from_secs(10).min(lifetime / 2));
    lifetime.saturating_sub(margin)
}

/// Asks `realm`, in the way of `credential`, for a token with which `registry` lets us do what
/// `scope` says. `send` sends one request, and follows and repeats nothing.
///
/// Whether the credential may be told to the realm is for the caller to know.
///
/// # Errors
///
/// [`ErrorKind::Registry`] if the server has trouble, [`ErrorKind::Denied`] if it sends us where
/// we must not go.
pub(super) fn fetch(
    registry: &Origin,
    realm: &Realm,
    scope: &Scope,
    credential: &Credential,
    send: &dyn Fn(Request<'_>) -> Result<Response>,
) -> Result<Fetched> {
    let asked = match credential {
        Credential::Anonymous | Credential::Registry(_) => follow(registry, realm, scope, send),
        Credential::Identity { user, token } => {
            let login = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
            send(post(realm, scope, &login)).and_then(|posted| match (posted.status, user) {
                // Who has no OAuth 2 says it in any of these ways, and may take the token for a
                // password.
                (400 | 401 | 404 | 405 | 501, Some(user)) => {
                    let got = send(get(realm, scope, Some((user, token))))?;
                    // Without GET either, what was said to POST was meant.
                    Ok(if is_unsupported(got.status) { posted } else { got })
                }
                _ => Ok(posted),
            })
        }
        Credential::Basic { user, password } => {
            let login = [("grant_type", "password"), ("username", user)];
            send(get(realm, scope, Some((user, password)))).and_then(|response| {
                if !is_unsupported(response.status) {
                    return Ok(response);
                }
                // Without GET it may know OAuth 2. POST is not tried first: many servers do not
                // have it, and a wrong password would count twice.
                let password = [("password", password.expose())];
                send(post(realm, scope, &[&login[..], &password[..]].concat()))
            })
        }
    };
    asked
        .and_then(|response| read(realm, response))
        .context(|| format!("asking {} for a token", realm.url))
}

/// What every request for a token says, and as whom.
fn get(realm: &Realm, scope: &Scope, login: Option<(&str, &Secret)>) -> Request<'static> {
    let mut url = realm.url.clone();
    if let Some(service) = &realm.service {
        url = url.with_query("service", service);
    }
    for scope in &scope.0 {
        url = url.with_query("scope", scope);
    }
    let mut headers = vec![("accept", "application/json".to_owned())];
    if let Some((user, password)) = login {
        url = url.with_query("account", user);
        headers.push(("authorization", basic(user, password)));
    }
    Request { method: Method::Get, url, headers, body: Body::Empty }
}

/// Spec: [Token Authentication using OAuth 2][spec].
///
/// [spec]: https://distribution.github.io/distribution/spec/auth/oauth/
fn post(realm: &Realm, scope: &Scope, login: &[(&str, &str)]) -> Request<'static> {
    let scopes = scope.0.join(" ");
    let mut fields = vec![("client_id", CLIENT_ID)];
    fields.extend(realm.service.as_deref().map(|service| ("service", service)));
    fields.extend((!scopes.is_empty()).then_some(("scope", &*scopes)));
    fields.extend(login);
    let fields: Vec<_> =
        fields.iter().map(|(key, value)| format!("{key}={}", encode_component(value))).collect();
    Request {
        method: Method::Post,
        url: realm.url.clone(),
        headers: vec![
            ("accept", "application/json".to_owned()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ],
        body: Body::Bytes(fields.join("&").into_bytes()),
    }
}

/// Asks as nobody in particular, wherever that leads within what is allowed.
fn follow(
    registry: &Origin,
    realm: &Realm,
    scope: &Scope,
    send: &dyn Fn(Request<'_>) -> Result<Response>,
) -> Result<Response> {
    let mut request = get(realm, scope, None);
    for _ in 0..=HOP_LIMIT {
        let from = request.url.clone();
        let mut response = send(request)?;
        response.led_away = from.origin() != realm.url.origin();
        let Some(location) = redirect(&response) else { return Ok(response) };
        let to = from.join(location)?;
        may_follow(registry, &from, &to)?;
        let headers = vec![("accept", "application/json".to_owned())];
        request = Request { method: Method::Get, url: to, headers, body: Body::Empty };
    }
    Err(Error::network(Fault::Protocol, format!("more than {HOP_LIMIT} redirects")))
}

fn redirect(response: &Response) -> Option<&str> {
    let is_redirect = matches!(response.status, 301 | 302 | 303 | 307 | 308);
    response.headers.get("location").filter(|_| is_redirect)
}

fn read(realm: &Realm, response: Response) -> Result<Fetched> {
    if let Some(location) = redirect(&response) {
        let to = realm.url.join(location).map_or_else(|_| "nowhere".into(), |to| to.to_string());
        return Err(Error::denied(format!("it redirects to {to}, which is not followed")));
    }
    match response.status {
        200..=299 => read_token(response),
        // 400 is how OAuth 2 says `invalid_grant`.
        400 | 401 => Ok(Fetched::Refused { login: true, why: why(realm, response) }),
        // That there are no tokens here, or not in this way, does not say that there is no such
        // image, or that nobody gets in.
        status if status == 403 || is_unsupported(status) => {
            Ok(Fetched::Refused { login: false, why: why(realm, response) })
        }
        _ => Err(problem(response)),
    }
}

/// Whether the server does not know that kind of request there.
fn is_unsupported(status: u16) -> bool {
    matches!(status, 404 | 405 | 501)
}

/// The server's own words, with its name.
fn why(realm: &Realm, response: Response) -> String {
    let server = realm.url.origin();
    match problem(response).kind() {
        ErrorKind::Registry { status, code, message, .. } => {
            let said = [code.as_deref().unwrap_or(""), message];
            let said: Vec<_> = said.into_iter().filter(|said| !said.is_empty()).collect();
            let colon = if said.is_empty() { "" } else { ": " };
            format!("{server} answered {status}{colon}{}", said.join(": "))
        }
        kind => format!("{server}: {kind}"),
    }
}

fn read_token(response: Response) -> Result<Fetched> {
    let mut bytes = Vec::new();
    response.body.take(ANSWER_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ANSWER_LIMIT {
        return Err(Error::content(format!("its answer is longer than {ANSWER_LIMIT} bytes")));
    }
    // The error of the parser would show what is in the answer.
    let invalid = || Error::content("its answer has no token");
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let mut tokens = [answer.token, answer.access_token].into_iter().flatten();
    let token = tokens.find(|token| !token.is_empty()).ok_or_else(invalid)?;
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::content("its answer has a token that no header can hold"));
    }
    Ok(Fetched::Token(Secret::new(token), lifetime(answer.expires_in.as_ref())))
}

/// How long a token lives: a whole number of seconds, whether it is a number or text. Nonsense
/// is as good as nothing.
fn lifetime(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds >= LONGEST_LIFETIME.as_secs_f64() => LONGEST_LIFETIME,
        Some(seconds) if seconds >= 1.0 => Duration::from_secs_f64(seconds),
        _ => DEFAULT_LIFETIME,
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::super::http::Headers;
    use super::*;

    /// What the token server gets and gives: requests as text, answers in order.
    fn ask(
        credential: &Credential,
        scope: &Scope,
        answers: &[(u16, &'static str)],
    ) -> (Vec<String>, Result<Fetched>) {
        let registry = Url::parse("https://r.io/").unwrap();
        let realm = Realm {
            url: Url::parse("https://r.io/token?x=1").unwrap(),
            service: Some("r io".into()),
        };
        let log = RefCell::new(Vec::new());
        let send = |request: Request<'_>| {
            let mut text = format!("{:?} {}", request.method, request.url.to_wire());
            for (name, value) in request.headers.iter().filter(|(name, _)| *name != "accept") {
                text.push_str(&format!(" {name}={value}"));
            }
            if let Body::Bytes(bytes) = request.body {
                text.push_str(&format!(" {}", String::from_utf8(bytes).unwrap()));
            }
            let (status, body) = answers[log.borrow().len()];
            log.borrow_mut().push(text);
            let headers = match (300..400).contains(&status) {
                true => vec![("Location".to_owned(), body.to_owned())],
                false => Vec::new(),
            };
            let body: Box<dyn Read + Send> = Box::new(body.as_bytes());
            let (headers, url) = (Headers(headers), request.url);
            Ok(Response { status, headers, url, led_away: false, body })
        };
        let fetched = fetch(registry.origin(), &realm, scope, credential, &send);
        (log.into_inner(), fetched)
    }

    fn me() -> Credential {
        Credential::Basic { user: "me".into(), password: Secret::new("p&w") }
    }

    fn token() -> Credential {
        Credential::Identity { user: None, token: Secret::new("id/1") }
    }

    const GIVEN: (u16, &str) = (200, r#"{"token":"t"}"#);
    const GET: &str = "Get https://r.io/token?x=1&service=r%20io&scope=repository%3Aa%2Fb%3Apull";

    #[track_caller]
    fn check(credential: &Credential, answers: &[(u16, &'static str)], requests: &[String]) {
        let (log, fetched) = ask(credential, &Scope::pull("a/b"), answers);
        assert_eq!(log, requests);
        match fetched.unwrap() {
            Fetched::Token(secret, _) => assert_eq!(secret.expose(), "t"),
            Fetched::Refused { why, .. } => panic!("{why}"),
        }
    }

    #[test]
    fn tokens_are_asked_for_as_servers_expect_it() {
        let with_login = format!("{GET}&account=me authorization=Basic bWU6cCZ3");
        let post = |rest: &str| {
            "Post https://r.io/token?x=1 content-type=application/x-www-form-urlencoded \
             client_id=windlass&service=r%20io&scope=repository%3Aa%2Fb%3Apull&"
                .to_owned()
                + rest
        };
        check(&Credential::Anonymous, &[GIVEN], &[GET.into()]);
        check(&me(), &[GIVEN], std::slice::from_ref(&with_login));
        let password = post("grant_type=password&username=me&password=p%26w");
        check(&me(), &[(405, ""), GIVEN], &[with_login, password]);
        check(&token(), &[GIVEN], &[post("grant_type=refresh_token&refresh_token=id%2F1")]);
    }

    #[test]
    fn identity_token_is_a_password_where_it_cannot_be_posted() {
        let credential = Credential::Identity { user: Some("me".into()), token: Secret::new("i") };
        let with_login = format!("{GET}&account=me authorization=Basic bWU6aQ==");
        let scope = Scope::pull("a/b");
        for status in [400, 401, 404, 405, 501] {
            let (log, fetched) = ask(&credential, &scope, &[(status, ""), GIVEN]);
            assert!(log.len() == 2 && log[1] == with_login, "{status}: {log:?}");
            assert!(matches!(fetched, Ok(Fetched::Token(..))), "{status}");
            let (_, fetched) = ask(&credential, &scope, &[(status, "posted"), (405, "got")]);
            let Ok(Fetched::Refused { login, why }) = fetched else { panic!("{status}") };
            assert!(why.contains(&format!("answered {status}")), "{why}");
            assert_eq!(login, status < 404);
        }
        for status in [403, 429, 500, 503] {
            assert_eq!(ask(&credential, &scope, &[(status, "")]).0.len(), 1, "{status}");
        }
    }

    #[test]
    fn token_server_that_knows_no_such_request_refuses_and_is_not_in_trouble() {
        for status in [404, 405, 501] {
            for credential in [me(), token(), Credential::Anonymous] {
                let answers = [(status, ""), (status, "")];
                let (_, fetched) = ask(&credential, &Scope::none(), &answers);
                assert!(matches!(fetched, Ok(Fetched::Refused { login: false, .. })), "{status}");
            }
        }
    }

    #[test]
    fn each_scope_is_a_parameter_of_its_own() {
        let scope = Scope::push("a").and(Scope::pull("b")).and(Scope::pull("a"));
        let (log, _) = ask(&Credential::Anonymous, &scope, &[GIVEN]);
        assert!(
            log[0].ends_with("&scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Ab%3Apull")
        );
        let (log, _) = ask(&Credential::Anonymous, &Scope::none(), &[GIVEN]);
        assert!(log[0].ends_with("&service=r%20io"));
    }

    #[test]
    fn token_may_have_either_name_and_any_form() {
        for (body, expected) in [
            (r#"{"token":"a"}"#, Some("a")),
            (r#"{"access_token":"a","refresh_token":"b"}"#, Some("a")),
            (r#"{"token":"","access_token":"a"}"#, Some("a")),
            (r#"{"token":"a","access_token":"b"}"#, Some("a")),
            (r#"{"token":null,"access_token":"a"}"#, Some("a")),
            (r#"{"token":"a b"}"#, None),
            (r#"{"token":"a\r\nX: y"}"#, None),
            (r#"{"token":""}"#, None),
            (r#"{"token":5,"x":"hunter2"}"#, None),
            ("{}", None),
            ("<html>hunter2", None),
            ("", None),
        ] {
            let (_, fetched) = ask(&Credential::Anonymous, &Scope::none(), &[(200, body)]);
            match (fetched, expected) {
                (Ok(Fetched::Token(secret, _)), Some(text)) => assert_eq!(secret.expose(), text),
                (Err(error), None) => {
                    assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error}");
                    assert!(!error.to_string().contains("hunter2"), "{error}");
                }
                _ => panic!("{body}"),
            }
        }
    }

    #[test]
    fn endless_answer_is_cut() {
        let body: &'static str = Box::leak(" ".repeat(100_000).into_boxed_str());
        let (_, fetched) = ask(&Credential::Anonymous, &Scope::none(), &[(200, body)]);
        assert!(fetched.err().unwrap().to_string().contains("longer than 65536"));
    }

    #[test]
    fn nonsense_lifetimes_are_bounded() {
        for (value, seconds) in [
            (json!(300), 300),
            (json!("300"), 300),
            (json!(300.7), 300),
            (json!(30), 30),
            (json!(0), 60),
            (json!(-1), 60),
            (json!(0.2), 60),
            (json!(null), 60),
            (json!("soon"), 60),
            (json!([]), 60),
            (json!(1_000_000_000_000_u64), 86400),
            (json!(1e300), 86400),
            (json!("inf"), 86400),
            (json!("nan"), 60),
        ] {
            assert_eq!(lifetime(Some(&value)).as_secs(), seconds, "{value}");
        }
        assert_eq!(lifetime(None).as_secs(), 60);
        for (lifetime, at) in [(3600, 3240), (300, 270), (60, 50), (30, 20), (10, 5), (1, 0)] {
            assert_eq!(renewal(Duration::from_secs(lifetime)).as_secs(), at, "{lifetime}");
        }
    }

    #[test]
    fn refusals_are_quoted_and_trouble_may_pass() {
        let refused = r#"{"errors":[{"code":"DENIED","message":"no\u001b"}]}"#;
        let (_, fetched) = ask(&me(), &Scope::none(), &[(401, refused)]);
        match fetched.unwrap() {
            Fetched::Refused { login, why } => {
                assert_eq!(why, r"https://r.io answered 401: DENIED: no\x1b");
                assert!(login);
            }
            Fetched::Token(..) => panic!("refused"),
        }
        let (_, fetched) = ask(&me(), &Scope::none(), &[(503, "")]);
        let error = fetched.err().unwrap();
        assert_eq!(error.remedy(), crate::error::Remedy::Resume);
        assert_eq!(
            error.to_string(),
            "asking https://r.io/token?x=*** for a token: the registry answered 503"
        );
    }

    #[test]
    fn redirects_are_followed_only_without_credentials_and_where_allowed() {
        let away = (307, "https://auth.io/t?sig=hunter2");
        let (log, fetched) = ask(&Credential::Anonymous, &Scope::none(), &[away, GIVEN]);
        assert_eq!(log[1], "Get https://auth.io/t?sig=hunter2");
        assert!(matches!(fetched, Ok(Fetched::Token(..))));
        for (credential, answer) in [
            (me(), away),
            (token(), away),
            (Credential::Anonymous, (302, "http://r.io/token")),
            (Credential::Anonymous, (302, "https://169.254.169.254/")),
        ] {
            let (log, fetched) = ask(&credential, &Scope::none(), &[answer]);
            assert_eq!(log.len(), 1);
            let error = fetched.err().unwrap();
            assert!(matches!(error.kind(), ErrorKind::Denied(_)), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let (log, fetched) = ask(&Credential::Anonymous, &Scope::none(), &[away; 9]);
        assert_eq!((log.len(), fetched.is_err()), (6, true));
    }

    #[test]
    fn scopes_are_compared_by_what_they_allow() {
        let push = Scope::push("a");
        assert!(push.covers(&Scope::pull("a")) && !Scope::pull("a").covers(&push));
        assert!(!push.covers(&Scope::pull("b")) && push.covers(&Scope::none()));
        assert!(Scope::of(vec!["repository:a:*".into()]).covers(&push));
        assert!(Scope::pull("a").only_reads() && Scope::none().only_reads());
        assert!(!push.only_reads() && !Scope::delete("a").only_reads());
        assert!(!Scope::pull("a").and(push.clone()).only_reads());
        assert!(Scope::pull("a").lacks_repository_of(&Scope::pull("b")));
        assert!(!Scope::pull("a").lacks_repository_of(&push));
        assert!(!Scope::pull("a").lacks_repository_of(&Scope::of(vec!["aws".into(), "*".into()])));
    }
}
