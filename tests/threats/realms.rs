use super::{PASSWORD, World, as_user, asked, assert_told_nothing, logins, user_at, write_private};
use crate::support::{Auth, Bearer, Fault, Image, Registry, Rule, Windlass};

/// A registry whose realm is at another server: `me` may pull, and everybody if it is public.
fn with_realm_elsewhere(public: &[&str]) -> (Registry, Registry) {
    let (registry, evil) = (Registry::start(), Registry::start());
    registry.push(&Image::small(), "box:1");
    evil.give_tokens_for(&registry);
    registry.require(Auth::bearer(Bearer {
        realm: Some(evil.url("/token")),
        public: public.iter().map(|name| (*name).to_owned()).collect(),
        ..Bearer::user("me", PASSWORD)
    }));
    (registry, evil)
}

#[test]
fn realm_at_another_host_is_asked_as_nobody_and_that_is_enough_for_public_images() {
    let (registry, evil) = with_realm_elsewhere(&["box"]);
    let windlass = user_at(&registry.host());
    let output = windlass.run(&["pull", &registry.name("box:1")]).success();
    output.never_says(PASSWORD);
    assert_eq!(asked(&evil), ["GET /token"]);
    assert_told_nothing(&evil);
}

#[test]
fn realm_at_another_host_never_sees_the_login_unless_the_user_trusts_it() {
    let (registry, evil) = with_realm_elsewhere(&[]);
    let name = registry.name("box:1");
    let host = registry.host();
    for fields in [
        as_user("me"),
        "\"auth\":\"bWU6aHVudGVyMi1tYXJrZXI=\"".to_owned(),
        format!("\"identitytoken\":\"{PASSWORD}\""),
        format!("\"username\":\"<token>\",\"password\":\"{PASSWORD}\""),
    ] {
        evil.forget();
        let windlass = Windlass::new();
        write_private(&windlass, "docker/config.json", &logins(&[(&host, &fields)]));
        let output = windlass.run(&["pull", &name]).exits(4).prints("").never_says(PASSWORD);
        output.says(&format!(
            "realm http://{} is not registry http://{host}; allow with --trust-realm {}",
            evil.host(),
            evil.host()
        ));
        assert_eq!(evil.count("POST *"), 0);
        assert_told_nothing(&evil);
    }
    let windlass = user_at(&host);
    for trusted in ["localhost", &evil.host().replace("127.0.0.1", "localhost"), "127.0.0.1"] {
        evil.forget();
        windlass.run(&["pull", &name, "--trust-realm", trusted]).exits(4);
        assert_told_nothing(&evil);
    }
    windlass.run(&["pull", &name, "--trust-realm", &evil.host()]).success();
    assert!(asked(&evil).last().unwrap().ends_with(super::BASIC));
}

#[test]
fn realm_of_the_world_gets_the_login_only_if_it_is_the_registry() {
    let world = World::https();
    let away = Registry::start_tls(world.tls.as_ref().unwrap());
    world.proxy.detour("elsewhere.test:444", away.address());
    away.give_tokens_for(&world.registry);
    world.registry.push(&Image::small(), "box:1");
    let port = away.address().port();
    let refused = "is refused";
    for (realm, says) in [
        ("https://elsewhere.test/token".to_owned(), ""),
        ("https://ELSEWHERE.TEST.:443/token".to_owned(), ""),
        ("/token".to_owned(), ""),
        ("//elsewhere.test/token".to_owned(), ""),
        ("https://elsewhere.test:444/token".to_owned(), "--trust-realm elsewhere.test:444"),
        ("http://elsewhere.test/token".to_owned(), "it would give up encryption"),
        (format!("http://{}/token", away.host()), "it would give up encryption"),
        ("https://me:pw@elsewhere.test/token".to_owned(), refused),
        ("https://elsewhere.test@10.0.0.1/token".to_owned(), refused),
        ("https://elsewhere.test\\\\@10.0.0.1/token".to_owned(), refused),
        (format!("https://127.0.0.1:{port}/token"), "it leads to this machine"),
        (format!("https://[::ffff:127.0.0.1]:{port}/token"), "it leads to this machine"),
        (format!("https://localhost:{port}/token"), "it leads to this machine"),
        ("https://169.254.169.254/token".to_owned(), "it leads to a metadata service"),
        ("https://2852039166/token".to_owned(), "it leads to a metadata service"),
        ("https://[fd00:ec2::254]/token".to_owned(), "it leads to a metadata service"),
        ("https://0/token".to_owned(), "it leads to an unspecified address"),
        ("file:///etc/passwd".to_owned(), refused),
        ("gopher://elsewhere.test/token".to_owned(), refused),
    ] {
        away.forget();
        world.registry.forget();
        let challenge = Some(format!("Bearer realm=\"{realm}\",service=\"s\""));
        world.registry.require(Auth::bearer(Bearer { challenge, ..Bearer::user("me", PASSWORD) }));
        let output = world.pull(&user_at("elsewhere.test"), &[]).never_says(PASSWORD);
        if says.is_empty() {
            output.success();
            assert_eq!(world.registry.count("GET /token"), 1, "{realm}");
        } else {
            output.exits(4).says(says).prints("");
            let told = asked(&world.registry).join("\n");
            assert!(!told.contains("Basic"), "{told}");
        }
        assert_told_nothing(&away);
    }
}

