use super::Registry;
use super::http::{Body, Method};
use super::problem::problem;
use super::server::{Place, Question};
use super::token::Scope;
use crate::error::{Context, Result};

/// What a registry says of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginCheck {
    /// It lets us in.
    Accepted,
    /// It lets everybody in, and does not look at it.
    NotAsked,
}

impl Registry {
    /// Shows the login that there is for the registry to it.
    ///
    /// # Errors
    ///
    /// When it is refused; nobody else is let in for it.
    pub fn check_login(&self) -> Result<LoginCheck> {
        let server = self.server();
        let checking = || format!("logging in to {}", server.origin().authority());
        let mut question = Question::read(Method::Get, "", String::new()).needing(Scope::none());
        let place = Place { url: server.origin().root().with_path("/v2/"), is_own: false };
        let trail = &mut server.trail();
        let answer = server.ask_at(&place, &question, Body::Empty, trail).context(checking)?;
        if (200..300).contains(&answer.status) {
            return Ok(LoginCheck::NotAsked);
        }
        question.insists = true;
        // It is known by now whether it speaks TLS.
        let place = Place::own(server.origin().root().with_path("/v2/"));
        let answer = server.ask_at(&place, &question, Body::Empty, trail).context(checking)?;
        match answer.status {
            200..=299 => Ok(LoginCheck::Accepted),
            _ => Err(problem(answer)).context(checking),
        }
    }
}
