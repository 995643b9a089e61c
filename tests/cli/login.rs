use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Auth, Bearer, Image, Output, Registry, Run, Windlass};

const ENCODED: &str = "bWU6aHVudGVyMg==";

fn login(windlass: &Windlass, host: &str, password: &str) -> Run {
    let args = ["login", host, "-u", "me", "--password-stdin", "-vv"];
    windlass.command(&args).stdin(format!("{password}\n"))
}

fn config(windlass: &Windlass) -> Value {
    serde_json::from_slice(&windlass.scratch.read("docker/config.json")).unwrap()
}

fn closed(auth: Auth) -> Registry {
    let registry = Registry::start();
    registry.require(auth);
    registry
}

fn quiet(output: Output) -> Output {
    output.prints("").never_says("hunter2").never_says(ENCODED)
}

/// A helper that keeps logins in files, or fails.
fn helper(windlass: &Windlass, script: &str) -> String {
    let path = windlass.scratch.write("bin/docker-credential-test", "");
    fs::remove_file(&path).unwrap();
    let mut options = fs::File::options();
    let mut file = options.write(true).create_new(true).mode(0o755).open(&path).unwrap();
    std::io::Write::write_all(&mut file, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    format!("{}:/usr/bin:/bin", path.parent().unwrap().display())
}

#[test]
fn login_is_tried_and_kept_for_every_other_command() {
    for auth in [Auth::basic("me", "hunter2"), Auth::bearer(Bearer::user("me", "hunter2"))] {
        let (registry, windlass) = (closed(auth), Windlass::new());
        let host = registry.host();
        let image = Image::small();
        let name = registry.push(&image, "box:1");
        windlass.run(&["pull", &name]).exits(4).says("`windlass login`");
        let output = quiet(login(&windlass, &host, "hunter2").run().success());
        output.says(&format!("logged in to {host} as me, kept in `"));
        assert_eq!(config(&windlass), json!({"auths": {&host: {"auth": ENCODED}}}));
        let path = windlass.scratch.join("docker/config.json");
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o600);
        assert_eq!(mode(path.parent().unwrap()) & 0o777, 0o700);
        windlass.run(&["pull", &name]).success();
        windlass.run(&["push", &name, &registry.name("other:1")]).success();
        windlass.run(&["logout", &host]).success().prints("").says("logged out of");
        assert_eq!(config(&windlass), json!({"auths": {}}));
        windlass.run(&["tags", &registry.name("box")]).exits(4);
        windlass.run(&["logout", &host]).success().says("there was no login");
    }
}

#[test]
fn login_that_is_refused_is_not_kept() {
    for auth in [Auth::basic("me", "hunter2"), Auth::bearer(Bearer::user("me", "hunter2"))] {
        let (registry, windlass) = (closed(auth), Windlass::new());
        windlass.scratch.write("docker/config.json", "{\"x\":1}");
        let output = login(&windlass, &registry.host(), "wrong").run().exits(4).prints("");
        output.says("401").never_says("wrong");
        assert_eq!(windlass.scratch.read("docker/config.json"), b"{\"x\":1}");
    }
    // What anybody may have is not taken for a yes to the login.
    let mut bearer = Bearer::user("me", "hunter2");
    bearer.public = vec!["*".into()];
    let (registry, windlass) = (closed(Auth::bearer(bearer)), Windlass::new());
    login(&windlass, &registry.host(), "wrong").run().exits(4).prints("");
    assert!(!windlass.scratch.join("docker").join("config.json").exists());
}

#[test]
fn registry_that_asks_for_no_login_is_told_of() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let output = quiet(login(&windlass, &registry.host(), "hunter2").run().success());
    output.says("asks for no login");
    assert_eq!(config(&windlass)["auths"][registry.host()]["auth"], ENCODED);
    assert!(registry.requests().iter().all(|it| it.header("authorization").is_none()));
}

