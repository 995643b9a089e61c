use super::{MIB, POST, PUT, Scene};
use crate::support::{Auth, Bearer, Fault, Image, Location, Push, Registry, Rule, Tls};

const LOGIN: &str = "me:hunter2";

#[test]
fn who_may_not_push_hears_what_was_asked_for_and_as_whom() {
    let scene = Scene::of_size(1000);
    scene.registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    let asked = "asked for repository:box:pull,push as ";
    scene.fails(4, &format!("{asked}nobody in particular"), &[]).says("windlass login");
    let run = scene.command(&["--creds-stdin"]).stdin("me:wrong");
    run.run().exits(4).prints("").says(&format!("{asked}`me`")).never_says("wrong");
    scene.registry.require(Auth::basic("me", "hunter2"));
    let run = scene.command(&["--creds-stdin"]).stdin("me:wrong");
    run.run().exits(4).prints("").says(&format!("{asked}`me`")).never_says("wrong");
    assert_eq!(scene.registry.count(POST), 0);
}

#[test]
fn reader_who_may_not_write_is_told_by_the_registry() {
    let scene = Scene::of_size(1000);
    let body = r#"{"errors":[{"code":"DENIED","message":"you may only read"}]}"#;
    scene.registry.fail_always(POST, Fault::answer(403, &[], body));
    let output = scene.fails(4, "403 DENIED: you may only read", &["--jobs=1"]);
    output.says("asked for repository:box:pull,push");
    assert_eq!(scene.registry.count(POST), 1, "the smallest blob is first, and the only one tried");
}

#[test]
fn login_goes_to_the_registry_with_every_request_and_to_nobody_else() {
    let scene = Scene::of_size(2 * MIB);
    scene.registry.require(Auth::basic("me", "hunter2"));
    scene.command(&["--creds-stdin"]).stdin(LOGIN).run().success();
    scene.arrived();
    let scene = Scene::of_size(2 * MIB);
    let other = Registry::start();
    scene.registry.require(Auth::basic("me", "hunter2"));
    scene.registry.takes(Push { location: Location::At(other.url("")), ..Push::default() });
    scene.command(&["--creds-stdin", "--retries=2"]).stdin(LOGIN).run().exits(5);
    assert!(other.count("PUT *") > 0);
    assert!(other.requests().iter().all(|it| it.header("authorization").is_none()));
}

#[test]
fn upload_on_another_host_is_sent_without_a_login_and_committed() {
    let scene = Scene::of_size(2 * MIB);
    let storage = Registry::start();
    scene.registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    scene.registry.takes(Push { location: Location::At(storage.url("")), ..Push::default() });
    storage.fail_always("PUT *", Fault::Lost(201));
    scene.registry.rule(Rule::on("PUT */manifests/*").fault(Fault::answer(201, &[], "")));
    scene.command(&["--creds-stdin"]).stdin(LOGIN).run().success();
    let puts = storage.requests_for("PUT *");
    assert_eq!(puts.len(), 2);
    assert!(puts.iter().all(|it| it.header("authorization").is_none()));
    assert_eq!(puts.iter().map(|it| it.received).sum::<u64>(), scene.size());
}

#[test]
fn registry_that_says_it_has_what_it_never_read_is_not_believed() {
    let scene = Scene::of_size(2 * MIB);
    let large = |it: &crate::support::Request| {
        it.header("content-length").and_then(|it| it.parse::<u64>().ok()) > Some(MIB)
    };
    scene.registry.rule(Rule::on(PUT).only(large).once().fault(Fault::Early(201)));
    let output = scene.command(&[]).run().success();
    output.says("the registry answered 201 and does not have it");
    scene.arrived();
}

#[test]
fn upload_is_never_sent_where_it_would_not_be_encrypted_any_more() {
    let tls = Tls::new();
    let registry = Registry::start_tls(&tls);
    let plain = Registry::start();
    let scene = Scene::at(registry, Image::of_size(MIB));
    scene.registry.takes(Push { location: Location::At(plain.url("")), ..Push::default() });
    let ca = tls.ca_file();
    scene.fails(4, "it would give up encryption", &["--ca-file", ca.to_str().unwrap()]);
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn token_that_ends_in_the_middle_is_renewed_before_a_byte_is_sent() {
    let scene = Scene::of_size(2 * MIB);
    scene.registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    let large = |it: &crate::support::Request| {
        it.header("content-length").and_then(|it| it.parse::<u64>().ok()) > Some(MIB)
    };
    scene.registry.rule(Rule::on(PUT).only(large).once().fault(Fault::ExpireToken));
    scene.command(&["--creds-stdin"]).stdin(LOGIN).run().success();
    scene.arrived();
    // What is small is sent without asking whether it is wanted.
    let twice = scene.size() + scene.image.config().size();
    assert!(scene.sent() <= twice, "{}", scene.story());
}

#[test]
fn token_of_one_repository_is_not_used_for_another() {
    let scene = Scene::of_size(1000);
    scene.registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    let other = scene.registry.name("other:1");
    let list = scene
        .windlass
        .scratch
        .write("list", format!("{} {}\n{} {other}\n", scene.name, scene.to, scene.name));
    let args = ["push", "-f", list.to_str().unwrap(), "--creds-stdin"];
    scene.windlass.command(&args).stdin(LOGIN).run().success();
    let of = |path: &str| {
        let requests = scene.registry.requests_for(path);
        requests
            .iter()
            .filter_map(|it| it.header("authorization").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let (first, second) = (of("PUT /v2/box/*"), of("PUT /v2/other/*"));
    assert!(!first.is_empty() && !second.is_empty());
    assert!(first.iter().all(|token| !second.contains(token)));
}

#[test]
fn helper_that_does_not_work_ends_a_push_before_anything_is_sent() {
    let scene = Scene::of_size(1000);
    scene.windlass.scratch.write("docker/config.json", r#"{"credsStore":"missing"}"#);
    scene.fails(4, "docker-credential-missing", &[]);
    assert_eq!(scene.registry.requests_for("/v2/*").len(), 0);
}

#[test]
fn secrets_are_never_shown() {
    let scene = Scene::of_size(2 * MIB);
    scene.registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    scene.registry.takes(Push { location: Location::PathWithQuery, ..Push::default() });
    scene.registry.fail_times(3, PUT, Fault::Status(503));
    let run = scene.command(&["--creds-stdin", "-vvv"]).stdin(LOGIN);
    let output = run.run().success();
    output.never_says("hunter2").never_says("opaque-token").never_says("a%2Fb");
}
