use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BASIC, PASSWORD, asked, logins, user_at, write_private};
use crate::support::{Auth, Bearer, Fault, Image, ImageBuilder, Registry, Rule, Windlass};

fn registry(bearer: Bearer) -> (Registry, String) {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::bearer(bearer));
    (registry, name)
}

#[track_caller]
fn pulls_with(bearer: Bearer) -> Registry {
    let (registry, name) = registry(bearer);
    let windlass = user_at(&registry.host());
    windlass.run(&["pull", &name, "--retries=2"]).success().never_says(PASSWORD);
    registry
}

#[test]
fn tokens_come_under_either_name_with_any_lifetime_or_none() {
    for field in ["token", "access_token"] {
        for expires_in in [
            None,
            Some(json!(300)),
            Some(json!("300")),
            Some(json!(300.5)),
            Some(json!(0)),
            Some(json!(-5)),
            Some(json!(null)),
            Some(json!("soon")),
            Some(json!([1])),
            Some(json!(1e300)),
            Some(json!(u64::MAX)),
        ] {
            let issued_at = Some("1970-01-01T00:00:00Z".to_owned());
            let me = Bearer::user("me", PASSWORD);
            let registry = pulls_with(Bearer { field, expires_in, issued_at, ..me });
            assert_eq!(registry.tokens_given_out(), 1);
        }
    }
}

#[test]
fn answers_without_a_usable_token_are_exit_7_and_not_shown() {
    let (registry, name) = registry(Bearer::public());
    for body in [
        "{}".to_owned(),
        String::new(),
        "<html>hunter2-marker".to_owned(),
        "{\"token\":\"\"}".to_owned(),
        "{\"token\":5,\"x\":\"hunter2-marker\"}".to_owned(),
        "{\"token\":\"hunter2-marker\\r\\nX: y\"}".to_owned(),
        "{\"token\":\"hunter2-marker\\u00e9\"}".to_owned(),
        format!("{{\"token\":\"{}\"}}", "hunter2-marker".repeat(10_000)),
    ] {
        registry.recover();
        registry.fail_always("/token", Fault::answer(200, &[], body));
        let output = Windlass::new().run(&["pull", &name, "--retries=1", "-vv"]).exits(7);
        output.says("asking http://").says(" for a token: its answer ").never_says("hunter2");
    }
}

#[test]
fn identity_tokens_are_posted_and_passwords_are_posted_where_get_is_not_known() {
    let (registry, name) = registry(Bearer {
        refresh_tokens: vec![PASSWORD.to_owned()],
        gives_refresh_token: Some("another".to_owned()),
        ..Bearer::user("me", PASSWORD)
    });
    for fields in [
        format!("\"identitytoken\":\"{PASSWORD}\""),
        format!("\"auth\":\"bWU6\",\"identitytoken\":\"{PASSWORD}\""),
        "\"auth\":\"PHRva2VuPjpodW50ZXIyLW1hcmtlcg==\"".to_owned(),
    ] {
        registry.forget();
        let windlass = Windlass::new();
        let file = logins(&[(&registry.host(), &fields)]);
        write_private(&windlass, "docker/config.json", &file);
        windlass.run(&["pull", &name]).success().never_says(PASSWORD);
        assert_eq!((registry.count("POST /token"), registry.count("GET /token")), (1, 0));
        assert!(registry.requests().iter().all(|request| !request.query.contains(PASSWORD)));
    }
    for status in [404, 405, 501] {
        registry.forget();
        registry.recover();
        registry.fail_always("GET /token", Fault::Status(status));
        user_at(&registry.host()).run(&["pull", &name]).success();
        assert_eq!(registry.count("POST /token"), 1, "{status}");
    }
    registry.recover();
    registry.forget();
    for status in [400, 401, 404, 405] {
        registry.require(Auth::bearer(Bearer {
            post_status: Some(status),
            ..Bearer::user("me", PASSWORD)
        }));
        user_at(&registry.host()).run(&["pull", &name]).success();
    }
    assert_eq!(registry.count("POST *"), 0, "a wrong password would count twice");
}

/// `bob`, whose login at that host is an identity token.
fn bob_at(host: &str) -> Windlass {
    let windlass = Windlass::new();
    let fields = format!("\"auth\":\"Ym9iOg==\",\"identitytoken\":\"{PASSWORD}\"");
    write_private(&windlass, "docker/config.json", &logins(&[(host, &fields)]));
    windlass
}