#[test]
fn other_settings_are_kept_as_they_are() {
    let (registry, windlass) = (closed(Auth::basic("me", "hunter2")), Windlass::new());
    let host = registry.host();
    let before = format!(
        r#"{{"HttpHeaders":{{"b":1,  "a":2}},"auths":{{"r.io":{{"auth":"eA==","email":"x"}},"http://{host}/v1/":{{"auth":"b2xkOm9sZA=="}}}},"plugins":{{"z":{{}}}}}}"#
    );
    windlass.scratch.write("docker/config.json", before);
    login(&windlass, &host, "hunter2").run().success();
    let text = String::from_utf8(windlass.scratch.read("docker/config.json")).unwrap();
    assert!(text.contains(r#""HttpHeaders": {"b":1,  "a":2}"#), "{text}");
    let config = config(&windlass);
    let auths = json!({"r.io": {"auth": "eA==", "email": "x"}, host: {"auth": ENCODED}});
    assert_eq!(config["auths"], auths, "the old spelling would come first or be stale");
    assert_eq!(config["plugins"], json!({"z": {}}));
}

#[test]
fn file_is_chosen_as_docker_and_podman_do() {
    let (registry, windlass) = (closed(Auth::basic("me", "hunter2")), Windlass::new());
    let host = registry.host();
    let (a, b) = (windlass.scratch.text("new/a.json"), windlass.scratch.text("b.json"));
    let args = ["login", &host, "-u", "me", "--password-stdin", "--authfile", &a];
    windlass.command(&args).stdin("hunter2").run().success();
    login(&windlass, &host, "hunter2").env("REGISTRY_AUTH_FILE", &b).run().success();
    for path in ["new/a.json", "b.json"] {
        let config: Value = serde_json::from_slice(&windlass.scratch.read(path)).unwrap();
        assert_eq!(config["auths"][&host]["auth"], ENCODED);
    }
    assert!(!windlass.scratch.join("docker").exists());
    windlass.run(&["logout", &host, "--authfile", &a]).success();
    let config: Value = serde_json::from_slice(&windlass.scratch.read("new/a.json")).unwrap();
    assert_eq!(config["auths"], json!({}));
}

#[test]
fn link_stays_a_link_and_what_it_leads_to_is_nobody_elses() {
    let (registry, windlass) = (closed(Auth::basic("me", "hunter2")), Windlass::new());
    let target = windlass.scratch.write("secrets/real.json", "{}");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(windlass.scratch.join("docker")).unwrap();
    let link = windlass.scratch.join("docker/config.json");
    symlink("../secrets/real.json", &link).unwrap();
    login(&windlass, &registry.host(), "hunter2").run().success();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(windlass.scratch.files("secrets"), ["real.json"]);
    assert_eq!(config(&windlass)["auths"][registry.host()]["auth"], ENCODED);
}

#[test]
fn logins_at_once_are_all_kept() {
    let windlass = Windlass::new();
    let registries: Vec<Registry> = (0..8).map(|_| closed(Auth::basic("me", "hunter2"))).collect();
    thread::scope(|scope| {
        for registry in &registries {
            let run = login(&windlass, &registry.host(), "hunter2");
            scope.spawn(|| run.run().success());
        }
    });
    let config = config(&windlass);
    for registry in &registries {
        assert_eq!(config["auths"][registry.host()]["auth"], ENCODED);
    }
    assert_eq!(windlass.scratch.files("docker"), ["config.json"]);
}

#[test]
fn helper_keeps_the_login_if_one_is_configured() {
    let (registry, windlass) = (closed(Auth::basic("me", "hunter2")), Windlass::new());
    let host = registry.host();
    let script = r#"cd "$(dirname "$0")"; case $1 in
        store) cat > kept ;;
        get) test "$(cat)" = "$(cat host)" && test -f kept && sed 's/"ServerURL":"[^"]*",//' kept || { echo credentials not found in native keychain; exit 1; } ;;
        erase) cat > erased; rm kept ;;
    esac"#;
    let path = helper(&windlass, script);
    windlass.scratch.write("bin/host", &host);
    windlass.scratch.write("docker/config.json", r#"{"credsStore":"test"}"#);
    let output = login(&windlass, &host, "hunter2").env("PATH", &path).run().success();
    quiet(output).says("kept by `docker-credential-test`");
    let kept: Value = serde_json::from_slice(&windlass.scratch.read("bin/kept")).unwrap();
    assert_eq!(kept, json!({"ServerURL": host, "Username": "me", "Secret": "hunter2"}));
    assert_eq!(config(&windlass), json!({"credsStore": "test", "auths": {&host: {}}}));
    let name = registry.push(&Image::small(), "box:1");
    windlass.command(&["pull", &name]).env("PATH", &path).run().success();
    windlass.command(&["logout", &host]).env("PATH", &path).run().success();
    assert_eq!(windlass.scratch.read("bin/erased"), host.as_bytes());
    assert_eq!(config(&windlass), json!({"credsStore": "test", "auths": {}}));
    let output = windlass.command(&["logout", &host]).env("PATH", &path).run().success();
    output.says("there was no login");
}

