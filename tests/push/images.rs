use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{MIB, POST, PUT, Scene};
use crate::support::image::IndexBuilder;
use crate::support::{ImageBuilder, Windlass};

#[test]
fn push_sends_every_blob_once_and_the_tag_last() {
    let image = ImageBuilder::new().layer_random(1, 3 * MIB).layer_random(2, 10).build();
    let scene = Scene::of(image);
    scene.succeeds(&[]);
    assert_eq!(scene.registry.count(POST), 3);
    assert_eq!(scene.registry.count(PUT), 3);
    assert_eq!(scene.sent(), scene.size());
    let manifests = scene.registry.requests_for("PUT /v2/box/manifests/*");
    assert_eq!(manifests.len(), 1);
    assert_eq!(scene.registry.requests().last().unwrap().path, "/v2/box/manifests/1");
    let expected = scene.image.root().media_type.as_str();
    assert_eq!(manifests[0].header("content-type"), Some(expected));
}

#[test]
fn unchanged_image_costs_one_request() {
    let scene = Scene::of_size(1000);
    scene.succeeds(&[]);
    scene.registry.forget();
    scene.succeeds(&[]);
    let requests = scene.registry.requests_for("/v2/*");
    assert_eq!(requests.len(), 1, "{}", scene.story());
    assert_eq!(requests[0].method, "HEAD");
}

#[test]
fn what_is_there_is_not_sent_again() {
    let scene = Scene::of_size(MIB);
    scene.registry.put_blob("box", &scene.image.layers()[0].content);
    scene.succeeds(&[]);
    assert_eq!(scene.sent(), scene.image.config().size());
    assert_eq!(scene.registry.count(POST), 1);
}

#[test]
fn index_goes_with_all_its_children_and_then_its_tag() {
    let image = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let scene = Scene::of(image);
    scene.succeeds(&[]);
    let manifests = scene.registry.requests_for("PUT /v2/box/manifests/*");
    let paths: Vec<_> = manifests.iter().map(|request| request.path.as_str()).collect();
    let child = |at: usize| format!("/v2/box/manifests/{}", scene.image.manifests[at].digest);
    assert_eq!(paths, [&child(0), &child(1), "/v2/box/manifests/1"]);
}

#[test]
fn platform_narrows_what_is_sent() {
    let image = IndexBuilder::platforms(&["linux/amd64", "linux/arm64", "linux/s390x"]);
    let scene = Scene::of(image);
    let one = scene.image.manifests[1].digest.clone();
    let output = scene.push(&["--platform", "linux/arm64"]).success();
    output.prints(&format!("{}@{one}\n", scene.to));
    assert_eq!(scene.registry.tags("box")["1"], one);
    assert!(scene.registry.manifest("box", &scene.image.digest).is_none());
    assert_eq!(scene.registry.count(POST), 2);
    scene.push(&["--platform", "linux/riscv64"]).exits(3).prints("").says("linux/s390x");
}

#[test]
fn image_is_sent_under_its_own_name_or_by_its_digest_alone() {
    let scene = Scene::of_size(1000);
    let windlass = &scene.windlass;
    windlass.run(&["tag", &scene.name, &scene.to]).success();
    windlass.run(&["push", &scene.to]).success();
    scene.arrived();
    let (box2, digest) = (scene.registry.name("box2"), &scene.image.digest);
    let by_digest = format!("{box2}@{digest}");
    windlass.run(&["push", digest, &by_digest]).success().prints(&format!("{by_digest}\n"));
    assert!(scene.registry.tags("box2").is_empty());
    assert!(scene.registry.holds("box2", &scene.image));
    let wrong = format!("{box2}:1@sha256:{}", "0".repeat(64));
    windlass.run(&["push", digest, &wrong]).exits(2).prints("").says(digest);
}

#[test]
fn name_that_is_not_in_the_store_is_told_with_those_that_are_near() {
    let scene = Scene::of_size(1000);
    let near = scene.name.replace("origin", "origni");
    let output = scene.windlass.run(&["push", &near]).exits(3).prints("");
    output.says(&format!("windlass: pushing {near}: ")).says(&scene.name);
    Windlass::new().run(&["push", "alpine", "127.0.0.1:1/a"]).exits(3).prints("");
    assert_eq!(scene.registry.requests().len(), 0);
}

#[test]
fn push_tells_in_json_what_is_there_now() {
    let scene = Scene::of_size(1000);
    let output = scene.push(&["--json"]).success();
    let object: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(object["name"], scene.to.as_str());
    assert_eq!(object["digest"], scene.image.digest.as_str());
    assert_eq!(object["size"], scene.image.size());
    assert_eq!(object["media_type"], scene.image.root().media_type.as_str());
}

#[test]
fn read_only_store_can_be_pushed_from() {
    let scene = Scene::of_size(2 * MIB);
    let store = scene.windlass.store();
    let before = scene.windlass.scratch.files("store");
    let set = |mode| {
        let folders = [store.clone(), store.join("blobs/sha256"), store.join(".windlass")];
        for folder in folders {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555);
    scene.succeeds(&[]);
    set(0o755);
    assert_eq!(scene.windlass.scratch.files("store"), before);
}

#[test]
fn rotten_content_never_reaches_the_registry() {
    for damage in ["flip", "cut", "gone"] {
        let scene = Scene::of_size(3 * MIB);
        let layer = scene.image.layers()[0].digest.clone();
        let path = scene.windlass.store().join("blobs").join(layer.replace(':', "/"));
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match damage {
            "flip" => *bytes.last_mut().unwrap() ^= 1,
            "cut" => bytes.truncate(bytes.len() / 2),
            _ => {}
        }
        if damage != "gone" {
            scene
                .windlass
                .scratch
                .write(&format!("store/blobs/{}", layer.replace(':', "/")), &bytes);
        }
        scene.fails(7, &layer, &[]);
        assert!(scene.registry.blob("box", &layer).is_none(), "{damage}");
        let committed =
            scene.registry.requests_for(&format!("{PUT}?*{}", layer.replace(':', "%3A")));
        assert!(committed.iter().all(|request| request.status == 0), "{damage}: {}", scene.story());
        assert!(committed.len() <= 1, "to ask the store again is of no use");
    }
}

#[test]
fn garbage_collection_spares_what_is_being_pushed() {
    let scene = Scene::of_size(3 * MIB);
    let windlass = &scene.windlass;
    scene.registry.fail_once(PUT, crate::support::Fault::Stall(std::time::Duration::from_secs(2)));
    let running = scene.command(&[]).spawn();
    while scene.registry.count(POST) == 0 {
        std::thread::yield_now();
    }
    windlass.run(&["remove", &scene.name]).success();
    windlass
        .run(&["gc"])
        .success()
        .says("")
        .prints("freed 0B: 0 blobs, 0 unfinished downloads, 0 temporary files\n");
    running.wait().success();
    scene.arrived();
}
