use windlass::endpoint::Source;
use windlass::error::{ErrorKind, Remedy};
use windlass::registry::{Credential, Credentials, Secret};

use super::{assert_kind, blob, name, read_all, remote, remote_with};
use crate::support::{Auth, Bearer, Fault, Image, Registry};

const BLOBS: &str = "GET /v2/box/blobs/*";

fn login() -> Credential {
    Credential::Basic { user: "me".into(), password: Secret::new("hunter2") }
}

fn own_login(registry: &Registry) -> Credentials {
    Credentials::anonymous().with(&registry.host(), login())
}

#[test]
fn token_is_asked_for_once_and_serves_all_requests() {
    let registry = Registry::start();
    registry.require(Auth::bearer(Bearer::public()));
    let (descriptor, content) = blob(&registry, 5000);
    registry.push(&Image::small(), "box:1");
    let remote = remote(&registry);
    remote.resolve(&name(&registry, "box:1")).unwrap();
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    assert_eq!(read_all(remote.open(&descriptor, 9)).unwrap(), content[9..]);
    assert_eq!((registry.count("/token*"), registry.count("/v2/*")), (1, 4));
}

#[test]
fn login_is_shown_to_those_who_ask() {
    for auth in [Auth::basic("me", "hunter2"), Auth::bearer(Bearer::user("me", "hunter2"))] {
        let registry = Registry::start();
        registry.require(auth);
        let (descriptor, content) = blob(&registry, 5000);
        let credentials = own_login(&registry);
        let remote = remote_with(&registry, |options| options.credentials = credentials);
        assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
        let first = &registry.requests()[0];
        assert!(first.header("authorization").is_none(), "nobody asked yet");
    }
}

#[test]
fn token_that_ends_in_the_middle_is_replaced() {
    let registry = Registry::start();
    registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    let (descriptor, content) = blob(&registry, 5000);
    let credentials = own_login(&registry);
    let remote = remote_with(&registry, |options| options.credentials = credentials);
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    registry.expire_tokens();
    assert_eq!(read_all(remote.open(&descriptor, 9)).unwrap(), content[9..]);
    assert_eq!(registry.tokens_given_out(), 2);
}

#[test]
fn refusal_has_the_registrys_words_and_ours() {
    let registry = Registry::start();
    registry.require(Auth::bearer(Bearer::user("me", "other")));
    let (descriptor, _) = blob(&registry, 10);
    let error = remote(&registry).open(&descriptor, 0).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Registry { status: 401, .. }), "{error:?}");
    assert_eq!(error.remedy(), Remedy::None);
    let text = error.to_string();
    assert!(text.contains(&format!("no credentials for {}", registry.host())), "{text}");

    let credentials = own_login(&registry);
    let remote = remote_with(&registry, |options| options.credentials = credentials);
    let error = remote.open(&descriptor, 0).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Registry { status: 401, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("the login for {} does not help", registry.host())), "{text}");
    assert!(!text.contains("hunter2"));
    assert_kind!(remote.head(&name(&registry, "box:1")), ErrorKind::Registry { status: 401, .. });
}

