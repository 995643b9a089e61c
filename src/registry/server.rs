use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::authority::{Authorities, Authority, Outcome, Permissions};
use super::challenge;
use super::credentials::Credentials;
use super::habits::Habits;
use super::host;
use super::http::{Body, Client, Failure, Manner, Method, Request, Response};
use super::problem::{self, problem};
pub(super) use super::question::{Place, Question};
use super::token::Scope;
use super::url::{Origin, Url};
use crate::error::{Error, ErrorKind, Fault, Result};

/// Most redirects that are followed for one request.
const HOPS: usize = 5;

/// Most bytes of the body of an answer that says nothing, read so that its connection can be kept.
const DRAINED: u64 = 16 * 1024;

/// A server of the distribution-spec: a registry, or a mirror of one.
pub(super) struct Server {
    client: Client,
    /// Where it is, with `https` as long as that is not known to be wrong.
    base: Url,
    /// Whether it may turn out to speak plain HTTP.
    may_be_plain: bool,
    is_plain: AtomicBool,
    /// The registry that this is a mirror of.
    mirrored: Option<String>,
    logins: Logins,
    pub(super) habits: Habits,
    /// Whether it has failed so that it is not worth asking again, if there is another.
    pub(super) down: AtomicBool,
}

/// Who we are, here and elsewhere.
struct Logins {
    credentials: Credentials,
    permissions: Permissions,
    own: Authorities,
    /// Registries that this one redirects to, each with the credentials stored for it.
    strangers: Mutex<Vec<(Origin, Arc<Authorities>)>>,
}

/// How a server is reached, and as whom.
pub(super) struct Setup {
    pub(super) client: Client,
    /// Where the server is.
    pub(super) base: Url,
    /// Whether it speaks plain HTTP if it turns out not to speak TLS. `base` is `https` then.
    pub(super) may_be_plain: bool,
    /// The registry that it is a mirror of.
    pub(super) mirrored: Option<String>,
    /// The name by which its credentials are found.
    pub(super) host: String,
    pub(super) credentials: Credentials,
    pub(super) permissions: Permissions,
}

/// Where a request led.
pub(super) struct Trail {
    /// Whom it was sent to last.
    pub(super) at: Origin,
}

impl Server {
    pub(super) fn new(setup: Setup) -> Server {
        let Setup { client, base, may_be_plain, mirrored, host, credentials, permissions } = setup;
        let own = Authorities::new(&host, credentials.clone(), permissions.clone());
        Server {
            client,
            base,
            may_be_plain,
            is_plain: AtomicBool::new(false),
            mirrored,
            logins: Logins { credentials, permissions, own, strangers: Mutex::default() },
            habits: Habits::default(),
            down: AtomicBool::new(false),
        }
    }

    /// Ends the requests under way, and all later ones.
    pub(super) fn shutdown(&self) {
        self.client.shutdown();
    }

    /// Whom requests go to.
    pub(super) fn origin(&self) -> Origin {
        self.base().origin().clone()
    }

    /// Fails if there should be a login for the repository and it cannot be had.
    pub(super) fn can_log_in(&self, repository: &str) -> Result<()> {
        match self.logins.own.of(&self.origin(), repository)?.problem() {
            Some(problem) => Err(Error::denied(problem)),
            None => Ok(()),
        }
    }

    /// `HOST/REPOSITORY`, for messages.
    pub(super) fn place(&self, repository: &str) -> String {
        format!("{}/{repository}", self.base.origin().authority())
    }

    /// The URL of something in a repository.
    pub(super) fn url(&self, repository: &str, target: &str) -> Url {
        let base = self.base();
        let prefix = base.target().trim_end_matches('/');
        let url = base.with_path(&format!("{prefix}/v2/{repository}/{target}"));
        match &self.mirrored {
            Some(host) => url.with_query("ns", host),
            None => url,
        }
    }

    /// Asks, in the steps that the protocol has: credentials if they are asked for, redirects.
    /// The answer is the last one, whatever its status, unless the registry does not let us.
    /// `trail` is kept on failure too.
    pub(super) fn ask(&self, question: &Question<'_>, trail: &mut Trail) -> Result<Response> {
        let url = self.url(question.repository, &question.target);
        self.ask_at(&Place::own(url), question, Body::Empty, trail)
    }

