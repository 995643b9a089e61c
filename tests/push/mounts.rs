use super::{MIB, PUT, Scene};
use crate::support::{Auth, Bearer, Fault, Image, Push, Registry};

/// An image that was pulled from another repository of the registry that it goes to.
fn pulled_from_the_same() -> Scene {
    let registry = Registry::start();
    let scene = Scene::at(registry, Image::of_size(MIB));
    let name = scene.registry.push(&scene.image, "origin:1");
    scene.windlass.run(&["pull", &name, "-q"]).success();
    scene.registry.forget();
    Scene { name, ..scene }
}

const MOUNT: &str = "POST /v2/box/blobs/uploads/?mount=*";

#[test]
fn blob_that_is_elsewhere_in_the_registry_is_taken_from_there() {
    let scene = pulled_from_the_same();
    scene.succeeds(&[]);
    assert_eq!(scene.sent(), 0, "{}", scene.story());
    assert_eq!(scene.registry.count(MOUNT), 2);
    let from = scene.registry.requests_for("POST */blobs/uploads/?mount=*&from=origin");
    assert_eq!(from.len(), 2);
}

#[test]
fn blob_that_was_pushed_elsewhere_before_is_taken_from_there() {
    let scene = Scene::of_size(MIB);
    let list =
        format!("{} {}\n{} {}\n", scene.name, scene.registry.name("one:1"), scene.name, scene.to);
    let run = scene.windlass.command(&["push", "-f", "-"]).stdin(list);
    run.run().success();
    scene.arrived();
    assert_eq!(scene.registry.count(MOUNT), 2);
    assert_eq!(scene.registry.count("POST /v2/one/blobs/uploads/?mount=*"), 0);
    assert_eq!(scene.sent(), scene.size());
}

#[test]
fn mount_that_is_refused_falls_into_the_upload_that_it_began() {
    let scene = pulled_from_the_same();
    scene.registry.takes(Push { no_mount: true, ..Push::default() });
    scene.succeeds(&[]);
    assert_eq!(scene.registry.count("POST *"), 2, "one for each blob: {}", scene.story());
    assert_eq!(scene.registry.count(PUT), 2);
}

#[test]
fn mount_that_fails_becomes_an_upload_and_is_not_tried_again() {
    for status in [400, 401, 403, 404, 405, 501] {
        let scene = pulled_from_the_same();
        scene.registry.fail_always(MOUNT, Fault::Status(status));
        scene.succeeds(&[]);
        assert_eq!(scene.registry.count(MOUNT), 2, "{}", scene.story());
        assert_eq!(scene.sent(), scene.size());
    }
}

#[test]
fn mount_asks_for_both_repositories_and_does_without_the_other() {
    for first_only in [false, true] {
        let scene = pulled_from_the_same();
        let bearer = Bearer { first_scope_only: first_only, ..Bearer::user("me", "hunter2") };
        scene.registry.require(Auth::bearer(bearer));
        scene.command(&["--creds-stdin"]).stdin("me:hunter2").run().success();
        scene.arrived();
        let tokens = scene.registry.requests_for("GET /token?*");
        let both = "scope=repository%3Abox%3Apull%2Cpush&scope=repository%3Aorigin%3Apull";
        assert!(tokens.iter().any(|it| it.query.contains(both)), "{tokens:?}");
    }
}
