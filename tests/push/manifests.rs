use super::{POST, Scene};
use crate::support::image::IndexBuilder;
use crate::support::{Fault, Image, Rule};

fn error(code: &str, message: &str) -> String {
    format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#)
}

#[test]
fn blob_that_the_registry_lacks_after_all_is_sent_again_once() {
    for (status, named) in [(404, true), (400, true), (400, false)] {
        let scene = Scene::of_size(2000);
        let layer = scene.image.layers()[0].digest.clone();
        let detail =
            if named { format!(r#","detail":{{"digest":"{layer}"}}"#) } else { String::new() };
        let body = format!(
            r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"{detail}}}]}}"#
        );
        scene.registry.fail_once("PUT */manifests/1", Fault::answer(status, &[], body));
        scene.succeeds(&[]).says("sending again what is lacking");
        assert_eq!(scene.registry.count(POST), if named { 3 } else { 2 }, "{}", scene.story());
        assert_eq!(scene.registry.count("PUT */manifests/1"), 2);
    }
    let scene = Scene::of_size(2000);
    let body = error("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    scene.registry.fail_always("PUT */manifests/*", Fault::answer(404, &[], body));
    scene.fails(1, "MANIFEST_BLOB_UNKNOWN: blob unknown to registry", &[]);
    assert_eq!(scene.registry.count("PUT */manifests/1"), 2);
}

#[test]
fn child_that_the_registry_lacks_is_sent_again() {
    let scene = Scene::of(IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]));
    let child = scene.image.manifests[0].digest.clone();
    let body =
        format!(r#"{{"errors":[{{"code":"MANIFEST_UNKNOWN","message":"x","detail":"{child}"}}]}}"#);
    scene.registry.fail_once("PUT */manifests/1", Fault::answer(404, &[], body));
    scene.succeeds(&[]);
    assert_eq!(scene.registry.count(&format!("PUT */manifests/{child}")), 2);
}

#[test]
fn immutable_tag_says_so_and_is_no_trouble_if_it_means_the_same() {
    for (status, code) in
        [(400, "TAG_INVALID"), (409, "DENIED"), (412, "PRECONDITION"), (403, "DENIED")]
    {
        let scene = Scene::of_size(1000);
        let body = error(code, "The image tag '1' already exists and is Immutable");
        let fault = Fault::answer(status, &[], body);
        scene.registry.fail_always("PUT */manifests/1", fault);
        let output = scene.fails(1, "the tag cannot be changed", &[]).says("Immutable");
        output.says(&format!("answered {status} {code}"));
        scene.registry.push(&scene.image, "box:1");
        scene.succeeds(&[]);
    }
}

#[test]
fn media_type_that_is_refused_is_quoted() {
    for (status, code) in
        [(415, "MANIFEST_INVALID"), (406, "UNSUPPORTED"), (400, "MANIFEST_INVALID")]
    {
        let scene = Scene::of_size(1000);
        let body = error(code, "media type is not allowed");
        scene.registry.fail_always("PUT */manifests/1", Fault::answer(status, &[], body));
        let said = format!("answered {status} {code}: media type is not allowed");
        scene.fails(1, &said, &[]).says(&scene.image.root().media_type);
    }
}

#[test]
fn registry_without_digest_headers_is_read_instead() {
    let scene = Scene::of_size(1000);
    scene.registry.fail_always("*/manifests/*", Fault::no_digest_header());
    scene.succeeds(&[]);
    scene.registry.forget();
    scene.succeeds(&[]);
    assert_eq!(scene.registry.count("PUT *"), 0);
}

#[test]
fn question_that_is_forbidden_for_what_is_not_there_does_not_end_it() {
    let scene = Scene::of_size(1000);
    scene.registry.fail_always("HEAD *", Fault::Status(403));
    scene.succeeds(&[]);
    let scene = Scene::of_size(1000);
    scene.registry.fail_always("HEAD *", Fault::Status(405));
    scene.succeeds(&[]);
}

#[test]
fn tag_is_moved_only_after_everything_has_arrived() {
    let scene = Scene::of_size(1000);
    let before = Image::of_size(500);
    scene.registry.push(&before, "box:1");
    let digest = scene.image.layers()[0].digest.replace(':', "%3A");
    let layer = Rule::on("PUT *").only(move |it| it.query.contains(&digest));
    scene.registry.rule(layer.fault(Fault::Status(400)));
    scene.push(&[]).exits(1).prints("");
    assert_eq!(scene.registry.tags("box")["1"], before.digest);
    scene.registry.recover();
    scene.succeeds(&[]);
}
