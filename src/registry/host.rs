use std::net::{Ipv4Addr, Ipv6Addr};

use super::url::{Origin, Url};
use crate::error::{Error, Result};

/// Where registries send for tokens that have another origin and the same owner.
const KNOWN_REALMS: [(&str, &str); 4] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
    ("registry.redhat.io", "sso.redhat.com"),
    ("registry.digitalocean.com", "api.digitalocean.com"),
];

/// A step to another URL that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// Whether it stays at the registry, so that its credentials may be sent along. Once a
    /// request has left the registry it stays without them, even if it is led back.
    pub(super) same_origin: bool,
}

/// What a realm may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The user's credentials for the registry.
    WithCredentials,
    /// That someone asks, but not who.
    Anonymous,
}

/// What kind of address a host is, as it is written: names are not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Loopback,
    LinkLocal,
    Metadata,
    Unspecified,
    /// Names and all other addresses, private ones too.
    Elsewhere,
}

/// Whether this is one of the names of Docker Hub.
pub(super) fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The host that answers for a registry: Docker Hub's API is not where its name says.
pub(super) fn api_host(registry: &str) -> &str {
    if is_docker_hub(registry) { "registry-1.docker.io" } else { registry }
}

/// Whether the host, given without port, is this machine by what is written: `localhost`,
/// `*.localhost`, `127.0.0.0/8` or `::1`.
pub(super) fn is_loopback(host: &str) -> bool {
    reach(host) == Reach::Loopback
}

/// Whether a request that belongs to `registry` may go from `from` on to `to`, where a redirect
/// or a `Location` points.
///
/// # Errors
///
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) names the hop and hides its secrets.
pub(super) fn may_follow(registry: &Origin, from: &Url, to: &Url) -> Result<Hop> {
    let same_origin = to.origin() == registry && from.origin() == registry;
    if to.origin() == from.origin() {
        return Ok(Hop { same_origin });
    }
    let refused = |why: &str| Error::denied(format!("hop from {from} to {to} is refused: {why}"));
    if from.is_https() && !to.is_https() {
        return Err(refused("it would give up encryption"));
    }
    if to.origin() != registry {
        may_reach(registry, to).map_err(refused)?;
    }
    Ok(Hop { same_origin })
}

/// What `realm`, which the registry names as its token server, may be told.
///
/// `trusted` are the `HOST[:PORT]` that the user vouches for.
///
/// # Errors
///
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) if not even an anonymous request may
/// go there.
pub(super) fn realm_trust(registry: &Origin, realm: &Url, trusted: &[String]) -> Result<Trust> {
    if realm.origin() == registry {
        return Ok(Trust::WithCredentials);
    }
    let refused = |why: &str| {
        Error::denied(format!("realm {realm} of registry {registry} is refused: {why}"))
    };
    if registry.is_https() && !realm.is_https() {
        return Err(refused("it would give up encryption"));
    }
    let vouched = trusted.iter().any(|trusted| names(trusted, realm.origin()));
    match may_reach(registry, realm) {
        Err(why) if !(vouched && is_loopback(realm.host())) => return Err(refused(why)),
        _ => {}
    }
    let known = registry.is_https()
        && (registry.port(), realm.port()) == (443, 443)
        && KNOWN_REALMS.contains(&(registry.host(), realm.host()));
    Ok(if vouched || known { Trust::WithCredentials } else { Trust::Anonymous })
}

/// Whether `HOST[:PORT]`, as a user writes it, is that origin; the port is the scheme's own
/// unless it is given.
pub(super) fn names(text: &str, origin: &Origin) -> bool {
    let scheme = if origin.is_https() { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{text}")).is_ok_and(|url| url.origin() == origin)
}

/// Refuses addresses that are only good for reaching what is not meant for the registry.
fn may_reach(registry: &Origin, to: &Url) -> Result<(), &'static str> {
    match reach(to.host()) {
        Reach::Elsewhere => Ok(()),
        Reach::Loopback if is_loopback(registry.host()) => Ok(()),
        Reach::Loopback => Err("it leads to this machine"),
        Reach::LinkLocal => Err("it leads to a link-local address"),
        Reach::Metadata => Err("it leads to a metadata service"),
        Reach::Unspecified => Err("it leads to an unspecified address"),
    }
}

