use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

/// Most addresses of one host that are tried.
const TRIED: usize = 6;

/// The family of the last address that took a connection, for the whole process: 4, 6, or 0 if
/// there was none yet. Where one family leads nowhere that holds for every host.
static FAMILY: AtomicU8 = AtomicU8::new(0);

/// Where hosts are, beside what the system says.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    given: Vec<(String, Vec<SocketAddr>)>,
}

impl Addresses {
    pub(super) fn new(given: Vec<(String, Vec<SocketAddr>)>) -> Addresses {
        Addresses { given }
    }

    /// The addresses that were given for `host`; port 0 stands for the one that is asked for.
    pub(super) fn given(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let (_, addresses) = self.given.iter().find(|(own, _)| own.eq_ignore_ascii_case(host))?;
        let mut addresses = addresses.clone();
        for address in addresses.iter_mut().filter(|address| address.port() == 0) {
            address.set_port(port);
        }
        Some(addresses)
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
        assert_eq!(given.given("A.test", 443), Some(addresses("127.0.0.1:443 127.0.0.1:7")));
        assert_eq!(given.given("b.test", 443), None);
        assert!(is_reserved("x.INVALID") && !is_reserved("invalid.io"));
    }
}