#[test]
fn trust_in_a_realm_gives_up_neither_encryption_nor_the_metadata_services() {
    let world = World::https();
    let plain = Registry::start();
    world.proxy.detour("plain.test:80", plain.address());
    plain.give_tokens_for(&world.registry);
    world.registry.push(&Image::small(), "box:1");
    for (realm, trusted) in [
        ("http://plain.test/token", "plain.test"),
        ("https://169.254.169.254/token", "169.254.169.254"),
    ] {
        let realm = Some(realm.to_owned());
        world.registry.require(Auth::bearer(Bearer { realm, ..Bearer::user("me", PASSWORD) }));
        let windlass = user_at("elsewhere.test");
        let output = world.pull(&windlass, &["--trust-realm", trusted]);
        output.exits(4).says("is refused").never_says(PASSWORD);
    }
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn trust_realm_takes_a_host_and_nothing_else() {
    let windlass = Windlass::new();
    for text in ["https://auth.corp", "auth.corp/token", "me@auth.corp", "", "a b", "auth.corp:x"] {
        let output = windlass.run(&["pull", "a.invalid/a", "--trust-realm", text]);
        output.exits(2).says("--trust-realm").says("expected HOST");
    }
}

#[test]
fn login_is_not_carried_on_by_a_realm_that_redirects() {
    let (registry, away) = (Registry::start(), Registry::start());
    registry.push(&Image::small(), "box:1");
    away.give_tokens_for(&registry);
    for (fields, method) in
        [(as_user("me"), "GET"), (format!("\"identitytoken\":\"{PASSWORD}\""), "POST")]
    {
        registry.recover();
        registry.require(Auth::bearer(Bearer::user("me", PASSWORD)));
        let windlass = Windlass::new();
        let file = logins(&[(&registry.host(), &fields)]);
        write_private(&windlass, "docker/config.json", &file);
        for status in [301, 302, 303, 307, 308] {
            registry.recover();
            let location = away.url("/token?sig=hunter2-marker");
            registry.fail_always("/token", Fault::Redirect(status, location));
            let output = windlass.run(&["pull", &registry.name("box:1"), "--retries=1"]);
            output.exits(4).says("which is not followed").never_says("hunter2");
            assert!(registry.count(&format!("{method} /token")) > 0);
            assert_eq!(away.requests().len(), 0, "{status} {fields}");
        }
    }
}

#[test]
fn plain_registry_of_the_world_gets_no_login_unless_told() {
    let world = World::http();
    let name = format!("{}/box:1", world.name);
    world.registry.push(&Image::small(), "box:1");
    world.registry.require(Auth::basic("me", PASSWORD));
    let windlass = user_at("registry.test");
    world.pull(&windlass, &[]).success();
    world.registry.forget();
    let tls_wanted = windlass.command(&["pull", &name, "--retries=1"]);
    let tls_wanted = tls_wanted.env("HTTPS_PROXY", world.proxy.url());
    world.proxy.detour("registry.test:443", world.registry.address());
    tls_wanted.run().exits(5).never_says(PASSWORD);
    assert_eq!(world.registry.requests().len(), 0, "never plain by itself");
}

#[test]
fn registry_that_a_plain_redirect_leads_to_gets_no_login_unencrypted() {
    let world = World::http();
    let away = Registry::start();
    world.proxy.detour("other.test:80", away.address());
    let image = Image::small();
    world.registry.push(&image, "box:1");
    away.push(&image, "box:1");
    away.require(Auth::basic("me", PASSWORD));
    let location = "http://other.test/v2/box/manifests/1";
    world.registry.rule(Rule::on("/v2/box/manifests/*").fault(Fault::redirect(location)));
    let output = world.pull(&user_at("other.test"), &[]).exits(4);
    output.says("credentials are not sent to http://other.test: it is not encrypted");
    assert_told_nothing(&away);
}
