use serde_json::Value;

use crate::support::{Auth, Fault, Image, Registry, Windlass};

#[track_caller]
fn check(fault: Fault, status: i32, word: &str) {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.fail_always("/v2/box/manifests/*", fault);
    let windlass = Windlass::new();
    let args = ["pull", &name, "--retries", "1", "--retry-max-wait", "1"];
    let output = windlass.run(&args).exits(status).prints("");
    assert!(output.stderr.contains(&format!("windlass: pulling {name}: ")), "{output}");
    let output = windlass.run(&[&args[..], &["--json"]].concat()).exits(status).prints("");
    let line = output.stderr.lines().last().unwrap();
    let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{output}"));
    assert_eq!(object["kind"], word, "{output}");
    assert_eq!(object["exit"], status);
    assert!(object["error"].as_str().unwrap().starts_with(&format!("pulling {name}: ")));
}

#[test]
fn exit_codes_follow_what_went_wrong() {
    check(Fault::Status(404), 3, "registry");
    check(Fault::Status(403), 4, "registry");
    check(Fault::Status(418), 1, "registry");
    check(Fault::Status(429), 6, "registry");
    check(Fault::Status(503), 5, "registry");
    check(Fault::Close, 5, "network");
    check(Fault::Body(b"<html>".to_vec()), 7, "content");
}

#[test]
fn registrys_own_code_is_told() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let name = registry.name("box:2");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).exits(3).says("MANIFEST_UNKNOWN");
    let output = windlass.run(&["pull", &name, "--json"]).exits(3);
    let object: Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(object["status"], 404);
    assert_eq!(object["code"], "MANIFEST_UNKNOWN");
    assert_eq!(object["attempts"], 1);
}

#[test]
fn login_that_is_missing_or_wrong_is_exit_4_with_what_helps() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(Auth::basic("me", "hunter2"));
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).exits(4).says("help: ").says("--creds-stdin");
    let with = |login: &str| windlass.command(&["pull", &name, "--creds-stdin"]).stdin(login).run();
    with("me:wrong1234\n").exits(4).never_says("wrong1234");
    with("me:hunter2\n").success().never_says("hunter2");
    windlass.run(&["digest", &name, "--anonymous"]).exits(4);
}

#[test]
fn full_store_path_is_told_as_this_machines_trouble() {
    let windlass = Windlass::new();
    windlass.run(&["list", "--store", "/dev/null"]).exits(8).says("`/dev/null`");
    windlass.run(&["pull", "a.invalid/a", "--store", "/dev/null"]).exits(8);
}
