use super::{KIB, MIB, SLACK, Scene, each};
use crate::support::{Fault, Rule};

const SIZE: u64 = 4 * MIB;
const CUT: u64 = 3 * MIB;

/// The layer is cut at `CUT`; what asks for the rest by a range meets `fault` for `times`.
fn resumed(times: u32, fault: Fault) -> Scene {
    let scene = Scene::once(SIZE, Fault::CutFin(CUT));
    let rule = Rule::on(&scene.layer()).only(|request| request.range().is_some());
    scene.registry.rule(rule.nth(0..times).fault(fault));
    scene
}

fn odd_answers() -> Vec<Fault> {
    let last = SIZE - 1;
    let mut faults = vec![
        Fault::RangeStatus(400),
        Fault::RangeStatus(416),
        Fault::RangeStatus(501),
        Fault::no_header("Content-Range"),
        Fault::AddHeader("Content-Range".into(), format!("bytes {CUT}-{last}/{SIZE}")),
        Fault::content_type("multipart/byteranges; boundary=x"),
    ];
    let ranges = [
        format!("bytes 0-{last}/{SIZE}"),
        format!("bytes {}-{last}/{SIZE}", CUT + 1),
        format!("bytes {CUT}-{}/{SIZE}", last - 1),
        format!("bytes {CUT}-{last}/{}", SIZE + 1),
        format!("bytes {CUT}-{last}/"),
        format!("bytes {CUT}-99999999999999999999/*"),
        format!("items {CUT}-{last}/{SIZE}"),
        "bytes */5".into(),
        "".into(),
        "x".repeat(5000),
    ];
    faults.extend(ranges.iter().map(|range| Fault::content_range(range)));
    faults
}

#[test]
fn odd_answers_to_a_range_lose_nothing_and_never_reach_the_blob() {
    each(&odd_answers(), |fault| {
        let multipart = matches!(fault, Fault::Header(name, _) if name == "Content-Type");
        let scene = resumed(100, fault.clone());
        if multipart {
            let pattern = scene.layer();
            let none = Rule::on(&pattern).only(|request| request.range().is_some());
            scene.registry.rule(none.fault(Fault::no_header("Content-Range")));
        }
        scene.succeeds(&[]);
        // The cut one, the refused range, and one stream without a range.
        scene.asked(3, CUT + SLACK + SIZE);
        let ranges: Vec<_> =
            scene.registry.requests_for(&scene.layer()).iter().map(|it| it.range()).collect();
        assert_eq!(ranges, [None, Some((CUT, Some(SIZE - 1))), None]);
    });
}

#[test]
fn ignored_range_is_read_past_in_the_same_answer() {
    let scene = resumed(100, Fault::IgnoreRange);
    scene.succeeds(&[]);
    scene.asked(2, CUT + SLACK);
}

#[test]
fn host_without_ranges_that_is_cut_again_and_again_still_completes() {
    let scene = Scene::of_size(SIZE);
    scene.registry.fail_always(&scene.layer(), Fault::IgnoreRange);
    for nth in 0..4 {
        let cut = Rule::on(&scene.layer()).nth(nth..nth + 1);
        scene.registry.rule(cut.fault(Fault::CutFin((u64::from(nth) + 1) * MIB - 1)));
    }
    scene.succeeds(&["--retries=2"]);
    assert_eq!(scene.registry.count(&scene.layer()), 5);
}

#[test]
fn part_that_is_shorter_than_it_says_goes_on_where_it_ends() {
    let scene = Scene::once(SIZE, Fault::CutFin(MIB));
    let rule = Rule::on(&scene.layer()).only(|request| request.range().is_some()).nth(0..5);
    scene.registry.rule(rule.fault(Fault::Chunked).fault(Fault::Truncate(300 * KIB)));
    scene.succeeds(&["--retries=2"]);
    scene.asked(7, SLACK);
}

#[test]
fn part_that_is_longer_than_it_says_never_spoils_the_blob() {
    for framing in [Fault::Chunked, Fault::CloseDelimited] {
        let scene = Scene::once(SIZE, Fault::CutFin(CUT));
        let rule = Rule::on(&scene.layer()).only(|request| request.range().is_some());
        scene.registry.rule(rule.fault(framing).fault(Fault::Extra(b"more".to_vec())));
        scene.succeeds(&[]);
        assert!(scene.registry.count(&scene.layer()) <= 3, "{}", scene.story());
    }
}

#[test]
fn part_that_nobody_asked_for_is_refused_by_name() {
    let scene = Scene::of_size(SIZE);
    let range = format!("bytes 0-9/{SIZE}");
    let part = Fault::answer(206, &[("Content-Range", &range)], vec![0; 10]);
    scene.registry.fail_always(&scene.layer(), part);
    scene.fails(7, "gave a part, asked for all", &[]);
    assert!(scene.registry.count(&scene.layer()) <= 4);
    scene.recovers(SIZE);
}

