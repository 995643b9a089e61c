//! Images that windlass sends, read back by skopeo; and logins that each takes from the other.

use std::fs;

use tempfile::TempDir;

use crate::fixture::{self, child, index_digest};
use crate::registry::{PASSWORD, Registry, USER, busybox};
use crate::tls::Authority;
use crate::token::Tokens;
use crate::tool::Tool;
use crate::windlass::Windlass;

/// The fixture in a store, with all its platforms.
fn stocked() -> (Windlass, String) {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["pull", "--all-platforms", &name]).ok();
    (windlass, name)
}

/// What skopeo finds under `name` is the fixture, every blob of it.
#[track_caller]
fn is_the_fixture(name: &str, access: &[&str]) {
    let folder = TempDir::new().unwrap();
    let to = format!("dir:{}", folder.path().join("copy").display());
    Tool::new("skopeo", folder.path())
        .args(&["--insecure-policy", "copy", "--all", "--preserve-digests"])
        .args(access)
        .args(&[&format!("docker://{name}"), &to])
        .run()
        .ok();
    let manifest = fs::read(folder.path().join("copy/manifest.json")).unwrap();
    assert!(manifest == fixture::blob(&index_digest()), "the index is as it was");
    for architecture in ["amd64", "arm64"] {
        for blob in child(architecture).blobs() {
            let hex = blob.strip_prefix("sha256:").unwrap();
            let copied = fs::read(folder.path().join("copy").join(hex)).unwrap();
            assert!(copied == fixture::blob(&blob), "{blob} is as it was");
        }
    }
}

const OPEN: &[&str] = &["--src-tls-verify=false"];

#[test]
fn push_of_an_index_is_read_back_by_skopeo_byte_for_byte() {
    let (windlass, name) = stocked();
    let registry = Registry::open();
    let to = format!("{}/team/busybox:1.35", registry.host);
    let answer = format!("{to}@{}\n", index_digest());
    windlass.run(&["push", &name, &to]).ok().prints(&answer);
    is_the_fixture(&to, OPEN);
    let again = windlass.run(&["push", "-v", "-v", &name, &to]).ok().prints(&answer);
    assert!(!again.stderr.contains("POST") && !again.stderr.contains("PUT"), "{}", again.story());
    let other = format!("{}/other/busybox:1", registry.host);
    windlass.run(&["tag", &name, &to]).ok();
    let mounted = windlass.run(&["push", "-v", "-v", &name, &other]).ok();
    let sent = mounted.stderr.lines().filter(|it| it.contains("PUT") && it.contains("/uploads/"));
    assert_eq!(sent.count(), 0, "{}", mounted.story());
    assert!(mounted.stderr.contains("mount=sha256"), "{}", mounted.story());
    is_the_fixture(&other, OPEN);
}

#[test]
fn push_of_one_platform_is_that_image_alone() {
    let (windlass, name) = stocked();
    let registry = Registry::open();
    let to = format!("{}/busybox:arm", registry.host);
    let arm = child("arm64");
    let ran = windlass.run(&["push", "--platform=linux/arm64", &name, &to]).ok();
    ran.prints(&format!("{to}@{}\n", arm.digest()));
    assert_eq!(registry.raw(&to), arm.bytes);
}

#[test]
fn login_is_taken_over_by_skopeo_and_skopeos_by_windlass() {
    let (windlass, name) = stocked();
    let registry = Registry::with_password();
    let to = busybox(&registry.host);
    windlass.run(&["push", &name, &to]).exits(4).prints("").says("UNAUTHORIZED");
    let args = ["login", &registry.host, "-u", USER, "--password-stdin"];
    windlass.tool(&args).stdin(b"wrong-staple").run().exits(4).never_says("wrong-staple");
    windlass.tool(&args).stdin(PASSWORD.as_bytes()).run().ok().prints("").never_says(PASSWORD);
    windlass.run(&["push", &name, &to]).ok();
    let ours = windlass.home.path().join(".docker/config.json");
    is_the_fixture(&to, &["--src-tls-verify=false", "--src-authfile", ours.to_str().unwrap()]);
    windlass.run(&["logout", &registry.host]).ok();
    windlass.run(&["tags", &format!("{}/library/busybox", registry.host)]).exits(4);

    let theirs = windlass.home.path().join("auth.json");
    let authfile = format!("--authfile={}", theirs.display());
    Tool::new("skopeo", windlass.home.path())
        .args(&["login", "--tls-verify=false", &authfile, "-u", USER, "--password-stdin"])
        .arg(&registry.host)
        .stdin(PASSWORD.as_bytes())
        .run()
        .ok();
    let to = format!("{}/again:1", registry.host);
    windlass.run(&["push", &authfile, &name, &to]).ok();
    windlass.run(&["logout", &authfile, &registry.host]).ok().says("logged out");
    windlass.run(&["tags", &authfile, &format!("{}/again", registry.host)]).exits(4);
}

