use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::super::challenge::{self, Challenge, Demand};
use super::super::credentials::Credential;
use super::super::host::{Trust, realm_trust};
use super::super::http::{Request, Response};
use super::super::token::{self, Fetched, Realm, Scope};
use super::{Authority, DISBELIEF, Held, Slot, Way};
use crate::error::{Error, Result};
use crate::printable::printable;

/// The authorization of one request, until it is answered with something else than 401 or 403:
///
/// 1. send it with [`header`](Handshake::header);
/// 2. on 401 or 403 call [`answer`](Handshake::answer) and do what it says.
///
/// It never says `Again` more than a few times.
pub(in crate::registry) struct Handshake<'a> {
    authority: &'a Authority,
    scope: Scope,
    /// Whether nobody else than who we are will do.
    insists: bool,
    slot: Arc<Mutex<Slot>>,
    stage: Stage,
    /// What the last request was sent with.
    sent: Option<String>,
    /// Whether that showed who we are.
    as_user: bool,
    was_bare: bool,
    was_pinged: bool,
    notes: Vec<String>,
}

/// How far a handshake has gone; it only goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing, or what was known, has been sent.
    Known,
    /// What another thread has got meanwhile.
    Borrowed,
    /// What was got for this request.
    Fresh,
    /// The same for the scope that the registry names.
    Widened,
    /// As nobody, after the login was refused.
    Nobody,
}

/// What to do about a 401 or 403.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) enum Outcome {
    /// Send the same request again, with this `Authorization` or with none.
    Again(Option<String>),
    /// The answer has no challenge: `GET /v2/` and call [`answer`](Handshake::answer) with 401
    /// and the challenges of that, even if there are none.
    Ping,
    /// The answer stands. This is why, besides what the registry says in it; it may be empty.
    Refused(String),
}