#[test]
fn helper_that_does_not_work_ends_a_login() {
    let (registry, windlass) = (closed(Auth::basic("me", "hunter2")), Windlass::new());
    let path = helper(&windlass, "echo the keychain is locked; exit 1");
    for (name, why) in [("test", "the keychain is locked"), ("missing", "not in PATH")] {
        let text = format!(r#"{{"credsStore":"{name}"}}"#);
        windlass.scratch.write("docker/config.json", &text);
        let output = login(&windlass, &registry.host(), "hunter2").env("PATH", &path).run();
        let output = output.exits(4).says(why).says(&format!("docker-credential-{name}"));
        quiet(output);
        assert_eq!(windlass.scratch.read("docker/config.json"), text.as_bytes());
    }
}

#[test]
fn docker_hub_has_its_own_key() {
    let windlass = Windlass::new();
    windlass.scratch.write(
        "docker/config.json",
        r#"{"auths":{"https://index.docker.io/v1/":{"auth":"eDp5"},"docker.io":{"auth":"eDp6"},"docker.io/me":{"auth":"eDp3"}}}"#,
    );
    windlass.run(&["logout", "registry-1.docker.io"]).success().says("logged out of docker.io");
    assert_eq!(config(&windlass), json!({"auths": {"docker.io/me": {"auth": "eDp3"}}}));
}

#[test]
fn login_is_asked_for_in_one_way_only() {
    let windlass = Windlass::new();
    let refused = |args: &[&str], stdin: &str, why: &str| {
        let output = windlass.command(args).stdin(stdin).run().exits(2).prints("");
        output.says(why).never_says("hunter2");
    };
    refused(&["login", "r.io"], "", "--password-stdin");
    refused(&["login", "r.io", "-u", "me"], "hunter2", "--password-stdin");
    refused(&["login", "r.io", "--password-stdin"], "hunter2", "--username");
    refused(&["login", "r.io", "-u", "me", "--password-stdin"], "", "got nothing");
    refused(&["login", "r.io", "-u", "me", "--password-stdin"], "hunter2\nx\n", "several lines");
    refused(&["login", "alpine", "-u", "me", "--password-stdin"], "hunter2", "HOST");
    refused(&["login", "r.io", "-u", "me", "--password", "hunter2"], "", "unknown option");
    refused(&["logout", "r.io", "--creds-stdin"], "me:hunter2", "--creds-stdin");
}

#[test]
fn file_that_is_no_json_is_left_alone() {
    for text in ["{", "[]", r#"{"auths":{"a":{},"a":{}}}"#, r#"{"auths":[]}"#] {
        let (registry, windlass) = (closed(Auth::basic("me", "hunter2")), Windlass::new());
        windlass.scratch.write("docker/config.json", text);
        let output = login(&windlass, &registry.host(), "hunter2").run().exits(8);
        quiet(output).says("config.json");
        assert_eq!(windlass.scratch.read("docker/config.json"), text.as_bytes());
    }
}
