use super::{MIB, SLACK, Scene, each};
use crate::support::{Fault, Image, ImageBuilder, Rule};

const SIZE: u64 = MIB;

/// An image whose layer is gzip by itself.
fn compressed() -> Image {
    let text: String = (0..60_000).map(|line| format!("{}\n", line * 7919 % 65_537)).collect();
    ImageBuilder::new().layer_files(&[("numbers", &text)]).build()
}

#[test]
fn label_of_gzip_that_is_wrong_costs_nothing() {
    let framings = [None, Some(Fault::Chunked), Some(Fault::CloseDelimited)];
    each(&framings, |framing| {
        for image in [Image::of_size(SIZE), compressed()] {
            let scene = Scene::of(image);
            let rule = Rule::on(&scene.layer()).fault(Fault::GzipLabel);
            scene.registry.rule(framing.iter().cloned().fold(rule, Rule::fault));
            scene.succeeds(&[]).never_says("trying again");
            scene.asked(1, 0);
        }
    });
}

#[test]
fn label_of_gzip_that_is_wrong_does_not_keep_a_cut_blob_from_going_on() {
    let scene = Scene::once(SIZE, Fault::CutFin(SIZE / 2));
    scene.registry.fail_always(&scene.layer(), Fault::GzipLabel);
    scene.succeeds(&[]);
    scene.asked(2, SLACK);
}

#[test]
fn blob_that_was_compressed_on_the_way_is_inflated() {
    let framings = [None, Some(Fault::Chunked), Some(Fault::CloseDelimited)];
    each(&framings, |framing| {
        for image in [Image::of_size(SIZE), compressed()] {
            let scene = Scene::of(image);
            let rule = Rule::on("GET /v2/box/*").fault(Fault::Gzip);
            scene.registry.rule(framing.iter().cloned().fold(rule, Rule::fault));
            scene.succeeds(&[]);
            assert!(scene.registry.count(&scene.layer()) <= 2, "{}", scene.story());
        }
    });
}

#[test]
fn blob_that_was_compressed_on_the_way_and_cut_starts_again_from_0() {
    let scene = Scene::of(compressed());
    scene.registry.fail_always(&scene.layer(), Fault::Gzip);
    scene.registry.fail_once(&scene.layer(), Fault::CutFin(20_000));
    scene.succeeds(&[]);
    let ranges = scene.registry.requests_for(&scene.layer());
    assert!(ranges.iter().all(|request| request.range().is_none()), "{}", scene.story());
}

#[test]
fn other_encodings_are_refused_by_name() {
    each(&["br", "zstd", "deflate", "gzip, br"], |encoding| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), Fault::header("Content-Encoding", encoding));
        scene.fails(7, &format!("encoded it as `{encoding}`, which nobody asked for"), &[]);
        assert_eq!(scene.registry.count(&scene.layer()), 1);
        scene.recovers(SIZE);
    });
}

#[test]
fn inflated_bomb_stays_within_the_size_of_the_blob() {
    let scene = Scene::of_size(SIZE);
    let rule = Rule::on(&scene.layer()).fault(Fault::Body(vec![0; 64 << 20]));
    scene.registry.rule(rule.fault(Fault::Gzip));
    let output = scene.fails(7, "expected ", &[]);
    assert!(output.took.as_secs() < 10, "{output}");
    assert!(scene.registry.count(&scene.layer()) <= 2, "{}\n{output}", scene.story());
    scene.recovers(SIZE);
}
