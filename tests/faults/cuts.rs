use super::{KIB, MIB, SLACK, Scene, each};
use crate::support::{Fault, Image, Rule};

const SIZE: u64 = 2 * MIB;

// Those that count requests ask for one connection: on a machine with much to do what is left may
// come over several.

#[test]
fn cut_stream_goes_on_where_it_was_cut() {
    let mut cases = Vec::new();
    for at in [0, 1, 511, 512, 64 * KIB - 1, SIZE / 2, SIZE - 1] {
        cases.extend([(at, Fault::CutFin(at)), (at, Fault::CutRst(at))]);
    }
    each(&cases, |(at, cut)| {
        let scene = Scene::once(SIZE, cut.clone());
        scene.succeeds(&["--jobs=1"]).says("was cut");
        scene.asked(2, SLACK);
        let again = scene.registry.requests_for(&scene.layer())[1].range();
        let expected = if *at == 0 { None } else { Some((*at, Some(SIZE - 1))) };
        assert_eq!(again, expected, "it goes on at the very byte");
    });
}

#[test]
fn cut_after_the_last_byte_is_none() {
    each(&[Fault::CutFin(SIZE), Fault::CutRst(SIZE)], |cut| {
        let scene = Scene::once(SIZE, cut.clone());
        scene.succeeds(&[]).never_says("trying again");
        scene.asked(1, 0);
    });
}

#[test]
fn cut_goes_on_in_any_framing() {
    let mut cases = Vec::new();
    for framing in [Fault::Chunked, Fault::CloseDelimited] {
        for at in [0, 511, SIZE / 2, SIZE - 1] {
            cases.push((framing.clone(), Fault::CutFin(at)));
            cases.push((framing.clone(), Fault::CutRst(at)));
        }
    }
    each(&cases, |(framing, cut)| {
        let scene = Scene::of_size(SIZE);
        let rule = Rule::on(&scene.layer()).once();
        scene.registry.rule(rule.fault(framing.clone()).fault(cut.clone()));
        scene.succeeds(&["--jobs=1"]);
        scene.asked(2, SLACK);
    });
}

#[test]
fn content_comes_whole_in_any_framing() {
    each(&[Fault::Chunked, Fault::CloseDelimited], |framing| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always("GET *", framing.clone());
        scene.succeeds(&[]).never_says("trying again");
        scene.asked(1, 0);
    });
}

#[test]
fn cuts_that_let_something_through_are_forgiven_for_ever() {
    let cases = [Fault::CutFin(256 * KIB), Fault::CutRst(256 * KIB), Fault::CutFin(64 * KIB)];
    each(&cases, |cut| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), cut.clone());
        scene.succeeds(&["--retries=2", "--jobs=1"]);
        let step = if matches!(cut, Fault::CutFin(64_000..70_000)) { 64 } else { 256 };
        scene.asked(usize::try_from(SIZE / KIB / step).unwrap(), 0);
    });
}

#[test]
fn cuts_that_let_too_little_through_end_with_exit_5_and_keep_it() {
    each(&[Fault::CutFin(512), Fault::CutRst(512), Fault::Close, Fault::Reset], |cut| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), cut.clone());
        let output = scene.fails(5, "after 4 attempts: ", &["--retries=4", "--jobs=1"]);
        output.says("was cut").says("help: try again later");
        let nothing = matches!(cut, Fault::Close | Fault::Reset);
        // A kept connection that is closed without a byte is replaced at once.
        let asked = scene.registry.count(&scene.layer());
        assert!(asked == 4 || nothing && asked == 5, "{}", scene.story());
        let kept = scene.kept();
        assert_eq!(kept, if nothing { 0 } else { 4 * 512 });
        scene.recovers(SIZE - kept);
    });
}

#[test]
fn one_attempt_is_one_attempt() {
    let scene = Scene::once(SIZE, Fault::CutFin(MIB));
    scene.fails(5, "was cut", &["--retries=1"]).never_says("attempts");
    scene.asked(1, 0);
    scene.recovers(MIB);
    let small = Scene::once(SIZE, Fault::Status(503));
    small.fails(5, "answered 503", &["--retries=1"]);
    small.asked(1, 0);
    small.recovers(SIZE);
}

#[test]
fn cut_connection_without_an_answer_is_asked_again() {
    let patterns = ["manifests/1", "blobs/*"];
    let mut cases = Vec::new();
    for pattern in patterns {
        cases.extend([(pattern, Fault::Close), (pattern, Fault::Reset)]);
        let head = b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec();
        cases.extend([(pattern, Fault::Raw(b"HTT".to_vec())), (pattern, Fault::Raw(head))]);
    }
    each(&cases, |(pattern, cut)| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_once(&format!("GET /v2/box/{pattern}"), cut.clone());
        scene.succeeds(&[]);
        assert!(scene.registry.requests().len() <= 6, "{:?}", scene.registry.requests());
    });
}

#[test]
fn many_connections_that_are_all_cut_lose_nothing() {
    let size = 24 * MIB;
    let scene = Scene::of_size(size);
    let rule = Rule::on(&scene.layer()).fault(Fault::Throttle { bytes_per_second: 4 * MIB });
    scene.registry.rule(rule.fault(Fault::CutRst(MIB + 12345)));
    scene.succeeds(&[]);
    let sent = scene.registry.bytes_sent(&scene.layer());
    let cuts = scene.registry.count(&scene.layer()) as u64;
    assert!(sent <= size + cuts * 128 * KIB, "{sent} bytes: {}", scene.story());
}

#[test]
fn several_layers_are_each_completed() {
    let layers = (1..=12).fold(crate::support::ImageBuilder::new(), |image, seed| {
        image.layer_random(seed, 300_000 + seed)
    });
    let image: Image = layers.build();
    let scene = Scene::of(image);
    scene.registry.rule(Rule::on("GET /v2/box/blobs/*").nth(0..9).fault(Fault::CutRst(70_000)));
    scene.succeeds(&["--jobs=3"]);
    assert!(scene.registry.most_at_once() <= 3);
    let sent = scene.registry.bytes_sent("GET /v2/box/blobs/*");
    assert!(sent <= scene.image.size() + 9 * SLACK);
}
