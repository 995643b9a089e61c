//! A registry that lets in those who are in its htpasswd file.

use std::fs;

use serde_json::json;

use crate::fixture::index_digest;
use crate::registry::{PASSWORD, Registry, USER, busybox};
use crate::windlass::Windlass;

/// base64 of `USER:PASSWORD`, as config.json has it.
const ENCODED: &str = "ZmV0Y2hlcjpjb3JyZWN0OmhvcnNl";

#[test]
fn pull_takes_credentials_from_stdin_and_never_shows_them() {
    let (registry, windlass) = (Registry::with_password().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass
        .tool(&["pull", "-v", "-v", "--creds-stdin", &name])
        .stdin(format!("{USER}:{PASSWORD}\n").as_bytes())
        .run()
        .ok()
        .prints(&format!("{name}@{}\n", index_digest()))
        .never_says(PASSWORD)
        .never_says(ENCODED);
    windlass.copied(&name);
}

#[test]
fn pull_takes_credentials_from_dockers_config() {
    let (registry, windlass) = (Registry::with_password().filled(), Windlass::new());
    let name = busybox(&registry.host);
    let answer = format!("{name}@{}\n", index_digest());
    let folder = windlass.home.path().join("docker");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("config.json");
    fs::write(&file, json!({"auths": {&registry.host: {"auth": ENCODED}}}).to_string()).unwrap();

    let ran = windlass.run(&["pull", "-v", "-v", "--authfile", file.to_str().unwrap(), &name]);
    ran.ok().prints(&answer).never_says(PASSWORD).never_says(ENCODED);
    windlass.tool(&["pull", &name]).env("DOCKER_CONFIG", &folder).run().ok().prints(&answer);
    windlass.tool(&["pull", &name]).env("REGISTRY_AUTH_FILE", &file).run().ok().prints(&answer);
}

#[test]
fn pull_without_credentials_is_not_allowed_and_says_what_helps() {
    let (registry, windlass) = (Registry::with_password().filled(), Windlass::new());
    let ran = windlass.run(&["pull", &busybox(&registry.host)]).exits(4).prints("");
    ran.says("UNAUTHORIZED").says("--creds-stdin");
    windlass.run(&["list"]).ok().never_says("busybox");
}

#[test]
fn pull_with_wrong_credentials_is_not_allowed_and_does_not_show_them() {
    let (registry, windlass) = (Registry::with_password().filled(), Windlass::new());
    windlass
        .tool(&["pull", "--creds-stdin", &busybox(&registry.host)])
        .stdin(format!("{USER}:wrong-staple").as_bytes())
        .run()
        .exits(4)
        .prints("")
        .never_says("wrong-staple");
}