#[test]
fn identity_token_that_cannot_be_posted_is_got_with_as_a_password() {
    let (registry, name) = registry(Bearer::user("bob", PASSWORD));
    for status in [400, 401, 404, 405, 501] {
        registry.recover();
        registry.forget();
        registry.fail_always("POST /token", Fault::Status(status));
        let output = bob_at(&registry.host()).run(&["pull", &name, "--retries=1"]).success();
        output.never_says(PASSWORD).never_says("warning");
        assert_eq!((registry.count("POST /token"), registry.count("GET /token")), (1, 1));
    }
}

#[test]
fn stale_identity_token_does_not_keep_anybody_from_a_public_image() {
    let (public, name) = registry(Bearer::public());
    let (private, closed) = registry(Bearer::user("me", "another"));
    for status in [400, 401, 404, 405, 501] {
        public.recover();
        public.fail_always("POST /token", Fault::Status(status));
        let told = Rule::on("GET /token").only(|request| request.header("authorization").is_some());
        public.rule(told.fault(Fault::Status(status)));
        let output = bob_at(&public.host()).run(&["pull", &name, "--retries=1"]).success();
        output.says("going on without it").never_says(PASSWORD);

        private.recover();
        private.fail_always("POST /token", Fault::Status(status));
        let output = bob_at(&private.host()).run(&["pull", &closed, "--retries=1"]).exits(4);
        output.never_says(PASSWORD);
        private.fail_always("GET /token", Fault::Status(status));
        bob_at(&private.host()).run(&["pull", &closed, "--retries=1"]).exits(4);
    }
}

