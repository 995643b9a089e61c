use std::fmt;
use std::net::IpAddr;

use super::host::is_loopback;
use super::secret::Secret;
use super::url::{Url, decode, encode_component};
use crate::error::{Error, Result};

/// Which requests go through which proxy, by the rules of Go's `httpproxy`, which docker, podman
/// and crane follow.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<ProxyAddress>,
    https: Option<ProxyAddress>,
    exceptions: Vec<Exception>,
}

/// Where a proxy is, and who we are to it. `Display` and `Debug` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ProxyAddress {
    url: Url,
    login: Option<(String, Secret)>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// An address and how many of its leading bits count; IPv4 in IPv6 is IPv4.
    Network(IpAddr, u8),
    /// The name, if `itself`, and all names below it.
    Domain {
        name: String,
        itself: bool,
    },
}

impl Proxies {
    /// No proxy, for anything.
    pub fn none() -> Proxies {
        Proxies::default()
    }

    /// What the environment asks for, which `lookup` reads: `HTTP_PROXY`, `HTTPS_PROXY` and
    /// `NO_PROXY` or the same in lowercase.
    ///
    /// Where `REQUEST_METHOD` is set, `HTTP_PROXY` may come from a stranger's `Proxy:` header
    /// and only `http_proxy` counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) names the variable that holds no
    /// proxy, without showing what it holds.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Proxies> {
        let filled = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let is_cgi = filled("REQUEST_METHOD").is_some();
        let address = |names: &[&str]| -> Result<Option<ProxyAddress>> {
            for name in names {
                if let Some(value) = filled(name) {
                    let address = ProxyAddress::parse(value.trim());
                    let error = |expected| Error::usage(format!("invalid {name}: {expected}"));
                    return address.map(Some).map_err(error);
                }
            }
            Ok(None)
        };
        let exceptions = filled("NO_PROXY").or_else(|| filled("no_proxy")).unwrap_or_default();
        Ok(Proxies {
            http: address(if is_cgi { &["http_proxy"] } else { &["HTTP_PROXY", "http_proxy"] })?,
            https: address(&["HTTPS_PROXY", "https_proxy"])?,
            exceptions: exceptions
                .split([',', ' ', '\t', '\n'])
                .filter_map(|entry| Exception::parse(&entry.to_ascii_lowercase()))
                .collect(),
        })
    }

    /// The proxy that a request for this goes through; `None` is a direct connection, as all to
    /// this machine are.
    pub(super) fn for_url(&self, url: &Url) -> Option<&ProxyAddress> {
        let address = if url.is_https() { &self.https } else { &self.http };
        let direct = is_loopback(url.host())
            || self.exceptions.iter().any(|exception| exception.holds(url.host(), url.port()));
        address.as_ref().filter(|_| !direct)
    }
}

impl ProxyAddress {
    /// Reads `http://user:password@host:port`; all but the host may be left out.
    ///
    /// The error says what was expected.
    fn parse(text: &str) -> Result<ProxyAddress, &'static str> {
        const EXPECTED: &str = "expected `http://` or `https://`, a host and a port";
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        if scheme.starts_with("socks") {
            return Err("SOCKS proxies are not supported: expected `http://` or `https://`");
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some((decode(user), Secret::new(decode(password)))), host)
            }
            None => (None, authority),
        };
        let url = Url::parse(&format!("{scheme}://{host}/")).map_err(|_| EXPECTED)?;
        Ok(ProxyAddress { url, login })
    }

    /// User and password, if it wants some.
    pub(super) fn login(&self) -> Option<(&str, &Secret)> {
        self.login.as_ref().map(|(user, password)| (&**user, password))
    }

    /// All of it, password too: for the connection and nothing else.
    pub(super) fn to_wire(&self) -> String {
        let url = &self.url;
        let scheme = if url.is_https() { "https" } else { "http" };
        let login = self.login().map_or_else(String::new, |(user, password)| {
            format!("{}:{}@", encode_component(user), encode_component(password.expose()))
        });
        format!("{scheme}://{login}{}:{}", url.host(), url.port())
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.origin().fmt(f)
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Exception {
    /// Reads an entry in lowercase. What makes no sense is no exception, as for Go.
    fn parse(text: &str) -> Option<Exception> {
        if text == "*" {
            return Some(Exception { hosts: Hosts::All, port: None });
        }
        if let Some((address, bits)) = text.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            let network = match address.to_canonical() {
                IpAddr::V4(v4) if address.is_ipv6() => {
                    Hosts::Network(v4.into(), u8::checked_sub(bits, 96)?)
                }
                address => Hosts::Network(address, bits),
            };
            let fits = bits <= if address.is_ipv4() { 32 } else { 128 };
            return fits.then_some(Exception { hosts: network, port: None });
        }
        let (host, port) = split_port(text)?;
        if let Some(address) = parse_address(host) {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Some(Exception { hosts: Hosts::Network(address, bits), port });
        }
        let name = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (name, itself) = match name.strip_prefix('.') {
            Some(name) => (name, false),
            None => (name, true),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_owned();
        (!name.is_empty()).then_some(Exception { hosts: Hosts::Domain { name, itself }, port })
    }

    fn holds(&self, host: &str, port: u16) -> bool {
        let of_host = match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network, bits) => {
                parse_address(host).is_some_and(|address| is_within(address, *network, *bits))
            }
            Hosts::Domain { name, itself } => match host.strip_suffix(&**name) {
                Some("") => *itself,
                Some(above) => above.ends_with('.'),
                None => false,
            },
        };
        of_host && self.port.is_none_or(|own| own == port)
    }
}

