use std::os::unix::fs::symlink;

use super::{BASIC, PASSWORD, asked, assert_told_nothing, logins, write_private};
use crate::support::{Auth, Bearer, Image, Output, Registry, Windlass};

/// A user whose docker keeps logins in the helper `fake`, which does as `script` says.
///
/// The program is the shell itself, which reads the script `get` from the current folder: a file
/// that was just written cannot be run while another thread starts a process.
fn user_with_helper(config: &str, script: &str) -> Windlass {
    let windlass = Windlass::new();
    write_private(&windlass, "docker/config.json", config);
    windlass.scratch.write("get", format!("cat > asked\n{script}\n"));
    windlass.scratch.write("bin/README", "");
    symlink("/bin/sh", windlass.scratch.join("bin/docker-credential-fake")).unwrap();
    windlass
}

#[track_caller]
fn pull(windlass: &Windlass, name: &str) -> Output {
    let path = format!("{}:/usr/bin:/bin", windlass.scratch.text("bin"));
    let run = windlass.command(&["pull", name, "--retries=1", "-vv"]).env("PATH", path);
    run.run().never_says(PASSWORD)
}

fn registry(public: bool) -> (Registry, String) {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    registry.require(match public {
        true => Auth::bearer(Bearer::public()),
        false => Auth::basic("me", PASSWORD),
    });
    (registry, name)
}

fn helper_of(host: &str) -> String {
    format!("{{\"credHelpers\":{{\"{host}\":\"fake\"}}}}")
}

const STORE: &str = "{\"credsStore\":\"fake\"}";

#[test]
fn helper_is_asked_for_the_registry_and_its_login_used() {
    let (registry, name) = registry(false);
    let found = format!("echo '{{\"Username\":\"me\",\"Secret\":\"{PASSWORD}\"}}'");
    for config in [helper_of(&registry.host()), STORE.to_owned()] {
        let windlass = user_with_helper(&config, &found);
        pull(&windlass, &name).success();
        assert_eq!(windlass.scratch.read("asked"), registry.host().as_bytes());
        assert!(asked(&registry).iter().any(|line| line.ends_with(BASIC)));
    }
    let token = format!("echo '{{\"Username\":\"<token>\",\"Secret\":\"{PASSWORD}\"}}'");
    let refresh_tokens = vec![PASSWORD.to_owned()];
    registry.require(Auth::bearer(Bearer { refresh_tokens, ..Bearer::default() }));
    pull(&user_with_helper(STORE, &token), &name).success();
    assert_eq!(registry.count("POST /token"), 1);
}

#[test]
fn helper_that_does_not_work_keeps_nobody_from_public_images_and_is_named_for_private_ones() {
    let other = format!("\"other.test\":{{\"username\":\"me\",\"password\":\"{PASSWORD}\"}}");
    let hub = format!(
        "\"https://index.docker.io/v1/\":{{\"username\":\"me\",\"password\":\"{PASSWORD}\"}}"
    );
    for (helper, script, why) in [
        ("gone", "", "`docker-credential-gone`: it is not in PATH"),
        ("fake", "exit 1", "`docker-credential-fake`: it failed without saying why"),
        ("fake", "echo locked; exit 1", "`docker-credential-fake`: it failed: locked"),
        ("fake", "echo nonsense", "its answer is not what Docker expects"),
        ("fake", "", "its answer is not what Docker expects"),
        ("fake", "kill -9 $$", "`docker-credential-fake`: it failed without saying why"),
        ("../../bin/sh", "", "its name has more than letters"),
        ("fake", "head -c 100000 /dev/zero", "its answer is longer than"),
        (
            "fake",
            "echo '{\"Username\":\"me\",\"Secret\":\"hunter2-marker\"}'; exit 1",
            "`docker-credential-fake`: it failed",
        ),
    ] {
        let config = format!("{{\"auths\":{{{other},{hub}}},\"credsStore\":\"{helper}\"}}");
        let (public, name) = registry(true);
        let windlass = user_with_helper(&config, script);
        let output = pull(&windlass, &name).success();
        let warning = format!("warning: going on without credentials for {}", public.host());
        assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
        output.says(why);
        assert!(asked(&public).iter().all(|line| !line.contains("Basic")));

        let (private, name) = registry(false);
        let output = pull(&user_with_helper(&config, script), &name).exits(4).prints("");
        let error = output.stderr.lines().find(|line| line.starts_with("windlass: pulling"));
        assert!(error.unwrap().contains(why), "{output}");
        assert_told_nothing(&private);
    }
}

#[test]
fn helper_that_does_not_know_the_registry_says_nothing_of_it() {
    let (registry, name) = registry(true);
    let unknown = "echo 'credentials not found in native keychain'; exit 1";
    let windlass = user_with_helper(STORE, unknown);
    pull(&windlass, &name).success().never_says("warning");
    let mine = logins(&[(&registry.host(), &super::as_user("me"))]);
    let config = mine.replacen('{', "{\"credsStore\":\"fake\",", 1);
    registry.require(Auth::basic("me", PASSWORD));
    pull(&user_with_helper(&config, unknown), &name).success();
}

#[test]
fn helper_of_another_registry_is_not_asked() {
    let (_registry, name) = registry(true);
    let windlass = user_with_helper(&helper_of("other.test"), "exit 1");
    pull(&windlass, &name).success().never_says("warning");
    assert!(!windlass.scratch.join("asked").exists());
    let store_too = "{\"credHelpers\":{\"other.test\":\"gone\"},\"credsStore\":\"fake\"}";
    let windlass = user_with_helper(store_too, "echo 'credentials not found'; exit 1");
    pull(&windlass, &name).success().never_says("gone");
    assert!(windlass.scratch.join("asked").exists());
}