    /// The same for a place that the server itself named, with content to go there.
    pub(super) fn ask_at(
        &self,
        place: &Place,
        question: &Question<'_>,
        mut body: Body<'_>,
        trail: &mut Trail,
    ) -> Result<Response> {
        match self.follow(place, question, &mut body, trail) {
            Err(Failure::NotTls(no_tls)) if self.may_be_plain && !self.is_plain() => {
                log::info!("{}: {no_tls}: trying plain HTTP", place.url.origin());
                let place = Place { url: plain(&place.url)?, ..*place };
                match self.follow(&place, question, &mut body, trail).map_err(Error::from) {
                    // It spoke TLS after all, and the first connection was cut.
                    Err(error) if is(&error, Fault::Protocol) && !self.is_plain() => Err(no_tls),
                    answer => answer,
                }
            }
            answer => Ok(answer?),
        }
    }

    /// A trail that has led nowhere yet.
    pub(super) fn trail(&self) -> Trail {
        Trail { at: self.origin() }
    }

    /// Where `location`, which `response` names as the place to go on, is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] if nothing may be sent there.
    pub(super) fn next_place(
        &self,
        from: &Place,
        response: &Response,
        location: &str,
    ) -> Result<Place> {
        let url = response.url.join(location)?;
        let hop = host::may_follow(&self.origin(), &response.url, &url)?;
        Ok(Place { url, is_own: from.is_own && hop.same_origin })
    }

    fn follow(
        &self,
        place: &Place,
        question: &Question<'_>,
        body: &mut Body<'_>,
        trail: &mut Trail,
    ) -> Result<Response, Failure> {
        let url = &place.url;
        trail.at = url.origin().clone();
        let home = if place.is_own { url.origin().clone() } else { self.origin() };
        let own = self.logins.own.of(&home, question.repository)?;
        let mut response = match place.is_own {
            true => self.enter(url, question, body, &own, &question.scope)?,
            false => self.visit(&home, url, question, body)?,
        };
        let mut hops = 0;
        while let Some(next) = location(&response)? {
            if !question.method.is_safe() && !matches!(response.status, 307 | 308) {
                let (status, from) = (response.status, &response.url);
                let message = format!("{from} answered {status} to {next}, which is for reading");
                return Err(Error::network(Fault::Protocol, message).into());
            }
            let hop = host::may_follow(&home, &response.url, &next)?;
            hops += 1;
            if hops > HOPS {
                let message = format!("more than {HOPS} redirects, the last one to {next}");
                return Err(Error::network(Fault::Protocol, message).into());
            }
            log::debug!("{} redirects to {next}", response.url);
            drain(response);
            trail.at = next.origin().clone();
            let answer = match hop.same_origin {
                true if place.is_own => self.enter(&next, question, body, &own, &question.scope),
                _ => self.visit(&home, &next, question, body),
            };
            // Where a redirect leads there is no second guess about TLS.
            response = answer.map_err(Error::from)?;
        }
        Ok(response)
    }

    /// One hop, to somebody who asks for our credentials if they are needed.
    fn enter(
        &self,
        url: &Url,
        question: &Question<'_>,
        body: &mut Body<'_>,
        authority: &Authority,
        scope: &Scope,
    ) -> Result<Response, Failure> {
        let send = |request: Request<'_>| Ok(self.client.send(request, Manner::default())?);
        let mut handshake = authority.handshake(scope.clone(), question.insists);
        let mut authorization = handshake.header(&send);
        loop {
            let response = self.send(url, question, body, authorization)?;
            if !matches!(response.status, 401 | 403) {
                return Ok(response);
            }
            let challenges = challenge::parse(response.headers.all("www-authenticate"));
            let mut outcome = handshake.answer(response.status, &challenges, &send)?;
            if outcome == Outcome::Ping {
                let ping = Question::read(Method::Get, question.repository, String::new());
                let ping = self.send(&url.with_path("/v2/"), &ping, &mut Body::Empty, None)?;
                let challenges = challenge::parse(ping.headers.all("www-authenticate"));
                drain(ping);
                outcome = handshake.answer(401, &challenges, &send)?;
            }
            match outcome {
                Outcome::Again(header) => authorization = header,
                Outcome::Ping => return Err(problem(response).into()),
                Outcome::Refused(why) => return Err(problem::refused(response, &why).into()),
            }
            drain(response);
        }
    }