#[test]
fn authorization_stays_with_the_origin_that_asked_for_it() {
    for auth in [Auth::basic("me", "hunter2"), Auth::bearer(Bearer::user("me", "hunter2"))] {
        let (registry, storage) = (Registry::start(), Registry::start());
        registry.require(auth);
        let (descriptor, content) = blob(&registry, 5000);
        storage.put_file("/signed", content.clone());
        let credentials = own_login(&registry);
        let remote = remote_with(&registry, |options| options.credentials = credentials);
        read_all(remote.open(&descriptor, 0)).unwrap();
        let port = storage.address().port();
        let own_port = registry.address().port();
        for (location, served) in [
            (storage.url("/signed"), true),
            (format!("http://me:hunter2@127.0.0.1:{port}/signed"), true),
            (format!("http://localhost:{port}/signed"), true),
            // By another name the registry is a stranger too, and lets nobody in.
            (format!("http://localhost:{own_port}/v2/box/blobs/{}", descriptor.digest), false),
        ] {
            registry.forget();
            storage.forget();
            registry.fail_once(BLOBS, Fault::redirect(location.clone()));
            let read = read_all(remote.open(&descriptor, 0));
            assert_eq!(read.is_ok(), served, "{location}: {read:?}");
            registry.recover();
            let here = registry.requests_for(BLOBS);
            let told = here[0].header("authorization").unwrap();
            for request in here.iter().skip(1).chain(&storage.requests()) {
                // A token for nobody may be there: strangers give some out to everyone.
                assert_ne!(request.header("authorization"), Some(told), "{location}");
                assert!(!request.query.contains("hunter2"));
            }
        }
        // Led back by a stranger.
        registry.forget();
        registry.fail_once(BLOBS, Fault::redirect(storage.url("/back")));
        storage.fail_once("/back", Fault::redirect(registry.url("/files/x")));
        registry.put_file("/files/x", content.clone());
        assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
        let back = registry.requests_for("/files/x");
        assert!(back.iter().all(|request| request.header("authorization").is_none()));
    }
}

#[test]
fn redirect_to_another_registry_takes_the_login_stored_for_that_one() {
    let (registry, other) = (Registry::start(), Registry::start());
    other.require(Auth::basic("you", "swordfish"));
    let (descriptor, content) = blob(&registry, 5000);
    blob(&other, 5000);
    let path = format!("/v2/box/blobs/{}", descriptor.digest);
    registry.fail_always(BLOBS, Fault::redirect(other.url(&path)));
    let there = Credential::Basic { user: "you".into(), password: Secret::new("swordfish") };
    for (credentials, served) in
        [(own_login(&registry).with(&other.host(), there), true), (own_login(&registry), false)]
    {
        other.forget();
        let remote = remote_with(&registry, |options| options.credentials = credentials);
        assert_eq!(read_all(remote.open(&descriptor, 0)).ok(), served.then(|| content.clone()));
        let shown = other.requests().iter().any(|it| it.header("authorization").is_some());
        assert_eq!(shown, served);
    }
}

#[test]
fn realm_elsewhere_learns_nothing_unless_it_is_trusted() {
    let (registry, realm) = (Registry::start(), Registry::start());
    let bearer = Bearer { realm: Some(realm.url("/token")), ..Bearer::user("me", "hunter2") };
    registry.require(Auth::bearer(bearer));
    realm.give_tokens_for(&registry);
    let (descriptor, content) = blob(&registry, 5000);
    let with = |trusted: Vec<String>| {
        let credentials = own_login(&registry);
        remote_with(&registry, |options| {
            options.credentials = credentials;
            options.trusted_realms = trusted;
        })
    };
    let error = with(Vec::new()).open(&descriptor, 0).err().unwrap().to_string();
    assert!(error.contains(&format!("allow with --trust-realm {}", realm.host())), "{error}");
    let asked = realm.requests();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| request.header("authorization").is_none()));
    let trusting = with(vec![realm.host()]);
    assert_eq!(read_all(trusting.open(&descriptor, 0)).unwrap(), content);
}

#[test]
fn challenge_that_only_the_base_has_is_found() {
    let registry = Registry::start();
    let bearer = Bearer { challenge_at_base_only: true, ..Bearer::public() };
    registry.require(Auth::bearer(bearer));
    let (descriptor, content) = blob(&registry, 5000);
    assert_eq!(read_all(remote(&registry).open(&descriptor, 0)).unwrap(), content);
}

#[test]
fn trouble_of_the_token_server_may_pass() {
    let registry = Registry::start();
    registry.require(Auth::bearer(Bearer::public()));
    let (descriptor, content) = blob(&registry, 5000);
    let remote = remote(&registry);
    registry.fail_once("/token*", Fault::Status(503));
    let error = remote.open(&descriptor, 0).err().unwrap();
    assert_eq!(error.remedy(), Remedy::Resume);
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
}
