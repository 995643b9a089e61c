use std::time::Duration;

use serde_json::json;

use super::{MIB, SLACK, Scene, each};
use crate::support::{Auth, Bearer, Fault, Rule};

const SIZE: u64 = 4 * MIB;

#[test]
fn token_that_ends_in_the_middle_is_renewed_and_the_blob_goes_on() {
    let scene = Scene::of_size(SIZE);
    scene.registry.require(Auth::bearer(Bearer::public()));
    let rule = Rule::on(&scene.layer()).nth(1..2);
    scene.registry.fail_once(&scene.layer(), Fault::NoHeader("X".into()));
    scene.registry.rule(rule.fault(Fault::CutFin(3 * MIB)));
    scene.registry.rule(Rule::on(&scene.layer()).nth(2..3).fault(Fault::ExpireToken));
    scene.succeeds(&[]);
    let sent = scene.registry.bytes_sent(&scene.layer());
    assert!(sent <= SIZE + SLACK, "{}", scene.story());
}

#[test]
fn tokens_that_are_good_for_one_request_suffice() {
    let scene = Scene::of_size(SIZE);
    scene.registry.require(Auth::bearer(Bearer { uses: Some(1), ..Bearer::public() }));
    scene.registry.rule(Rule::on(&scene.layer()).fault(Fault::CutFin(MIB)));
    scene.succeeds(&["--jobs=1"]);
    assert!(scene.registry.tokens_given_out() < 20);
}

#[test]
fn token_that_expires_while_ranges_are_under_way_is_asked_for_once() {
    let size = 24 * MIB;
    let scene = Scene::of_size(size);
    scene.registry.require(Auth::bearer(Bearer::public()));
    let slow = Fault::Throttle { bytes_per_second: 4 * MIB };
    scene.registry.fail_always(&scene.layer(), slow);
    let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
    scene.registry.rule(ranged.nth(3..4).fault(Fault::ExpireToken));
    scene.succeeds(&[]);
    let sent = scene.registry.bytes_sent(&scene.layer());
    assert!(sent <= size + 8 * SLACK, "{}", scene.story());
    let tokens = scene.registry.tokens_given_out();
    assert!(tokens <= 4, "{tokens} tokens");
}

#[test]
fn second_401_in_a_row_is_exit_4_and_keeps_what_has_come() {
    let scene = Scene::once(SIZE, Fault::CutFin(3 * MIB));
    scene.registry.require(Auth::bearer(Bearer::public()));
    let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
    scene.registry.rule(ranged.fault(Fault::ExpireToken));
    scene.registry.rule(Rule::on(&scene.layer()).nth(1..2).fault(Fault::CutFin(3 * MIB)));
    let output = scene.fails(4, "answered 401 UNAUTHORIZED", &[]);
    assert!(output.took < Duration::from_secs(5), "{output}");
    assert!(scene.registry.count(&scene.layer()) <= 4, "{}", scene.story());
    assert_eq!(scene.kept(), 3 * MIB);
    scene.recovers(MIB);
}

#[test]
fn lifetimes_and_clocks_that_make_no_sense_do_no_harm() {
    let bearer = |change: fn(&mut Bearer)| {
        let mut bearer = Bearer::public();
        change(&mut bearer);
        bearer
    };
    let cases = [
        bearer(|it| it.expires_in = Some(json!(0))),
        bearer(|it| it.expires_in = None),
        bearer(|it| it.expires_in = Some(json!(1_000_000_000_000u64))),
        bearer(|it| it.expires_in = Some(json!(-5))),
        bearer(|it| it.expires_in = Some(json!("300"))),
        bearer(|it| it.expires_in = Some(json!(1e300))),
        bearer(|it| it.issued_at = Some("2001-01-01T00:00:00Z".into())),
        bearer(|it| it.issued_at = Some("2101-01-01T00:00:00Z".into())),
        bearer(|it| it.issued_at = Some("yesterday".into())),
        bearer(|it| it.field = "access_token"),
    ];
    each(&cases, |bearer| {
        let scene = Scene::of_size(SIZE);
        scene.registry.require(Auth::bearer(bearer.clone()));
        scene.registry.fail_once(&scene.layer(), Fault::Status(503));
        scene.succeeds(&[]);
        assert!(scene.registry.tokens_given_out() < 12, "{}", scene.registry.tokens_given_out());
    });
}

#[test]
fn token_server_in_trouble_is_asked_again() {
    let faults = [
        Fault::Status(503),
        Fault::Status(500),
        Fault::answer(429, &[("Retry-After", "1")], ""),
        Fault::Close,
        Fault::Reset,
        Fault::CutFin(5),
        Fault::CutRst(5),
        Fault::StallAfter(5, Duration::from_secs(3600)),
        Fault::Silent,
    ];
    each(&faults, |fault| {
        let scene = Scene::of_size(SIZE);
        scene.registry.require(Auth::bearer(Bearer::public()));
        scene.registry.fail_once("*/token", fault.clone());
        scene.succeeds(&["--stall-timeout=0.5"]);
    });
}

#[test]
fn token_server_that_stays_in_trouble_is_exit_5_or_6() {
    let faults = [
        (Fault::Status(503), 5),
        (Fault::answer(429, &[("Retry-After", "900")], ""), 6),
        (Fault::Reset, 5),
        (Fault::Silent, 5),
    ];
    each(&faults, |(fault, status)| {
        let scene = Scene::of_size(SIZE);
        scene.registry.require(Auth::bearer(Bearer::public()));
        scene.registry.fail_always("*/token", fault.clone());
        let output = scene.fails(*status, "token", &["--stall-timeout=0.5", "--retries=2"]);
        assert!(output.took < Duration::from_secs(6), "{output}");
        scene.recovers(SIZE);
    });
}
