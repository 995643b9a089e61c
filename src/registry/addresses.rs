use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most addresses of one host that are tried.
const TRIED: usize = 6;

/// The family of the last address that took a connection, for the whole process: 4, 6, or 0 if
/// there was none yet. Where one family leads nowhere that holds for every host.
static FAMILY: AtomicU8 = AtomicU8::new(0);

/// How long an answer of the system serves. ureq asks before each request, also where it then uses
/// a connection that was kept.
const LIFETIME: Duration = Duration::from_secs(60);

/// Where hosts are. A clone shares what has been found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    given: Vec<(String, Vec<SocketAddr>)>,
    learned: Arc<Mutex<HashMap<(String, u16), Learned>>>,
}

#[derive(Debug)]
struct Learned {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

impl Addresses {
    /// Those that are `given` need not be looked up.
    pub(super) fn new(given: Vec<(String, Vec<SocketAddr>)>) -> Addresses {
        Addresses { given, learned: Arc::default() }
    }

    /// The addresses of `host` if they need not be looked up: they were given (port 0 stands for
    /// the one that is asked for), learned, or the host is an address.
    pub(super) fn known(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        if let Some((_, given)) = self.given.iter().find(|(own, _)| own.eq_ignore_ascii_case(host))
        {
            let mut given = given.clone();
            for address in given.iter_mut().filter(|address| address.port() == 0) {
                address.set_port(port);
            }
            return Some(given);
        }
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(vec![SocketAddr::new(address, port)]);
        }
        let learned = self.learned();
        let learned = learned.get(&(host.to_owned(), port))?;
        (learned.at.elapsed() < LIFETIME).then(|| learned.addresses.clone())
    }

    /// Keeps what was looked up.
    pub(super) fn learn(&self, host: &str, port: u16, addresses: Vec<SocketAddr>) {
        let learned = Learned { at: Instant::now(), addresses };
        self.learned().insert((host.to_owned(), port), learned);
    }

    /// The addresses are of no use: they are looked up again next time.
    pub(super) fn forget(&self, host: &str, port: u16) {
        self.learned().remove(&(host.to_owned(), port));
    }

    fn learned(&self) -> MutexGuard<'_, HashMap<(String, u16), Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `found` in the order in which to try them: the families take turns, and the one that
    /// worked last begins.
    pub(super) fn in_order(&self, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        in_order(found, FAMILY.load(Ordering::Relaxed))
    }

    /// Notes that `address` takes connections.
    pub(super) fn remember(address: SocketAddr) {
        FAMILY.store(family(&address), Ordering::Relaxed);
    }
}

/// Whether nobody can have the name ([RFC 6761](https://www.rfc-editor.org/rfc/rfc6761#section-6.4)).
pub(super) fn is_reserved(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "invalid" || host.ends_with(".invalid")
}

fn family(address: &SocketAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

fn in_order(found: Vec<SocketAddr>, worked: u8) -> Vec<SocketAddr> {
    let first = match (worked, found.first()) {
        (4 | 6, _) => worked,
        (_, Some(address)) => family(address),
        (_, None) => return found,
    };
    let (leading, other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| family(address) == first);
    let mut turns = Vec::new();
    let (mut leading, mut other) = (leading.into_iter(), other.into_iter());
    loop {
        let turn = [leading.next(), other.next()];
        if turn == [None, None] {
            turns.truncate(TRIED);
            return turns;
        }
        turns.extend(turn.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split(' ').map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_one_that_worked_begins() {
        let found = addresses("[100::1]:5 [100::2]:5 [100::3]:5 1.1.1.1:5 1.1.1.2:5");
        let turns = addresses("[100::1]:5 1.1.1.1:5 [100::2]:5 1.1.1.2:5 [100::3]:5");
        assert_eq!(in_order(found.clone(), 0), turns);
        assert_eq!(in_order(found.clone(), 6), turns);
        let turns = addresses("1.1.1.1:5 [100::1]:5 1.1.1.2:5 [100::2]:5 [100::3]:5");
        assert_eq!(in_order(found, 4), turns);
        assert_eq!(in_order(addresses("1.1.1.1:5"), 6), addresses("1.1.1.1:5"));
        assert_eq!(in_order(addresses(&["1.1.1.1:5"; 20].join(" ")), 0).len(), TRIED);
        assert_eq!(in_order(Vec::new(), 4), []);
    }

    #[test]
    fn given_addresses_hold_for_that_host_and_take_its_port() {
        let given = Addresses::new(vec![("a.test".into(), addresses("127.0.0.1:0 127.0.0.1:7"))]);
        assert_eq!(given.known("A.test", 443), Some(addresses("127.0.0.1:443 127.0.0.1:7")));
        assert_eq!(given.known("b.test", 443), None);
        assert_eq!(given.known("[::1]", 5), Some(addresses("[::1]:5")));
        assert!(is_reserved("x.INVALID") && !is_reserved("invalid.io"));
    }

    #[test]
    fn addresses_are_looked_up_again_when_nobody_is_there() {
        let known = Addresses::default();
        known.learn("a.test", 443, addresses("1.1.1.1:443"));
        assert_eq!(known.known("a.test", 443), Some(addresses("1.1.1.1:443")));
        assert_eq!(known.known("a.test", 80), None);
        known.forget("a.test", 443);
        assert_eq!(known.known("a.test", 443), None);
    }
}
