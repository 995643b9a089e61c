use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{MIB, POST, PUT, Scene};
use crate::support::{Auth, Bearer, Fault, Location, Push, Registry, Rule};

/// Of the uploads the big one.
fn layer(rule: Rule) -> Rule {
    rule.only(|it| it.header("content-length").and_then(|it| it.parse().ok()) > Some(4 * MIB))
}

/// A push of 16 MiB, killed when the registry has `kept` of them.
fn killed(scene: &Scene, kept: u64) {
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::HangKeeping(kept)));
    let running = scene.command(&[]).spawn();
    let arrived = || {
        let puts = scene.registry.requests_for(PUT);
        puts.iter().any(|it| it.received >= kept && it.received > MIB)
    };
    while !arrived() {
        std::thread::yield_now();
    }
    running.kill();
    running.wait().exits(137);
    assert!(scene.registry.tags("box").is_empty());
    scene.registry.forget();
}

#[test]
fn killed_push_goes_on_where_the_registry_has_got_to() {
    let scene = Scene::of_size(16 * MIB);
    scene.registry.takes(Push { location: Location::PathWithQuery, ..Push::default() });
    killed(&scene, 6 * MIB);
    let notes = scene.windlass.scratch.files("store/.windlass/upload");
    assert_eq!(notes.len(), 1);
    let path = scene.windlass.store().join(".windlass/upload").join(&notes[0]);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    scene.succeeds(&["-vv"]).never_says("a%2Fb");
    let puts = scene.registry.requests_for(PUT);
    assert_eq!(puts.iter().map(|it| it.received).sum::<u64>(), 10 * MIB, "{}", scene.story());
    assert_eq!(scene.registry.count(POST), 0, "what was small had arrived: {}", scene.story());
    assert!(scene.windlass.scratch.files("store/.windlass/upload").is_empty());
}

#[test]
fn killed_push_begins_anew_where_the_registry_has_forgotten_it() {
    for status in [404, 400, 403, 416] {
        let scene = Scene::of_size(16 * MIB);
        killed(&scene, 6 * MIB);
        scene.registry.fail_once("GET /v2/box/blobs/uploads/*", Fault::Status(status));
        scene.succeeds(&[]);
        assert_eq!(scene.registry.count(POST), 1, "{}", scene.story());
    }
}

#[test]
fn upload_that_was_complete_when_the_push_was_killed_is_not_sent_again() {
    let scene = Scene::of_size(16 * MIB);
    killed(&scene, 6 * MIB);
    scene.registry.put_blob("box", &scene.image.layers()[0].content);
    scene.succeeds(&[]);
    assert_eq!(scene.sent(), 0, "{}", scene.story());
    scene.windlass.run(&["gc", "--partials=0"]).success();
    assert!(scene.windlass.scratch.files("store/.windlass/upload").is_empty());
}

#[test]
fn what_is_remembered_of_one_registry_leads_to_no_other() {
    let scene = Scene::of_size(16 * MIB);
    let evil = Registry::start();
    killed(&scene, 6 * MIB);
    let notes = scene.windlass.scratch.files("store/.windlass/upload");
    let note = format!("store/.windlass/upload/{}", notes[0]);
    let text = String::from_utf8(scene.windlass.scratch.read(&note)).unwrap();
    let forged = text.replacen(
        &format!("\"url\":\"http://{}", scene.registry.host()),
        &format!("\"url\":\"http://{}", evil.host()),
        1,
    );
    assert_ne!(forged, text);
    scene.windlass.scratch.write(&note, forged);
    scene.registry.require(Auth::bearer(Bearer::user("me", "hunter2")));
    scene.command(&["--creds-stdin"]).stdin("me:hunter2").run().success();
    scene.arrived();
    assert!(evil.requests().iter().all(|it| it.header("authorization").is_none()));
}

#[test]
fn two_pushes_of_one_image_do_not_share_an_upload() {
    let scene = Scene::of_size(48 * MIB);
    // More is left than the kernel buffers: then it would wait for the answer to a commit.
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::HangKeeping(6 * MIB)));
    let first = scene.command(&["--stall-timeout=2"]).spawn();
    while scene.registry.count(PUT) < 2 {
        std::thread::yield_now();
    }
    scene.succeeds(&[]);
    first.wait().success();
    scene.arrived();
}