fn reach(host: &str) -> Reach {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse().map_or(Reach::Elsewhere, reach_of_v6);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    match parse_v4(host) {
        Some(address) => reach_of_v4(address),
        None if host == "localhost" || host.ends_with(".localhost") => Reach::Loopback,
        None => host.parse().map_or(Reach::Elsewhere, reach_of_v6),
    }
}

fn reach_of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // Linux connects `0.0.0.0` to itself.
        [0, ..] => Reach::Unspecified,
        [127, ..] => Reach::Loopback,
        [169, 254, 169, 254] | [100, 100, 100, 200] => Reach::Metadata,
        [169, 254, ..] => Reach::LinkLocal,
        _ => Reach::Elsewhere,
    }
}

fn reach_of_v6(address: Ipv6Addr) -> Reach {
    /// The metadata services of AWS and of Google.
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    match address.segments() {
        _ if METADATA.contains(&address) => Reach::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        // IPv4 in IPv6: compatible, mapped, and as NAT64 translates it.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            reach_of_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => Reach::Elsewhere,
    }
}

/// Reads an IPv4 address in all forms that resolvers take, as `inet_aton` does: one to four
/// numbers, decimal, octal or hex, of which the last fills what is left. `2852039166` and
/// `0xa9.0xfe.0251.254` are `169.254.169.254`.
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(parse_v4_part).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|part| *part > 0xff) {
        return None;
    }
    let free_bits = 32 - 8 * u32::try_from(leading.len()).ok()?;
    if u64::from(*last) >> free_bits != 0 {
        return None;
    }
    let leading = leading.iter().fold(0_u64, |sum, part| sum << 8 | u64::from(*part));
    u32::try_from(leading << free_bits | u64::from(*last)).ok().map(Ipv4Addr::from)
}

