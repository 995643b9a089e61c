//! What logins, tokens and certificates open.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use serde_json::{Value, json};

use crate::support::client::{Client, Seen};
use crate::support::*;

fn with(registry: &Registry, path: &str, authorization: &str) -> Seen {
    let headers = [("Authorization", authorization)];
    Client::connect(registry.address()).send("GET", path, &headers, b"")
}

fn post(registry: &Registry, form: &str) -> Seen {
    Client::connect(registry.address()).send("POST", "/token", &[], form.as_bytes())
}

fn document(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

/// A token got by GET, as a header.
fn token(registry: &Registry, query: &str, authorization: &str) -> String {
    let seen = with(registry, &format!("/token?{query}"), authorization);
    format!("Bearer {}", document(&seen)["token"].as_str().unwrap())
}

#[test]
fn basic_login_opens_to_user_and_password_only() {
    let registry = Registry::start();
    registry.require(Auth::basic("user", "pa:ss"));
    assert_eq!(with(&registry, "/v2/", "Basic dXNlcjpwYTpzcw==").status(), 200);
    let seen = with(&registry, "/v2/", "Basic dXNlcjpwYXNz");
    assert_eq!((seen.status(), seen.headers("www-authenticate").len()), (401, 1));
}

#[test]
fn challenge_names_realm_service_and_scope() {
    let registry = Registry::start();
    registry.require(Auth::bearer(Bearer::public()));
    let seen = with(&registry, "/v2/box/manifests/1", "");
    let expected = format!(
        "Bearer realm=\"{}\",service=\"registry.test\",scope=\"repository:box:pull\"",
        registry.url("/token")
    );
    assert_eq!(seen.header("www-authenticate"), Some(expected.as_str()));
}

#[test]
fn anonymous_tokens_open_public_repositories_only() {
    let registry = Registry::start();
    let public = vec!["open/*".to_owned()];
    registry.require(Auth::bearer(Bearer { public, ..Bearer::user("user", "pass") }));
    registry.push(&Image::small(), "open/box:1");
    registry.push(&Image::small(), "closed/box:1");
    let open = token(&registry, "scope=repository:open/box:pull", "");
    assert_eq!(with(&registry, "/v2/open/box/manifests/1", &open).status(), 200);
    assert_eq!(with(&registry, "/v2/closed/box/manifests/1", &open).status(), 401);
    let closed = token(&registry, "scope=repository:closed/box:pull", "");
    assert_eq!(with(&registry, "/v2/closed/box/manifests/1", &closed).status(), 401);
    let user = token(&registry, "scope=repository:closed/box:pull,push", "Basic dXNlcjpwYXNz");
    assert_eq!(with(&registry, "/v2/closed/box/manifests/1", &user).status(), 200);
    let stale = with(&registry, "/token?scope=repository:open/box:pull", "Basic dXNlcjp4");
    assert_eq!(stale.status(), 401, "a wrong login is worse than none");
}

#[test]
fn tokens_end_after_their_uses_or_when_told() {
    let registry = Registry::start();
    registry.require(Auth::bearer(Bearer { uses: Some(1), ..Bearer::public() }));
    let short = token(&registry, "", "");
    assert_eq!(with(&registry, "/v2/", &short).status(), 200);
    assert_eq!(with(&registry, "/v2/", &short).status(), 401);
    registry.require(Auth::bearer(Bearer::public()));
    let ended = token(&registry, "", "");
    registry.fail_once("/v2/", Fault::ExpireToken);
    assert_eq!(with(&registry, "/v2/", &ended).status(), 401);
    assert_eq!(registry.tokens_given_out(), 2);
}

#[test]
fn tokens_come_by_post_too_or_do_not() {
    let registry = Registry::start();
    let bearer = Bearer {
        refresh_tokens: vec!["identity".to_owned()],
        field: "access_token",
        expires_in: Some(json!(-1)),
        ..Bearer::user("user", "p&ss")
    };
    registry.require(Auth::bearer(bearer.clone()));
    let seen = post(&registry, "grant_type=password&username=user&password=p%26ss");
    assert!(document(&seen)["access_token"].is_string());
    assert_eq!(document(&seen)["expires_in"], -1);
    assert_eq!(post(&registry, "grant_type=refresh_token&refresh_token=identity").status(), 200);
    assert_eq!(post(&registry, "grant_type=refresh_token&refresh_token=other").status(), 401);
    registry.require(Auth::bearer(Bearer { post_status: Some(405), ..bearer }));
    assert_eq!(post(&registry, "grant_type=password&username=user").status(), 405);
}

#[test]
fn tokens_can_come_from_another_server() {
    let (registry, issuer) = (Registry::start(), Registry::start());
    let realm = Some(issuer.url("/token"));
    registry.require(Auth::bearer(Bearer { realm, ..Bearer::public() }));
    issuer.give_tokens_for(&registry);
    let token = token(&issuer, "", "");
    assert_eq!(with(&registry, "/v2/", &token).status(), 200);
}

/// A request over TLS, or why it failed.
fn over_tls(registry: &Registry, tls: &Tls, own_certificate: bool) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls.ca_file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config =
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = if own_certificate {
        let chain = vec![CertificateDer::from_pem_file(tls.cert_file()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(tls.key_file()).unwrap();
        config.with_client_auth_cert(chain, key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(registry.address())?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn tls_serves_and_says_goodbye() {
    let tls = Tls::new();
    let answer = over_tls(&Registry::start_tls(&tls), &tls, false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn bad_certificates_are_bad_for_their_reason() {
    for (tls, reason) in [
        (Tls::expired(), "expired"),
        (Tls::wrong_name(), "not valid for"),
        (Tls::unknown_ca(), "UnknownIssuer"),
        (Tls::self_signed(), "UnknownIssuer"),
    ] {
        let error = over_tls(&Registry::start_tls(&tls), &tls, false).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn client_certificate_is_needed_where_it_is_wanted() {
    let tls = Tls::with_client_certificate();
    let registry = Registry::start_tls(&tls);
    assert!(over_tls(&registry, &tls, false).is_err());
    assert!(over_tls(&registry, &tls, true).is_ok());
}

#[test]
fn mute_listener_never_answers() {
    let registry = Registry::mute();
    let seen = Client::connect(registry.address()).get("/v2/");
    assert_eq!(seen.ending, client::Ending::Silence);
}

#[test]
fn proxy_leads_to_its_target_and_remembers_it() {
    let (registry, proxy) = (Registry::start(), Proxy::with_login("user", "pass"));
    proxy.detour("registry.test:80", registry.address());
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.send("CONNECT", "registry.test:80", &[], b"").status(), 407);
    let mut client = Client::connect(proxy.address());
    let login = [("Proxy-Authorization", "Basic dXNlcjpwYXNz")];
    assert_eq!(client.send_head("CONNECT", "registry.test:80", &login).status(), 200);
    assert_eq!(client.get("/v2/").status(), 200);
    assert_eq!(proxy.targets(), ["registry.test:80", "registry.test:80"]);
}