enum Obtained {
    Token(String),
    /// The token server does not let this user do that.
    UserRefused,
    /// It does not let anybody do that.
    Refused,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(
        authority: &'a Authority,
        scope: Scope,
        insists: bool,
        slot: Arc<Mutex<Slot>>,
    ) -> Handshake<'a> {
        let insists = insists || !scope.only_reads();
        Handshake {
            authority,
            scope,
            insists,
            slot,
            stage: Stage::Known,
            sent: None,
            as_user: false,
            was_bare: false,
            was_pinged: false,
            notes: Vec::new(),
        }
    }

    /// The `Authorization` that the request will need by all we know. A token that is about to
    /// end is renewed before; if that fails the registry's 401 will tell.
    pub(in crate::registry) fn header(
        &mut self,
        send: &dyn Fn(Request<'_>) -> Result<Response>,
    ) -> Option<String> {
        let way = self.authority.state().way.clone();
        let slot = Arc::clone(&self.slot);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let header = way.and_then(|way| match self.own_header(&slot, &way) {
            Some(header) => Some(header),
            None => match way {
                Way::Token(realm) => self.held_or_renewed(&mut slot, &realm, send),
                Way::Password => None,
            },
        });
        self.note_sent(header)
    }

    /// What to do after the registry has answered `status`, 401 or 403, with `challenges`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) if the registry sends us to a
    /// realm that we must not ask; else what went wrong in asking it for a token.
    pub(in crate::registry) fn answer(
        &mut self,
        status: u16,
        challenges: &[Challenge],
        send: &dyn Fn(Request<'_>) -> Result<Response>,
    ) -> Result<Outcome> {
        let slot = Arc::clone(&self.slot);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(way) = self.way(challenges)? else {
            if challenges.is_empty() && status == 401 && !self.was_pinged {
                self.was_pinged = true;
                return Ok(Outcome::Ping);
            }
            if status == 401 {
                self.notes.push("it does not say how to log in, or in no way we know".into());
            }
            return Ok(self.refused(&mut slot));
        };
        if status == 403 && !challenge::is_insufficient_scope(challenges) {
            return self.as_nobody(&mut slot, &way, "it answered 403", send);
        }
        if let Some(header) = self.own_header(&slot, &way) {
            if self.stage < Stage::Fresh && self.sent.as_ref() != Some(&header) {
                self.stage = Stage::Fresh;
                return Ok(self.again(Some(header)));
            }
            return self.as_nobody(&mut slot, &way, "it answered 401", send);
        }
        let Way::Token(realm) = &way else {
            if matches!(self.authority.login.credential, Credential::Identity { .. }) {
                self.notes.push("it wants a password, and the login is a token".into());
            }
            return Ok(self.refused(&mut slot));
        };
        let borrowed = slot.token.as_ref().filter(|held| Some(&held.header) != self.sent.as_ref());
        if let Some(held) = borrowed
            && self.stage < Stage::Borrowed
            && Instant::now() < held.renew_at
        {
            self.stage = Stage::Borrowed;
            self.as_user = held.as_user;
            let header = held.header.clone();
            return Ok(self.again(Some(header)));
        }
        let demanded = Scope::of(challenge::scopes(challenges));
        let asked = slot.scope.clone().unwrap_or_else(|| self.scope.clone());
        let wanted = match self.stage {
            Stage::Known | Stage::Borrowed => {
                self.stage = Stage::Fresh;
                // The registry may call the repository by another name than we do.
                if asked.lacks_repository_of(&demanded) { demanded } else { asked }
            }
            Stage::Fresh if !asked.covers(&demanded) => {
                self.stage = Stage::Widened;
                if asked.lacks_repository_of(&demanded) { demanded } else { demanded.and(asked) }
            }
            _ => return self.as_nobody(&mut slot, &way, "it answered 401", send),
        };
        match self.obtain(&mut slot, realm, wanted, send)? {
            Obtained::Token(header) => Ok(self.again(Some(header))),
            Obtained::UserRefused => {
                self.as_nobody(&mut slot, &way, "it gives no token for it", send)
            }
            Obtained::Refused => Ok(self.refused(&mut slot)),
        }
    }

    /// How the registry wants to be convinced: by these challenges, else by earlier ones.
    fn way(&self, challenges: &[Challenge]) -> Result<Option<Way>> {
        let way = match challenge::choose(challenges) {
            None => return Ok(self.authority.state().way.clone()),
            Some(Demand::Basic) => Way::Password,
            Some(Demand::Bearer { realm, service }) => {
                let registry = &self.authority.registry;
                let url = registry.root().join_strictly(&realm).map_err(|error| {
                    Error::denied(format!("realm of registry {registry} is refused: {error}"))
                })?;
                Way::Token(Realm { url, service })
            }
        };
        self.authority.state().way = Some(way.clone());
        Ok(Some(way))
    }

    /// Whether we show who we are, for this scope; if not although we could, a note says why.
    fn is_user(&mut self, slot: &Slot) -> bool {
        if self.authority.login.credential == Credential::Anonymous {
            return false;
        }
        if let Err(why) = self.authority.secrecy() {
            self.note(why);
            return false;
        }
        if self.insists {
            return true;
        }
        let disbelieved = self.authority.state().disbelieved.clone();
        match disbelieved.filter(|(at, _)| at.elapsed() < DISBELIEF) {
            Some((_, why)) => {
                self.note(why);
                false
            }
            None => !slot.as_nobody,
        }
    }

    fn own_header(&mut self, slot: &Slot, way: &Way) -> Option<String> {
        let header = self.authority.fixed_header(way)?;
        if !self.is_user(slot) {
            return None;
        }
        self.as_user = true;
        Some(header)
    }

    fn held_or_renewed(
        &mut self,
        slot: &mut Slot,
        realm: &Realm,
        send: &dyn Fn(Request<'_>) -> Result<Response>,
    ) -> Option<String> {
        let now = Instant::now();
        let held = slot.token.as_ref().filter(|held| now < held.dies_at);
        let known = held.map(|held| (held.header.clone(), held.as_user, now < held.renew_at));
        if let Some((header, as_user, true)) = known {
            self.as_user = as_user;
            return Some(header);
        }
        let scope = slot.scope.clone().unwrap_or_else(|| self.scope.clone());
        let obtained = self.obtain(slot, realm, scope, send);
        if obtained.is_ok() {
            self.stage = Stage::Fresh;
        }
        match (obtained, known) {
            (Ok(Obtained::Token(header)), _) => Some(header),
            (_, Some((header, as_user, _))) => {
                self.as_user = as_user;
                Some(header)
            }
            _ => None,
        }
    }

    /// Asks the token server, with the login if it may be told.
    fn obtain(
        &mut self,
        slot: &mut Slot,
        realm: &Realm,
        scope: Scope,
        send: &dyn Fn(Request<'_>) -> Result<Response>,
    ) -> Result<Obtained> {
        let authority = self.authority;
        let registry = &authority.registry;
        let trust = realm_trust(registry, &realm.url, &authority.permissions.trusted_realms)?;
        let mut as_user = self.is_user(slot);
        if as_user && trust == Trust::Anonymous {
            let origin = realm.url.origin();
            self.note(format!(
                "realm {origin} is not registry {registry}; allow with --trust-realm {}",
                origin.authority()
            ));
            as_user = false;
        }
        let credential = if as_user { &authority.login.credential } else { &Credential::Anonymous };
        match token::fetch(registry, realm, &scope, credential, send)? {
            Fetched::Token(secret, lifetime) => {
                let now = Instant::now();
                let header = token::bearer(&secret);
                slot.token = Some(Held {
                    header: header.clone(),
                    renew_at: now + token::renewal(lifetime),
                    dies_at: now + lifetime,
                    as_user,
                });
                slot.scope = Some(scope).filter(|scope| *scope != self.scope);
                self.as_user = as_user;
                Ok(Obtained::Token(header))
            }
            Fetched::Refused { login, why } => {
                if login && as_user {
                    authority.state().disbelieved = Some((Instant::now(), why.clone()));
                }
                self.note(why);
                self.as_user = as_user;
                Ok(if as_user { Obtained::UserRefused } else { Obtained::Refused })
            }
        }
    }

    /// The last try, for reading only: a login that has ended keeps people from what everybody
    /// may read.
    fn as_nobody(
        &mut self,
        slot: &mut Slot,
        way: &Way,
        why: &str,
        send: &dyn Fn(Request<'_>) -> Result<Response>,
    ) -> Result<Outcome> {
        if !self.as_user || self.insists || self.stage == Stage::Nobody {
            return Ok(self.refused(slot));
        }
        self.stage = Stage::Nobody;
        let header = match way {
            Way::Password if self.was_bare => return Ok(self.refused(slot)),
            Way::Password => {
                slot.as_nobody = true;
                None
            }
            Way::Token(realm) => {
                slot.as_nobody = true;
                let scope = slot.scope.clone().unwrap_or_else(|| self.scope.clone());
                match self.obtain(slot, realm, scope, send) {
                    Ok(Obtained::Token(header)) => Some(header),
                    Ok(_) => return Ok(self.refused(slot)),
                    Err(error) => {
                        slot.as_nobody = false;
                        return Err(error);
                    }
                }
            }
        };
        self.authority.warn(self.notes.first().map_or(why, |note| &**note));
        self.as_user = false;
        Ok(self.again(header))
    }

    /// The end: what is known for the scope is forgotten, so that the next request, of a program
    /// that lives on, starts anew.
    fn refused(&mut self, slot: &mut Slot) -> Outcome {
        *slot = Slot::default();
        let host = self.authority.registry.authority();
        let login = &self.authority.login;
        match (&login.credential, &login.problem) {
            (Credential::Anonymous, Some(problem)) => self.note(problem.clone()),
            (Credential::Anonymous, None) => self.note(format!("no credentials for {host}")),
            _ if self.as_user || self.stage == Stage::Nobody => {
                self.note(format!("the login for {host} does not help"));
            }
            _ => {}
        }
        if !self.scope.only_reads() {
            let who = match (&login.credential, self.as_user) {
                (Credential::Basic { user, .. }, true) => format!("`{}`", printable(user)),
                (Credential::Identity { user: Some(user), .. }, true) => {
                    format!("`{}`", printable(user))
                }
                (_, true) => "the owner of a token".to_owned(),
                (_, false) => "nobody in particular".to_owned(),
            };
            self.note(format!("asked for {} as {who}", self.scope));
        }
        Outcome::Refused(std::mem::take(&mut self.notes).join("; "))
    }

    fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    fn again(&mut self, header: Option<String>) -> Outcome {
        Outcome::Again(self.note_sent(header))
    }

    fn note_sent(&mut self, header: Option<String>) -> Option<String> {
        self.was_bare |= header.is_none();
        self.sent.clone_from(&header);
        header
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::super::super::credentials::Login;
    use super::super::super::http::{Body, Headers};
    use super::super::super::secret::Secret;
    use super::super::super::url::{Url, decode};
    use super::super::Permissions;
    use super::*;
    use crate::error::ErrorKind;

    /// A registry and a token server that log what they are asked. Token number n is `tN`, and
    /// `tN!` if it is for a user.
    struct World {
        challenge: &'static str,
        /// What the registry answers to an `Authorization`.
        admits: fn(&str) -> u16,
        /// What the token server answers to a request that is as somebody, or not, for these
        /// scopes.
        grants: fn(bool, &str) -> u16,
        expires_in: u64,
        log: Mutex<Vec<String>>,
    }

    impl Default for World {
        fn default() -> World {
            World {
                challenge: r#"Bearer realm="https://r.io/t",service="r",scope="repository:a:pull""#,
                admits: |_| 200,
                grants: |_, _| 200,
                expires_in: 300,
                log: Mutex::default(),
            }
        }
    }

    impl World {
        /// The token server. The log has who asks and for what.
        fn send(&self, request: Request<'_>) -> Result<Response> {
            let header = request.headers.iter().find(|(name, _)| *name == "authorization");
            let posted = match &request.body {
                Body::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                _ => String::new(),
            };
            let is_user = header.is_some() || !posted.is_empty();
            let scopes: Vec<String> = request
                .url
                .target()
                .split(['?', '&'])
                .chain(posted.split('&'))
                .filter_map(|pair| pair.strip_prefix("scope="))
                .map(|value| decode(value).replace("repository:", ""))
                .collect();
            let scopes = scopes.join("+");
            let status = (self.grants)(is_user, &scopes);
            let mut log = self.log.lock().unwrap();
            let mark = if is_user { "!" } else { "" };
            log.push(format!("{}{mark} {scopes}", request.url.host()));
            let body = match status {
                200 => {
                    let text = format!("t{}{mark}", log.len());
                    format!(r#"{{"token":"{text}","expires_in":{}}}"#, self.expires_in)
                }
                _ => r#"{"message":"go away"}"#.to_owned(),
            };
            let body: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(body.into_bytes()));
            let (headers, url) = (Headers(Vec::new()), request.url);
            Ok(Response { status, headers, url, led_away: false, body })
        }

        /// One request for `scope` with its handshake: the status in the end, or why not. The
        /// log has all `Authorization`.
        fn request(&self, authority: &Authority, scope: Scope) -> Result<u16, String> {
            let send = |request: Request<'_>| self.send(request);
            let mut handshake = authority.handshake(scope, false);
            let mut header = handshake.header(&send);
            for _ in 0..10 {
                let text = header.clone().unwrap_or_else(|| "-".into());
                self.log.lock().unwrap().push(text.replace("Bearer ", ""));
                let status = (self.admits)(text.trim_start_matches("Bearer "));
                if !matches!(status, 401 | 403) {
                    return Ok(status);
                }
                let challenges = challenge::parse((status == 401).then_some(self.challenge));
                match handshake.answer(status, &challenges, &send).map_err(|e| e.to_string())? {
                    Outcome::Again(again) => header = again,
                    Outcome::Ping => panic!("there are challenges"),
                    Outcome::Refused(why) => return Err(why),
                }
            }
            panic!("it never ends: {:?}", self.log);
        }

        #[track_caller]
        fn check_log(&self, expected: &[&str]) {
            assert_eq!(*self.log.lock().unwrap(), expected);
            self.log.lock().unwrap().clear();
        }
    }

    fn authority_at(registry: &str, credential: Credential) -> Authority {
        let registry = Url::parse(registry).unwrap().origin().clone();
        Authority::new(registry, Login { credential, problem: None }, Permissions::default())
    }

    fn user() -> Authority {
        let password = Secret::new("hunter2");
        authority_at("https://r.io", Credential::Basic { user: "me".into(), password })
    }

    fn nobody() -> Authority {
        authority_at("https://r.io", Credential::Anonymous)
    }

    fn only_tokens(header: &str) -> u16 {
        if header.starts_with('t') { 200 } else { 401 }
    }

    fn only_tokens_of_users(header: &str) -> u16 {
        if header.ends_with('!') { 200 } else { 401 }
    }

    #[test]
    fn open_registry_is_not_told_who_we_are() {
        let world = World::default();
        assert_eq!(world.request(&user(), Scope::pull("a")), Ok(200));
        world.check_log(&["-"]);
    }

    #[test]
    fn token_is_got_once_and_kept_for_its_scope() {
        let world = World { admits: only_tokens, ..World::default() };
        let authority = nobody();
        for _ in 0..2 {
            assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        }
        assert_eq!(world.request(&authority, Scope::pull("b")), Ok(200));
        world.check_log(&["-", "r.io a:pull", "t2", "t2", "r.io b:pull", "t5"]);
    }

    #[test]
    fn token_near_its_end_is_renewed_before_it_is_used() {
        let world = World { admits: only_tokens, expires_in: 1, ..World::default() };
        let authority = nobody();
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        let slot = Arc::clone(&authority.state().slots[&Scope::pull("a")]);
        slot.lock().unwrap().token.as_mut().unwrap().renew_at = Instant::now();
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        world.check_log(&["-", "r.io a:pull", "t2", "r.io a:pull", "t4"]);
    }

    #[test]
    fn refused_token_is_renewed_once_and_then_the_answer_stands() {
        let world = World { admits: only_tokens, ..World::default() };
        let authority = nobody();
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        let revoked = World { admits: |header| if header == "t2" { 401 } else { 200 }, ..world };
        assert_eq!(revoked.request(&authority, Scope::pull("a")), Ok(200));
        revoked.check_log(&["-", "r.io a:pull", "t2", "t2", "r.io a:pull", "t5"]);
        let closed = World { admits: |_| 401, ..World::default() };
        let why = closed.request(&authority, Scope::pull("a")).unwrap_err();
        assert_eq!(why, "no credentials for r.io");
        closed.check_log(&["t5", "r.io a:pull", "t2"]);
    }

    #[test]
    fn token_that_another_thread_has_renewed_is_taken_over() {
        let world = World { admits: only_tokens, ..World::default() };
        let authority = nobody();
        let send = |request: Request<'_>| world.send(request);
        let challenges = challenge::parse([world.challenge]);
        let mut handshakes: Vec<_> =
            (0..3).map(|_| authority.handshake(Scope::pull("a"), false)).collect();
        assert!(handshakes.iter_mut().all(|handshake| handshake.header(&send).is_none()));
        for handshake in &mut handshakes {
            let outcome = handshake.answer(401, &challenges, &send).unwrap();
            assert_eq!(outcome, Outcome::Again(Some("Bearer t1".into())));
        }
        world.check_log(&["r.io a:pull"]);
    }

    #[test]
    fn threads_ask_for_one_token_only() {
        let world = World { admits: only_tokens, ..World::default() };
        let authority = nobody();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| world.request(&authority, Scope::pull("a")).unwrap());
            }
        });
        let log = world.log.lock().unwrap();
        assert_eq!(log.iter().filter(|line| line.starts_with("r.io")).count(), 1, "{log:?}");
    }

    #[test]
    fn scope_that_the_registry_names_is_asked_for_when_ours_does_not_do() {
        let other = World {
            challenge: r#"Bearer realm="https://r.io/t",scope="repository:x/a:pull""#,
            admits: only_tokens,
            ..World::default()
        };
        assert_eq!(other.request(&nobody(), Scope::pull("a")), Ok(200));
        other.check_log(&["-", "r.io x/a:pull", "t2"]);
        let more = World {
            challenge: r#"Bearer realm="https://r.io/t",scope="repository:a:pull,push aws",error="insufficient_scope""#,
            admits: |header| if header == "t4" { 200 } else { 401 },
            ..World::default()
        };
        let authority = nobody();
        assert_eq!(more.request(&authority, Scope::pull("a")), Ok(200));
        assert_eq!(more.request(&authority, Scope::pull("a")), Ok(200));
        more.check_log(&["-", "r.io a:pull", "t2", "r.io a:pull,push+aws", "t4", "t4"]);
    }

    #[test]
    fn stale_login_is_given_up_for_reading_and_not_shown_again() {
        let world = World {
            admits: only_tokens,
            grants: |is_user, _| if is_user { 401 } else { 200 },
            ..World::default()
        };
        let authority = user();
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        assert_eq!(world.request(&authority, Scope::pull("b")), Ok(200));
        world.check_log(&["-", "r.io! a:pull", "r.io a:pull", "t3", "t3", "r.io b:pull", "t6"]);
        let why = world.request(&authority, Scope::push("a")).unwrap_err();
        assert_eq!(
            why,
            "https://r.io answered 401: go away; the login for r.io does not help; \
             asked for repository:a:pull,push as `me`"
        );
        world.check_log(&["r.io! a:pull,push", "-"]);
    }

    #[test]
    fn login_that_the_registry_itself_refuses_is_given_up_for_reading() {
        let world = World {
            admits: |header| match header {
                "-" => 401,
                _ if header.ends_with('!') => 403,
                _ => 200,
            },
            ..World::default()
        };
        let authority = user();
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200));
        world.check_log(&["-", "r.io! a:pull", "t2!", "r.io a:pull", "t4", "t4"]);
        let why = world.request(&authority, Scope::push("a")).unwrap_err();
        assert_eq!(
            why,
            "the login for r.io does not help; asked for repository:a:pull,push as `me`"
        );
        world.check_log(&["r.io! a:pull,push", "t1!"]);
    }

    #[test]
    fn private_image_names_the_first_reason_after_all_that_was_tried() {
        let world = World {
            admits: |_| 401,
            grants: |is_user, _| if is_user { 401 } else { 200 },
            ..World::default()
        };
        let why = world.request(&user(), Scope::pull("a")).unwrap_err();
        assert_eq!(why, "https://r.io answered 401: go away; the login for r.io does not help");
        world.check_log(&["-", "r.io! a:pull", "r.io a:pull", "t3"]);
    }

    #[test]
    fn realm_elsewhere_is_asked_as_nobody_and_named_if_that_does_not_do() {
        let world = World {
            challenge: r#"Bearer realm="https://evil.io:8443/t""#,
            admits: only_tokens_of_users,
            ..World::default()
        };
        let why = world.request(&user(), Scope::push("a")).unwrap_err();
        assert_eq!(
            why,
            "realm https://evil.io:8443 is not registry https://r.io; allow with --trust-realm \
             evil.io:8443; asked for repository:a:pull,push as nobody in particular"
        );
        world.check_log(&["-", "evil.io a:pull,push", "t2"]);
        let mut authority = user();
        authority.permissions.trusted_realms.push("evil.io:8443".into());
        assert_eq!(world.request(&authority, Scope::push("a")), Ok(200));
        world.check_log(&["-", "evil.io! a:pull,push", "t2!"]);
    }

    #[test]
    fn hostile_realm_is_refused_before_anything_is_sent() {
        for challenge in [
            r#"Bearer realm="http://r.io/t""#,
            r#"Bearer realm="https://me:pw@r.io/t""#,
            r#"Bearer realm="https://169.254.169.254/latest""#,
            r#"Bearer realm="https://localhost/t""#,
            r#"Bearer realm="file:///etc/passwd""#,
        ] {
            let world = World { challenge, ..World::default() };
            let authority = user();
            let mut handshake = authority.handshake(Scope::pull("a"), false);
            let send = |request: Request<'_>| world.send(request);
            let outcome = handshake.answer(401, &challenge::parse([challenge]), &send);
            let error = outcome.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Denied(_)), "{challenge}: {error}");
            world.check_log(&[]);
        }
    }

    #[test]
    fn relative_realm_is_at_the_registry() {
        let challenge = r#"Bearer realm="/t""#;
        let world = World { challenge, admits: only_tokens_of_users, ..World::default() };
        assert_eq!(world.request(&user(), Scope::pull("a")), Ok(200));
        world.check_log(&["-", "r.io! a:pull", "t2!"]);
    }

    #[test]
    fn password_is_sent_when_the_registry_asks_for_it() {
        let challenge = r#"BASIC realm="x""#;
        let header = "Basic bWU6aHVudGVyMg==";
        let admits = |header: &str| if header.starts_with("Basic") { 200 } else { 401 };
        let world = World { challenge, admits, ..World::default() };
        let authority = user();
        assert_eq!(world.request(&authority, Scope::push("a")), Ok(200));
        assert_eq!(world.request(&authority, Scope::push("b")), Ok(200));
        world.check_log(&["-", header, header]);
        let why = world.request(&nobody(), Scope::pull("a")).unwrap_err();
        assert_eq!(why, "no credentials for r.io");
        world.check_log(&["-"]);
        let closed = World { challenge, admits: |_| 401, ..World::default() };
        let why = closed.request(&authority, Scope::pull("a")).unwrap_err();
        assert_eq!(why, "the login for r.io does not help");
        closed.check_log(&[header, "-"]);
    }

    #[test]
    fn tokens_of_the_user_are_used_as_they_are_meant() {
        let identity = Credential::Identity { user: None, token: Secret::new("i") };
        let world = World { admits: only_tokens_of_users, ..World::default() };
        assert_eq!(
            world.request(&authority_at("https://r.io", identity), Scope::pull("a")),
            Ok(200)
        );
        world.check_log(&["-", "r.io! a:pull", "t2!"]);
        let token = Credential::Registry(Secret::new("mine!"));
        assert_eq!(world.request(&authority_at("https://r.io", token), Scope::push("a")), Ok(200));
        world.check_log(&["-", "mine!"]);
    }

    #[test]
    fn credentials_are_not_sent_unencrypted_unless_it_is_allowed_or_to_this_machine() {
        let world = World {
            challenge: r#"Bearer realm="/t""#,
            admits: only_tokens_of_users,
            ..World::default()
        };
        let password = || Secret::new("hunter2");
        let me = || Credential::Basic { user: "me".into(), password: password() };
        let mut far = authority_at("http://r.io", me());
        let why = world.request(&far, Scope::pull("a")).unwrap_err();
        assert_eq!(why, "credentials are not sent to http://r.io: it is not encrypted");
        world.check_log(&["-", "r.io a:pull", "t2"]);
        far.permissions.plain_http = true;
        assert_eq!(world.request(&far, Scope::pull("a")), Ok(200));
        let near = authority_at("http://localhost:5000", me());
        assert_eq!(world.request(&near, Scope::pull("a")), Ok(200));
    }

    #[test]
    fn helper_that_failed_is_named_when_a_login_is_needed() {
        let mut authority = nobody();
        authority.login.problem = Some("credential helper `x`: no".into());
        let world = World { admits: |_| 401, ..World::default() };
        let why = world.request(&authority, Scope::pull("a")).unwrap_err();
        assert_eq!(why, "credential helper `x`: no");
    }

    #[test]
    fn answer_without_a_challenge_is_explained_by_a_ping_once() {
        let world = World::default();
        let send = |request: Request<'_>| world.send(request);
        let authority = nobody();
        let mut handshake = authority.handshake(Scope::pull("a"), false);
        assert_eq!(handshake.answer(401, &[], &send).unwrap(), Outcome::Ping);
        let challenges = challenge::parse([world.challenge]);
        let outcome = handshake.answer(401, &challenges, &send).unwrap();
        assert_eq!(outcome, Outcome::Again(Some("Bearer t1".into())));
        let authority = nobody();
        let mut handshake = authority.handshake(Scope::pull("a"), false);
        assert_eq!(handshake.answer(401, &[], &send).unwrap(), Outcome::Ping);
        assert!(matches!(handshake.answer(401, &[], &send).unwrap(), Outcome::Refused(_)));
    }

    #[test]
    fn trouble_of_the_token_server_is_an_error_that_may_pass() {
        let world = World { admits: only_tokens, grants: |_, _| 503, ..World::default() };
        let error = world.request(&user(), Scope::pull("a")).unwrap_err();
        assert!(error.contains("the registry answered 503"), "{error}");
        let calm = World { admits: only_tokens, ..World::default() };
        let authority = user();
        assert_eq!(calm.request(&authority, Scope::pull("a")), Ok(200));
        let slot = Arc::clone(&authority.state().slots[&Scope::pull("a")]);
        let now = Instant::now();
        slot.lock().unwrap().token.as_mut().unwrap().renew_at = now;
        slot.lock().unwrap().token.as_mut().unwrap().dies_at = now + Duration::from_secs(60);
        assert_eq!(world.request(&authority, Scope::pull("a")), Ok(200), "the old one still lives");
    }
}
