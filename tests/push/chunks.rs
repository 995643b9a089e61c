use super::{MIB, PATCH, PUT, Scene};
use crate::support::{Fault, Push, Rule};

fn sizes(scene: &Scene, pattern: &str) -> Vec<u64> {
    scene.registry.requests_for(pattern).iter().map(|it| it.received).collect()
}

#[test]
fn body_that_is_too_large_goes_in_chunks_and_the_next_one_at_once() {
    let scene = Scene::of_size(9 * MIB);
    let limit = usize::try_from(5 * MIB).unwrap();
    scene.registry.takes(Push { body_limit: Some(limit), ..Push::default() });
    scene.succeeds(&["--jobs=1"]);
    assert!(
        sizes(&scene, PATCH).iter().all(|size| *size == 0 || *size == 4 * MIB),
        "{}",
        scene.story()
    );
    let chunks = scene.registry.requests_for(PATCH);
    let ranges: Vec<_> = chunks
        .iter()
        .filter(|it| it.status == 202)
        .map(|it| it.header("content-range").unwrap().to_owned())
        .collect();
    assert_eq!(ranges, ["0-4194303", "4194304-8388607"]);
}

#[test]
fn nginx_with_its_own_limit_is_got_past() {
    let scene = Scene::of_size(3 * MIB);
    let limit = usize::try_from(MIB).unwrap();
    scene.registry.takes(Push { body_limit: Some(limit), ..Push::default() });
    scene.succeeds(&[]);
}

#[test]
fn early_413_costs_nothing() {
    let scene = Scene::of_size(9 * MIB);
    let large = |request: &crate::support::Request| {
        let length = request.header("content-length").and_then(|it| it.parse().ok());
        length.unwrap_or(0) > 5 * MIB
    };
    scene.registry.rule(Rule::on("*/blobs/uploads/*").only(large).fault(Fault::Early(413)));
    scene.succeeds(&[]);
    assert_eq!(scene.sent(), scene.size(), "{}", scene.story());
}

#[test]
fn chunk_is_as_long_as_the_registry_wants_it_at_least() {
    let scene = Scene::of_size(9 * MIB);
    let limit = usize::try_from(4 * MIB).unwrap();
    let push = Push { body_limit: Some(limit), chunk_min_length: Some(3 * MIB), ..Push::default() };
    scene.registry.takes(push);
    scene.succeeds(&[]);
    let chunks = scene.registry.requests_for(PATCH);
    let taken: Vec<_> = chunks.iter().filter(|it| it.status == 202).map(|it| it.received).collect();
    assert!(taken.iter().all(|size| *size >= 3 * MIB), "{taken:?}");
    let scene = Scene::of_size(9 * MIB);
    let push = Push { chunk_min_length: Some(3 * MIB), ..Push::default() };
    scene.registry.takes(push);
    scene.succeeds(&[]);
    assert_eq!(scene.registry.count(PATCH), 0, "the header alone asks for no chunks");
}

#[test]
fn limit_on_chunks_that_is_told_by_416_is_learned() {
    let scene = Scene::of_size(9 * MIB);
    let limit = |bytes: u64| Some(usize::try_from(bytes).unwrap());
    let push = Push { body_limit: limit(5 * MIB), patch_limit: limit(2 * MIB), ..Push::default() };
    scene.registry.takes(push);
    scene.succeeds(&[]);
    assert!(scene.registry.count(PATCH) >= 8);
}

#[test]
fn body_that_is_too_large_in_any_portion_is_an_error_that_is_quoted() {
    let scene = Scene::of_size(MIB);
    scene.registry.takes(Push { body_limit: Some(1000), ..Push::default() });
    scene.fails(1, "413 SIZE_INVALID: body too large", &[]);
}

#[test]
fn registry_that_takes_less_than_was_sent_gets_the_rest() {
    let scene = Scene::of_size(9 * MIB);
    let limit = usize::try_from(5 * MIB).unwrap();
    scene.registry.takes(Push { body_limit: Some(limit), ..Push::default() });
    scene.registry.rule(
        Rule::on(PATCH)
            .only(|it| it.header("content-range") == Some("4194304-8388607"))
            .once()
            .fault(Fault::AcceptOnly(MIB)),
    );
    scene.succeeds(&[]);
    assert!(scene.sent() < scene.size() + 20 * MIB);
}

#[test]
fn registry_that_drops_later_chunks_is_found_out() {
    let scene = Scene::of_size(9 * MIB);
    let limit = usize::try_from(5 * MIB).unwrap();
    let push = Push {
        body_limit: Some(limit),
        patch_status: Some(201),
        drops_later_chunks: true,
        ..Push::default()
    };
    scene.registry.takes(push);
    scene.fails(1, "413 SIZE_INVALID", &[]);
    assert!(scene.registry.count(PATCH) <= 6, "{}", scene.story());
}

#[test]
fn cut_chunk_goes_on_from_what_the_registry_has() {
    let scene = Scene::of_size(9 * MIB);
    let limit = usize::try_from(5 * MIB).unwrap();
    scene.registry.takes(Push { body_limit: Some(limit), ..Push::default() });
    let chunk =
        |it: &crate::support::Request| it.header("content-range") == Some("4194304-8388607");
    scene.registry.rule(Rule::on(PATCH).only(chunk).once().fault(Fault::ResetKeeping(MIB)));
    scene.succeeds(&[]);
    let last = scene.registry.requests_for(PUT).pop().unwrap();
    assert_eq!(last.header("content-range"), Some("5242880-9437183"), "{}", scene.story());
}