    /// One hop, to somebody who is told nothing; unless it is another registry that asks for a
    /// login, and we have one for it.
    fn visit(
        &self,
        home: &Origin,
        url: &Url,
        question: &Question<'_>,
        body: &mut Body<'_>,
    ) -> Result<Response, Failure> {
        let response = self.send(url, question, body, None)?;
        let challenges = challenge::parse(response.headers.all("www-authenticate"));
        let is_gate = response.status == 401 && challenge::choose(&challenges).is_some();
        let is_home = (url.host(), url.port()) == (home.host(), home.port());
        if !is_gate || is_home {
            return Ok(response);
        }
        drain(response);
        let stranger = self.stranger(url.origin()).of(url.origin(), question.repository)?;
        let scope = Scope::of(challenge::scopes(&challenges));
        self.enter(url, question, body, &stranger, &scope)
    }

    fn send(
        &self,
        url: &Url,
        question: &Question<'_>,
        body: &mut Body<'_>,
        authorization: Option<String>,
    ) -> Result<Response, Failure> {
        // What is gone cannot be sent to the next hop; whoever has more of it may begin anew.
        let Some(body) = body.again() else {
            let message = format!("{url} is to have what was sent already");
            return Err(Error::network(Fault::Cut, message).into());
        };
        // Built from scratch for each hop: nothing of what one host was told goes to the next.
        let mut headers = question.headers.clone();
        headers.extend(authorization.map(|header| ("Authorization", header)));
        let request = Request { method: question.method, url: url.clone(), headers, body };
        let mut response = self.client.send(request, question.manner)?;
        let place = |url: &Url| (url.host().to_owned(), url.port());
        response.led_away = place(url) != place(&self.base);
        if self.may_be_plain && !url.is_https() && !response.led_away {
            self.is_plain.store(true, Ordering::SeqCst);
        }
        Ok(response)
    }

    fn stranger(&self, origin: &Origin) -> Arc<Authorities> {
        let mut known = self.logins.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, authorities)) = known.iter().find(|(own, _)| own == origin) {
            return Arc::clone(authorities);
        }
        let trusted_realms = self.logins.permissions.trusted_realms.clone();
        let permissions = Permissions { trusted_realms, plain_http: false };
        let credentials = self.logins.credentials.clone();
        let authorities = Authorities::new(&origin.authority(), credentials, permissions);
        let authorities = Arc::new(authorities);
        known.push((origin.clone(), Arc::clone(&authorities)));
        authorities
    }

    fn base(&self) -> Url {
        match self.is_plain() {
            // The base was parsed with another scheme before.
            true => plain(&self.base).unwrap_or_else(|_| self.base.clone()),
            false => self.base.clone(),
        }
    }

    fn is_plain(&self) -> bool {
        self.is_plain.load(Ordering::SeqCst)
    }
}

fn is(error: &Error, expected: Fault) -> bool {
    matches!(error.kind(), ErrorKind::Network { fault, .. } if *fault == expected)
}

/// Where a redirect leads; `None` if the answer is none.
fn location(response: &Response) -> Result<Option<Url>> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    match response.headers.get("location") {
        Some(location) => {
            response.url.join(location).map(Some).map_err(|error| {
                error.context(format!("following a redirect from {}", response.url))
            })
        }
        None => {
            let message = format!("{} redirects to nowhere", response.url);
            Err(Error::network(Fault::Protocol, message))
        }
    }
}

/// The same place without TLS, on the same port.
fn plain(url: &Url) -> Result<Url> {
    Url::parse(&format!("http://{}:{}{}", url.host(), url.port(), url.target()))
}

/// Reads a body that does not matter to its end, if that is near: the connection can be kept.
fn drain(response: Response) {
    if response.headers.content_length().is_none_or(|length| length <= DRAINED) {
        // If it fails the connection is not kept.
        let _ = std::io::copy(&mut response.body.take(DRAINED), &mut std::io::sink());
    }
}