fn parse_v4_part(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_what_a_resolver_takes_them_for() {
        for (host, expected) in [
            ("localhost", Reach::Loopback),
            ("localhost.", Reach::Loopback),
            ("a.localhost", Reach::Loopback),
            ("notlocalhost", Reach::Elsewhere),
            ("localhost.io", Reach::Elsewhere),
            ("127.0.0.1", Reach::Loopback),
            ("127.255.1.2", Reach::Loopback),
            ("127.1", Reach::Loopback),
            ("0x7f.1", Reach::Loopback),
            ("0177.0.0.1", Reach::Loopback),
            ("2130706433", Reach::Loopback),
            ("0x7f000001", Reach::Loopback),
            ("017700000001", Reach::Loopback),
            ("[::1]", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("[::ffff:127.0.0.1]", Reach::Loopback),
            ("[::127.0.0.1]", Reach::Loopback),
            ("[64:ff9b::7f00:1]", Reach::Loopback),
            ("127.example.com", Reach::Elsewhere),
            ("128.0.0.1", Reach::Elsewhere),
            ("169.254.169.254", Reach::Metadata),
            ("2852039166", Reach::Metadata),
            ("0xa9fea9fe", Reach::Metadata),
            ("0xA9.0xFE.0251.254", Reach::Metadata),
            ("169.254.43518", Reach::Metadata),
            ("169.16689662", Reach::Metadata),
            ("[::ffff:169.254.169.254]", Reach::Metadata),
            ("[::ffff:a9fe:a9fe]", Reach::Metadata),
            ("[fd00:ec2::254]", Reach::Metadata),
            ("[fd20:ce::254]", Reach::Metadata),
            ("100.100.100.200", Reach::Metadata),
            ("100.100.100.201", Reach::Elsewhere),
            ("169.254.170.2", Reach::LinkLocal),
            ("[fe80::1]", Reach::LinkLocal),
            ("[febf::1]", Reach::LinkLocal),
            ("[fec0::1]", Reach::Elsewhere),
            ("0.0.0.0", Reach::Unspecified),
            ("0", Reach::Unspecified),
            ("0x0", Reach::Unspecified),
            ("[::]", Reach::Unspecified),
            ("[::ffff:0.0.0.0]", Reach::Unspecified),
            ("10.0.0.1", Reach::Elsewhere),
            ("192.168.1.1", Reach::Elsewhere),
            ("[fd00::1]", Reach::Elsewhere),
            ("256.1.1.1", Reach::Elsewhere),
            ("127.0.0.1.1", Reach::Elsewhere),
            ("127.16777216", Reach::Elsewhere),
            ("4294967296", Reach::Elsewhere),
            ("127.0.0.08", Reach::Elsewhere),
            ("quay.io", Reach::Elsewhere),
            ("", Reach::Elsewhere),
        ] {
            assert_eq!(reach(host), expected, "{host}");
        }
    }

    /// What [`realm_trust`] says with `auth.corp:8443` vouched for.
    #[track_caller]
    fn check_realm(registry: &str, realm: &str, expected: Option<Trust>) {
        let registry = url(&format!("{registry}/"));
        let trusted = ["auth.corp:8443".to_owned(), "auth.corp".to_owned()];
        let got = url("https://unused/")
            .join_strictly(realm)
            .and_then(|realm| realm_trust(registry.origin(), &realm, &trusted));
        match expected {
            Some(expected) => assert_eq!(got.unwrap(), expected, "{registry} {realm}"),
            None => assert!(got.is_err(), "{registry} {realm}: {got:?}"),
        }
    }

    #[test]
    fn credentials_go_only_to_realms_of_the_registry() {
        let credentials = Some(Trust::WithCredentials);
        let anonymous = Some(Trust::Anonymous);
        let refused = None;
        for (registry, realm, expected) in [
            ("https://ghcr.io", "https://ghcr.io/token", credentials),
            ("https://ghcr.io", "https://GHCR.io:443/token", credentials),
            ("https://ghcr.io", "https://ghcr.io./token", credentials),
            ("https://r.corp:5000", "https://r.corp:5000/token", credentials),
            ("https://[::1]:5000", "https://[0::1]:5000/token", credentials),
            ("http://localhost:5000", "http://localhost:5000/token", credentials),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", credentials),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", credentials),
            ("https://r.corp", "https://auth.corp/token", credentials),
            ("https://r.corp", "https://auth.corp:8443/token", credentials),
            ("http://r.corp", "http://auth.corp/token", credentials),
            ("https://r.corp:5000", "https://r.corp/token", anonymous),
            ("https://r.corp", "https://r.corp:5000/token", anonymous),
            ("https://r.corp", "https://auth.corp:9443/token", anonymous),
            ("https://r.corp", "https://auth.corp.evil.io/token", anonymous),
            ("https://r.corp", "https://evil.io/auth.corp", anonymous),
            ("https://r.corp", "https://sub.r.corp/token", anonymous),
            ("https://ghcr.io", "https://xn--ghr-1ka.io/token", anonymous),
            ("https://evil.io", "https://auth.docker.io/token", anonymous),
            ("https://registry-1.docker.io", "https://auth.docker.io:444/token", anonymous),
            ("https://registry-1.docker.io:444", "https://auth.docker.io/token", anonymous),
            ("https://r.corp", "https://10.0.0.7/token", anonymous),
            ("http://r.corp", "https://r.corp/token", anonymous),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", anonymous),
            ("http://127.0.0.1:5000", "http://[::ffff:127.0.0.1]:5000/token", anonymous),
            ("https://ghcr.io", "http://ghcr.io/token", refused),
            ("https://r.corp", "http://auth.corp/token", refused),
            ("https://ghcr.io", "https://user:pw@ghcr.io/token", refused),
            ("https://ghcr.io", "https://ghcr.io@evil.io/token", refused),
            ("https://ghcr.io", "https://ghcr.io\\@evil.io/token", refused),
            ("https://ghcr.io", "https://127.0.0.1/token", refused),
            ("https://ghcr.io", "https://localhost:8080/token", refused),
            ("https://ghcr.io", "https://[::ffff:127.0.0.1]/token", refused),
            ("https://ghcr.io", "https://169.254.169.254/latest", refused),
            ("https://ghcr.io", "https://2852039166/latest", refused),
            ("https://ghcr.io", "https://[fd00:ec2::254]/latest", refused),
            ("http://localhost:5000", "http://169.254.169.254/latest", refused),
            ("http://10.0.0.1:5000", "http://0.0.0.0:5001/token", refused),
            ("https://ghcr.io", "gopher://ghcr.io/token", refused),
        ] {
            check_realm(registry, realm, expected);
        }
    }

    #[test]
    fn realm_on_this_machine_is_used_if_the_user_vouches_for_it_but_never_metadata() {
        let registry = url("https://registry.local/");
        let trusted = ["localhost:5001".to_owned(), "169.254.169.254".to_owned()];
        let trust = |realm: &str| realm_trust(registry.origin(), &url(realm), &trusted);
        assert_eq!(trust("https://localhost:5001/t").unwrap(), Trust::WithCredentials);
        assert!(trust("https://169.254.169.254/t").is_err());
    }

    #[test]
    fn hops_never_give_up_encryption_nor_reach_into_this_machine() {
        let (same, other, refused) = (Some(true), Some(false), None);
        for (registry, from, to, expected) in [
            ("https://r.io", "https://r.io/a", "https://r.io/b", same),
            ("https://r.io", "https://r.io/a", "https://r.io:443/b", same),
            ("https://r.io", "https://r.io/a", "https://cdn.io/b", other),
            ("https://r.io", "https://r.io/a", "https://r.io:444/b", other),
            ("https://r.io", "https://r.io/a", "https://sub.r.io/b", other),
            ("https://r.io", "https://r.io/a", "https://10.0.0.1/b", other),
            ("https://r.io", "https://r.io/a", "http://r.io/b", refused),
            ("https://r.io", "https://r.io/a", "http://cdn.io/b", refused),
            ("https://r.io", "https://cdn.io/a", "http://cdn.io/b", refused),
            ("https://r.io", "https://r.io/a", "https://localhost/b", refused),
            ("https://r.io", "https://r.io/a", "https://127.1/b", refused),
            ("https://r.io", "https://r.io/a", "https://[::1]/b", refused),
            ("https://r.io", "https://r.io/a", "https://169.254.169.254/b", refused),
            ("https://r.io", "https://r.io/a", "https://0/b", refused),
            // Led back by a stranger: allowed, but as a stranger.
            ("https://r.io", "https://cdn.io/a", "https://r.io/b", other),
            ("https://r.io", "https://cdn.io/a", "https://cdn.io/b", other),
            ("http://r.io", "http://r.io/a", "https://r.io/b", other),
            ("http://r.io", "https://cdn.io/a", "http://r.io/b", refused),
            ("http://r.io", "http://r.io/a", "http://minio:9000/b", other),
            ("http://localhost:5000", "http://localhost:5000/a", "http://127.0.0.1:9/b", other),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/a", "http://localhost/b", other),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/a", "http://0.0.0.0/b", refused),
            ("http://169.254.1.1", "http://169.254.1.1/a", "http://169.254.1.1/b", same),
            ("http://169.254.1.1", "http://169.254.1.1/a", "http://169.254.1.1:81/b", refused),
        ] {
            let got = may_follow(url(registry).origin(), &url(from), &url(to));
            let got = got.ok().map(|hop| hop.same_origin);
            assert_eq!(got, expected, "{registry}: {from} -> {to}");
        }
    }

    #[test]
    fn refused_hop_is_named_without_its_secrets() {
        let from = url("https://r.io/v2/a/blobs/x");
        let to = url("http://cdn.io/x?sig=hunter2");
        let error = may_follow(from.origin(), &from, &to).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Denied(_)));
        assert_eq!(
            error.to_string(),
            "hop from https://r.io/v2/a/blobs/x to http://cdn.io/x?sig=*** is refused: it would \
             give up encryption"
        );
    }

    #[test]
    fn docker_hub_has_three_names_and_one_api() {
        assert_eq!(api_host("docker.io"), "registry-1.docker.io");
        assert_eq!(api_host("index.docker.io"), "registry-1.docker.io");
        assert_eq!(api_host("quay.io:444"), "quay.io:444");
    }
}