#[test]
fn page_instead_of_the_rest_costs_nothing_of_what_is_there() {
    let page = || Fault::answer(200, &[("Content-Type", "text/html")], "<html>log in</html>");
    let scene = Scene::once(SIZE, Fault::CutFin(CUT));
    scene.registry.rule(Rule::on(&scene.layer()).nth(1..2).fault(page()));
    scene.succeeds(&[]);
    let scene = Scene::once(SIZE, Fault::CutFin(CUT));
    scene.registry.rule(Rule::on(&scene.layer()).nth(1..100).fault(page()));
    scene.fails(7, &format!("expected {SIZE} bytes, got 19"), &[]);
    assert_eq!(scene.kept(), CUT);
    scene.recovers(SIZE - CUT);
}

#[test]
fn part_that_is_compressed_on_the_way_never_spoils_the_blob() {
    for framing in [Fault::Chunked, Fault::NoHeader("X".into())] {
        let scene = Scene::once(SIZE, Fault::CutFin(CUT));
        let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
        scene.registry.rule(ranged.fault(Fault::Gzip).fault(framing));
        scene.succeeds(&[]);
        assert!(scene.registry.count(&scene.layer()) <= 5, "{}", scene.story());
    }
}

#[test]
fn wrong_bytes_are_fetched_once_more_past_caches_and_never_stored() {
    each(&[0, MIB, SIZE - 1], |&offset| {
        let scene = Scene::once(SIZE, Fault::Flip(offset));
        scene.succeeds(&[]).says("expected sha256:");
        scene.asked(2, SIZE);
        let requests = scene.registry.requests_for(&scene.layer());
        assert_eq!(requests[1].range(), None);
        assert_eq!(requests[1].header("cache-control"), Some("no-cache"));
        assert!(!requests[1].reused);

        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), Fault::Flip(offset));
        let digest = scene.image.layers()[0].digest.clone();
        let output = scene.fails(7, &format!("expected {digest}, got sha256:"), &[]);
        output.says(&format!("moving blob {digest}: "));
        scene.asked(2, SIZE);
        scene.recovers(SIZE);
    });
}

#[test]
fn part_with_wrong_bytes_under_the_right_header_is_found_and_made_good() {
    let scene = resumed(1, Fault::Flip(CUT + 5));
    scene.succeeds(&[]);
    scene.asked(3, SIZE + SLACK);
    let scene = resumed(100, Fault::Flip(CUT + 5));
    scene.succeeds(&[]);
    scene.asked(3, SIZE + SLACK);
}

#[test]
fn content_that_is_cut_and_then_another_is_found_and_made_good() {
    let scene = Scene::once(SIZE, Fault::CutFin(CUT));
    scene.registry.rule(Rule::on(&scene.layer()).nth(0..1).fault(Fault::Flip(77)));
    scene.succeeds(&[]);
    scene.asked(3, SIZE + SLACK);
}

#[test]
fn wrong_length_is_refused_before_a_byte_is_taken() {
    let lengths = [-1, 1, 5, -5, 1_000_000];
    each(&lengths, |&error| {
        let scene = Scene::once(SIZE, Fault::ContentLength(error));
        scene.succeeds(&[]);
        assert_eq!(scene.registry.count(&scene.layer()), 2);
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), Fault::ContentLength(error));
        let got = SIZE.checked_add_signed(error).unwrap();
        let output = scene.fails(7, &format!("expected {SIZE} bytes, got {got}"), &[]);
        assert!(output.took.as_secs() < 10, "{output}");
        assert_eq!(scene.registry.count(&scene.layer()), 2);
        assert_eq!(scene.kept(), 0);
        scene.recovers(SIZE);
    });
}

#[test]
fn body_that_never_ends_is_not_read_on() {
    let scene = Scene::once(SIZE, Fault::Endless);
    scene.succeeds(&[]);
    assert_eq!(scene.registry.count(&scene.layer()), 2);
    let scene = Scene::of_size(SIZE);
    scene.registry.fail_always(&scene.layer(), Fault::Endless);
    scene.fails(7, &format!("expected {SIZE} bytes, got {}", SIZE + 1), &[]);
    let sent = scene.registry.bytes_sent(&scene.layer());
    assert!(sent < 2 * SIZE + 32 * MIB, "{sent} bytes, kernel buffers included");
    scene.recovers(SIZE);
}

#[test]
fn host_that_answers_ranges_right_for_a_while_and_then_wrong_is_found_out() {
    let size = 16 * MIB;
    let faults = [
        Fault::RangeStatus(416),
        Fault::IgnoreRange,
        Fault::content_range(&format!("bytes 0-1/{size}")),
        Fault::Status(503),
    ];
    each(&faults, |fault| {
        let scene = Scene::of_size(size);
        let slow = Fault::Throttle { bytes_per_second: 6 * MIB };
        scene.registry.fail_always(&scene.layer(), slow);
        let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
        scene.registry.rule(ranged.nth(3..6).fault(fault.clone()));
        scene.succeeds(&[]);
        let whole = scene.registry.requests_for(&scene.layer());
        assert!(whole.len() < 40, "{}", scene.story());
    });
}