#[test]
fn registry_token_goes_to_the_registry_as_it_is() {
    let (registry, name) = registry(Bearer::default());
    let windlass = Windlass::new();
    let file = logins(&[(&registry.host(), "\"registrytoken\":\"hunter2-marker\"")]);
    write_private(&windlass, "docker/config.json", &file);
    windlass.run(&["pull", &name, "-vv"]).exits(4).never_says(PASSWORD);
    assert!(asked(&registry).iter().any(|line| line.ends_with(" Bearer hunter2-marker")));
    let told = registry.requests_for("/token");
    assert!(told.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn one_token_serves_all_requests_for_a_repository() {
    let registry = Registry::start();
    let layers = (0..40).fold(ImageBuilder::new(), |image, seed| image.layer_random(seed, 999));
    let name = registry.push(&layers.build(), "box:1");
    registry.require(Auth::bearer(Bearer::user("me", PASSWORD)));
    registry.fail_always("/token", Fault::Stall(Duration::from_millis(100)));
    user_at(&registry.host()).run(&["pull", &name, "-j16"]).success();
    assert_eq!(registry.tokens_given_out(), 1);
    let basic = asked(&registry).into_iter().filter(|line| line.ends_with(BASIC));
    assert_eq!(basic.collect::<Vec<_>>(), [format!("GET /token {BASIC}")]);
}

#[test]
fn tokens_that_die_in_mid_pull_are_renewed_and_nothing_is_fetched_twice() {
    let registry = Registry::start();
    let layers = (0..30).fold(ImageBuilder::new(), |image, seed| image.layer_random(seed, 9999));
    let image = layers.build();
    let name = registry.push(&image, "box:1");
    let me = || Bearer::user("me", PASSWORD);
    registry.require(Auth::bearer(Bearer { uses: Some(5), ..me() }));
    // More at once would use up a fresh token before its first use.
    let output = user_at(&registry.host()).run(&["pull", &name, "--retries=1", "-j2"]).success();
    output.never_says("warning").never_says("retrying");
    for layer in image.layers() {
        let blob = registry.requests_for(&format!("GET /v2/box/blobs/{}", layer.digest));
        assert_eq!(blob.iter().filter(|request| request.status == 200).count(), 1);
    }

    registry.require(Auth::bearer(Bearer { expires_in: Some(json!(1)), ..me() }));
    registry.rule(Rule::on("GET /v2/box/blobs/*").nth(9..10).fault(Fault::ExpireToken));
    registry.forget();
    let output = user_at(&registry.host()).run(&["pull", &name, "--retries=1"]).success();
    output.never_says("warning").never_says("retrying");
}

#[test]
fn login_itself_is_not_forgotten_when_the_token_server_has_trouble() {
    let (registry, name) = registry(Bearer::user("me", PASSWORD));
    for fault in [Fault::Status(503), Fault::Status(429), Fault::Close, Fault::Reset] {
        registry.recover();
        registry.fail_once("/token", fault);
        user_at(&registry.host()).run(&["pull", &name]).success().never_says("warning");
    }
    registry.fail_always("/token", Fault::Status(503));
    let output = user_at(&registry.host()).run(&["pull", &name, "--retries=1"]);
    output.exits(5).says("for a token: the registry answered 503");
}

#[test]
fn challenges_are_understood_in_every_form() {
    let (registry, name) = registry(Bearer::default());
    let realm = registry.url("/token");
    for challenge in [
        format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:box:pull\""),
        format!("bearer realm={realm}"),
        format!("BEARER REALM = \"{realm}\" , SERVICE = \"s\""),
        format!("Basic realm=\"x\", Bearer realm=\"{realm}\""),
        format!("Negotiate, Bearer realm=\"{realm}\",scope=\"*\",Basic realm=\"x\""),
        format!("Digest nonce=\"a,b\", Bearer realm=\"{realm}\""),
        "Bearer realm=\"/token\"".to_owned(),
        format!("Bearer service=\"x\", Bearer realm=\"{realm}\""),
        format!("Bearer realm=\"{realm}\",scope=\"\""),
        format!("Bearer realm=\"{realm}\",scope=\"{}\"", "repository:box:pull ".repeat(100)),
    ] {
        registry.forget();
        let challenge = Some(challenge.clone());
        registry.require(Auth::bearer(Bearer { challenge, ..Bearer::user("me", PASSWORD) }));
        let output = user_at(&registry.host()).run(&["pull", &name, "--retries=1"]).success();
        output.never_says(PASSWORD);
        let told = asked(&registry).into_iter().filter(|line| line.ends_with(BASIC));
        assert_eq!(told.collect::<Vec<_>>(), [format!("GET /token {BASIC}")]);
    }
    registry.require(Auth::basic("me", PASSWORD));
    for challenge in ["BASIC realm=\"Sonatype\"", "basic", "Negotiate, Basic realm=\"a,b\""] {
        registry.recover();
        let answer = Fault::header("WWW-Authenticate", challenge);
        registry.rule(Rule::on("/v2/*").once().fault(answer));
        user_at(&registry.host()).run(&["digest", &name]).success();
    }
    for challenge in ["Negotiate", "", "Bearer service=\"x\"", "\\\"=,,=\""] {
        registry.recover();
        let answer = Fault::header("WWW-Authenticate", challenge);
        registry.rule(Rule::on("/v2/*").fault(answer));
        user_at(&registry.host()).run(&["digest", &name]).exits(4).says("how to log in");
    }
}

#[test]
fn challenge_that_only_the_base_has_is_asked_for_there() {
    let me = Bearer::user("me", PASSWORD);
    let registry = pulls_with(Bearer { challenge_at_base_only: true, ..me });
    assert_eq!(registry.count("GET /v2/"), 1);
}

#[test]
fn token_servers_that_know_one_scope_or_ignore_scopes_do() {
    let me = || Bearer::user("me", PASSWORD);
    pulls_with(Bearer { first_scope_only: true, ..me() });
    pulls_with(Bearer { ignores_scope: true, ..me() });
    let registry = pulls_with(me());
    for request in registry.requests_for("GET /token") {
        assert_eq!(request.query_value("scope").as_deref(), Some("repository:box:pull"));
        assert_eq!(request.query_value("service").as_deref(), Some("registry.test"));
    }
}

#[test]
fn challenges_of_all_known_registries_lead_somewhere() {
    let (registry, name) = registry(Bearer::default());
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/challenges")).unwrap();
    for file in files {
        let path = file.unwrap().path();
        for challenge in fs::read_to_string(&path).unwrap().lines() {
            registry.recover();
            let headers = [("WWW-Authenticate", challenge)];
            registry.fail_always("/v2/*", Fault::answer(401, &headers, ""));
            // What is encrypted elsewhere is not asked by who speaks plain HTTP to a proxy that
            // leads nowhere.
            let proxy = format!("http://{}", Registry::free_address());
            let run = user_at(&registry.host());
            let run = run.command(&["digest", &name, "--retries=1"]).env("HTTPS_PROXY", proxy);
            let output = run.run().never_says(PASSWORD);
            let is_basic = challenge.to_ascii_lowercase().starts_with("basic");
            let expected = if is_basic { 4 } else { 5 };
            assert_eq!(output.status(), expected, "{}: {challenge}\n{output}", path.display());
        }
    }
}

#[test]
fn errors_of_the_token_server_are_told_in_json_too() {
    let (registry, name) = registry(Bearer { anonymous_status: Some(403), ..Bearer::default() });
    let output = Windlass::new().run(&["digest", &name, "--json"]).exits(4);
    let object: Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(object["status"], 401);
    assert_eq!(object["code"], "UNAUTHORIZED");
    let error = object["error"].as_str().unwrap();
    assert!(error.contains("DENIED: requested access to the resource is denied"), "{error}");
    assert!(error.contains(&format!("no credentials for {}", registry.host())), "{error}");
}