#[test]
fn push_speaks_tls() {
    let authority = Authority::new();
    let (windlass, name) = stocked();
    let registry = Registry::with_tls(&authority);
    let to = busybox(&registry.host);
    windlass.run(&["push", &name, &to]).exits(5).prints("");
    windlass.run(&["push", "--ca-file", &authority.ca(), &name, &to]).ok();
    is_the_fixture(&to, &["--src-cert-dir", &authority.folder_of_ca()]);
}

#[test]
fn push_gets_tokens_for_what_it_does() {
    let authority = Authority::new();
    let tokens = Tokens::signed_by(&authority);
    let (windlass, name) = stocked();
    let registry = Registry::with_tokens(&tokens, &authority);
    let to = busybox(&registry.host);
    let trust = format!("--trust-realm={}", tokens.realm.split('/').nth(2).unwrap());
    let denied = windlass.run(&["push", &trust, &name, &to]).exits(4).prints("");
    denied.says("asked for repository:library/busybox:pull,push as nobody");
    let login = ["login", &trust, &registry.host, "-u", USER, "--password-stdin"];
    windlass.tool(&login).stdin(b"wrong").run().exits(4).says("incorrect password");
    windlass.tool(&login).stdin(PASSWORD.as_bytes()).run().ok();
    windlass.run(&["push", &trust, &name, &to]).ok();
    let other = format!("{}/other:1", registry.host);
    windlass.run(&["tag", &name, &to]).ok();
    let mounted = windlass.run(&["push", "-v", "-v", &trust, &name, &other]).ok();
    assert!(mounted.stderr.contains("mount=sha256"), "{}", mounted.story());
    let asked = tokens.asked();
    let both = "repository:other:pull,push repository:library/busybox:pull as true";
    assert!(asked.iter().any(|it| it == both), "{asked:?}");
    let digest = format!("{}/other@{}", registry.host, index_digest());
    windlass.run(&["delete", &trust, &digest]).ok().prints(&format!("{digest}\n"));
    windlass.run(&["digest", &trust, &other]).exits(3);
}

#[test]
fn delete_removes_an_image_and_says_what_cannot_be_removed() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["delete", &name]).exits(1).prints("").says("does not remove a tag alone");
    let repository = format!("{}/library/busybox", registry.host);
    let digest = format!("{repository}@{}", index_digest());
    windlass.run(&["delete", &digest]).ok().prints(&format!("{digest}\n"));
    windlass.run(&["digest", &name]).exits(3);
    windlass.run(&["delete", &digest]).exits(3).says("MANIFEST_UNKNOWN");
}

#[test]
fn push_that_is_killed_is_completed_by_the_next_one() {
    let (windlass, name) = stocked();
    let registry = Registry::open();
    let to = format!("{}/killed:1", registry.host);
    for after in [5, 20, 40, 80] {
        let log = windlass.home.path().join("log");
        let mut running = windlass.tool(&["push", "-v", "-v", "--jobs=1", &name, &to]).start(&log);
        running.wait_for(|said| (said.lines().count() >= after).then_some(()));
        drop(running);
    }
    windlass.run(&["push", &name, &to]).ok();
    is_the_fixture(&to, OPEN);
    let left = fs::read_dir(windlass.store().join(".windlass/upload")).unwrap().count();
    assert_eq!(left, 0, "nothing is left to be remembered");
}