/// Splits `host:port` or `[ipv6]:port`; an IPv6 address may also stand bare. A port that is no
/// number makes an entry that is for nothing.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let colon = match text.rfind(':') {
        Some(colon) if text.starts_with('[') && text[..colon].ends_with(']') => colon,
        Some(colon) if !text[..colon].contains(':') && !text.starts_with('[') => colon,
        _ => return Some((text, None)),
    };
    match &text[colon + 1..] {
        "" => Some((&text[..colon], None)),
        port => Some((&text[..colon], Some(port.parse().ok()?))),
    }
}

fn parse_address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |address: u128, network: u128, width: u8| match width.checked_sub(bits) {
        Some(free) => address.checked_shr(free.into()) == network.checked_shr(free.into()),
        None => false,
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => same(a.to_bits().into(), n.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => same(a.to_bits(), n.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxies of an environment like `A=1;B=2`.
    fn proxies(environment: &str) -> Result<Proxies> {
        Proxies::from_lookup(|name| {
            let mut pairs = environment.split(';').filter_map(|pair| pair.split_once('='));
            pairs.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
        })
    }

    #[test]
    fn requests_go_through_the_proxy_that_go_programs_use() {
        let both = "HTTP_PROXY=p:1;HTTPS_PROXY=http://s:2;";
        for (environment, url, expected) in [
            ("", "https://a.io/", ""),
            ("HTTP_PROXY=p:1", "http://a.io/", "http://p:1"),
            ("HTTP_PROXY=p:1", "https://a.io/", ""),
            ("HTTPS_PROXY=p:1", "https://a.io/", "http://p:1"),
            ("HTTPS_PROXY=p:1", "http://a.io/", ""),
            ("ALL_PROXY=p:1", "http://a.io/", ""),
            ("http_proxy=p:1", "http://a.io/", "http://p:1"),
            ("HTTP_PROXY=p:1;http_proxy=q:1", "http://a.io/", "http://p:1"),
            ("HTTP_PROXY=;http_proxy=q:1", "http://a.io/", "http://q:1"),
            ("HTTP_PROXY=p:1;REQUEST_METHOD=GET", "http://a.io/", ""),
            ("http_proxy=p:1;REQUEST_METHOD=GET", "http://a.io/", "http://p:1"),
            ("HTTPS_PROXY=p:1;REQUEST_METHOD=GET", "https://a.io/", "http://p:1"),
            ("HTTPS_PROXY=https://p", "https://a.io/", "https://p:443"),
            ("HTTPS_PROXY=http://p", "https://a.io/", "http://p:80"),
            ("HTTPS_PROXY=HTTP://P:3128/x?y", "https://a.io/", "http://p:3128"),
            ("HTTPS_PROXY=10.0.0.1:3128", "https://a.io/", "http://10.0.0.1:3128"),
            ("HTTPS_PROXY=http://[::2]:3128", "https://a.io/", "http://[::2]:3128"),
            (both, "https://localhost/", ""),
            (both, "http://localhost:5000/", ""),
            (both, "http://127.0.0.1/", ""),
            (both, "http://127.9.9.9:5000/", ""),
            (both, "http://[::1]:5000/", ""),
            (both, "http://localhost.io/", "http://p:1"),
        ] {
            let proxies = proxies(environment).unwrap();
            let got = proxies.for_url(&Url::parse(url).unwrap()).map(ProxyAddress::to_wire);
            assert_eq!(got.unwrap_or_default(), expected, "{environment} {url}");
        }
    }

    #[test]
    fn no_proxy_means_what_go_programs_mean_by_it() {
        for (no_proxy, url, direct) in [
            ("*", "https://a.io/", true),
            ("b.io,*", "https://a.io/", true),
            ("a.io", "https://a.io/", true),
            ("a.io", "https://x.a.io/", true),
            ("a.io", "https://xa.io/", false),
            ("a.io", "https://a.io.evil.org/", false),
            ("A.IO", "https://a.io/", true),
            (".a.io", "https://x.y.a.io/", true),
            (".a.io", "https://a.io/", false),
            ("*.a.io", "https://x.a.io/", true),
            ("*.a.io", "https://a.io/", false),
            ("*a.io", "https://xa.io/", false),
            ("a.io:443", "https://a.io/", true),
            ("a.io:443", "https://a.io:8443/", false),
            ("a.io:8443", "https://x.a.io:8443/", true),
            ("a.io:x", "https://a.io/", false),
            ("a.io:", "https://a.io/", true),
            (":443", "https://a.io/", false),
            (" b.io , a.io ", "https://a.io/", true),
            ("b.io a.io", "https://a.io/", true),
            ("b.io,,", "https://a.io/", false),
            (".", "https://a.io/", false),
            ("io", "https://a.io/", true),
            ("10.0.0.1", "https://10.0.0.1/", true),
            ("10.0.0.1", "https://10.0.0.11/", false),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "https://10.0.0.1/", false),
            ("10.0.0.0/8", "https://10.9.8.7/", true),
            ("10.0.0.0/8", "https://11.0.0.1/", false),
            ("10.1.2.3/8", "https://10.9.8.7/", true),
            ("0.0.0.0/0", "https://11.0.0.1/", true),
            ("0.0.0.0/0", "https://a.io/", false),
            ("10.0.0.0/33", "https://10.0.0.0/", false),
            ("10.0.0.0/8", "https://[::ffff:10.1.1.1]/", true),
            ("::ffff:10.0.0.0/104", "https://10.1.1.1/", true),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("fd00::/8", "https://[fe12::1]/", false),
            ("fd12::1", "https://[fd12::1]/", true),
            ("[fd12::1]", "https://[fd12::1]/", true),
            ("[fd12::1]:5000", "https://[fd12::1]:5000/", true),
            ("[fd12::1]:5000", "https://[fd12::1]/", false),
            ("::/0", "https://[fd12::1]/", true),
            ("10.0.0", "https://10.0.0.1/", false),
            ("http://a.io", "https://a.io/", false),
        ] {
            let proxies = proxies(&format!("HTTPS_PROXY=p:1;NO_PROXY={no_proxy}")).unwrap();
            let got = proxies.for_url(&Url::parse(url).unwrap()).is_none();
            assert_eq!(got, direct, "{no_proxy} {url}");
        }
    }

    #[test]
    fn invalid_proxy_is_a_usage_error_that_names_the_variable_and_hides_the_value() {
        for (environment, name) in [
            ("HTTP_PROXY=http://me:hunter2@", "HTTP_PROXY"),
            ("http_proxy=ftp://hunter2", "http_proxy"),
            ("HTTPS_PROXY=socks5://me:hunter2@p:1080", "HTTPS_PROXY: SOCKS"),
            ("https_proxy=http://me:hunter2@p:0", "https_proxy"),
            ("https_proxy=http://me:hunter2/x@p:1", "https_proxy"),
            ("HTTPS_PROXY=://hunter2", "HTTPS_PROXY"),
            ("HTTPS_PROXY=hunter2 hunter2", "HTTPS_PROXY"),
        ] {
            let error = proxies(environment).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn password_of_the_proxy_is_sent_and_not_shown() {
        let proxies = proxies("HTTPS_PROXY=http://me%40x:hun%3Ater2@p:1").unwrap();
        let address = proxies.for_url(&Url::parse("https://a.io/").unwrap()).unwrap();
        assert_eq!(address.to_wire(), "http://me%40x:hun%3Ater2@p:1");
        assert_eq!(address.login().map(|(user, _)| user), Some("me@x"));
        assert_eq!(address.to_string(), "http://p:1");
        assert!(!format!("{proxies:?} {address:?}").contains("ter2"));
    }
}
