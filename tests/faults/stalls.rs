use std::time::Duration;

use super::{KIB, MIB, SLACK, Scene, each};
use crate::support::{Fault, Registry, Rule};

const SIZE: u64 = 4 * MIB;
const FOR_EVER: Duration = Duration::from_secs(3600);
const STALL: &str = "--stall-timeout=0.5";

#[test]
fn stalled_body_goes_on_where_it_stalled() {
    each(&[0, 1, 64 * KIB - 1, SIZE / 2, SIZE - 1], |&at| {
        let scene = Scene::once(SIZE, Fault::StallAfter(at, FOR_EVER));
        let output = scene.succeeds(&[STALL, "--jobs=1"]).says("no byte from 127.0.0.1");
        assert!(output.took < Duration::from_secs(4), "{output}");
        scene.asked(2, SLACK);
    });
}

#[test]
fn answer_that_never_begins_is_asked_for_again() {
    let cases = ["manifests/1", "blobs/*"];
    each(&cases, |target| {
        for fault in [Fault::Silent, Fault::Stall(FOR_EVER)] {
            let scene = Scene::of_size(SIZE);
            let pattern = format!("GET /v2/box/{target}");
            scene.registry.fail_once(&pattern, fault);
            scene.succeeds(&[STALL]).says("no byte from 127.0.0.1");
        }
    });
}

#[test]
fn three_stalls_without_progress_are_exit_5_and_keep_what_has_come() {
    let cases = [Fault::StallAfter(0, FOR_EVER), Fault::Silent, Fault::StallAfter(100, FOR_EVER)];
    each(&cases, |fault| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always(&scene.layer(), fault.clone());
        let output = scene.fails(5, "after 3 attempts: ", &[STALL, "--jobs=1"]);
        output.says("no byte from 127.0.0.1").says("for 0.5 s");
        assert_eq!(scene.registry.count(&scene.layer()), 3);
        let kept = scene.kept();
        scene.recovers(SIZE - kept);
    });
}

#[test]
fn stalls_with_progress_between_them_are_forgiven() {
    let scene = Scene::of_size(MIB);
    scene.registry.fail_always(&scene.layer(), Fault::StallAfter(200 * KIB, FOR_EVER));
    scene.succeeds(&["--stall-timeout=0.3"]);
    scene.asked(6, SLACK);
}

#[test]
fn stalls_of_connections_beside_each_other_count_once() {
    let size = 24 * MIB;
    let scene = Scene::of_size(size);
    let slow = Fault::Throttle { bytes_per_second: 4 * MIB };
    scene.registry.fail_always(&scene.layer(), slow);
    let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
    scene.registry.rule(ranged.nth(0..5).fault(Fault::StallAfter(100 * KIB, FOR_EVER)));
    let output = scene.succeeds(&[STALL]);
    assert!(output.took < Duration::from_secs(12), "{output}");
    let sent = scene.registry.bytes_sent(&scene.layer());
    assert!(sent <= size + 8 * SLACK, "{sent} bytes: {}", scene.story());
}

#[test]
fn ranges_that_never_get_an_answer_are_given_up_for_one_stream() {
    each(&[Fault::Silent, Fault::Stall(FOR_EVER)], |fault| {
        let scene = Scene::once(SIZE, Fault::CutFin(3 * MIB));
        let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
        scene.registry.rule(ranged.fault(fault.clone()));
        scene.succeeds(&[STALL]);
        let requests = scene.registry.requests_for(&scene.layer());
        let ranged = requests.iter().filter(|request| request.range().is_some()).count();
        assert_eq!((requests.len(), ranged), (4, 2), "{}", scene.story());
    });
}

#[test]
fn answers_to_ranges_that_stall_leave_one_stream_that_works() {
    let size = 16 * MIB;
    let scene = Scene::of_size(size);
    scene.registry.fail_always(&scene.layer(), Fault::Throttle { bytes_per_second: 8 * MIB });
    let ranged = Rule::on(&scene.layer()).only(|request| request.range().is_some());
    scene.registry.rule(ranged.fault(Fault::Silent));
    let output = scene.succeeds(&[STALL]);
    assert!(output.took < Duration::from_secs(10), "{output}");
}

#[test]
fn trickle_is_a_stall_and_slow_is_not() {
    let scene = Scene::of_size(MIB);
    let trickle = Fault::Drip { bytes: 1, every: Duration::from_millis(20) };
    scene.registry.fail_always(&scene.layer(), trickle);
    let output = scene.fails(5, "fewer than 1024 bytes a second came", &["--stall-timeout=0.3"]);
    assert!(output.took < Duration::from_secs(9), "{output}");
    // Three stalls, of up to eight streams beside each other.
    assert!((3..=24).contains(&scene.registry.count(&scene.layer())), "{}", scene.story());
    let kept = scene.kept();
    assert!(kept > 0, "even a trickle is kept");
    scene.recovers(MIB - kept);

    let scene = Scene::of_size(24 * KIB);
    let slow = Fault::Drip { bytes: 2 * KIB, every: Duration::from_millis(100) };
    scene.registry.fail_always(&scene.layer(), slow);
    scene.succeeds(&[STALL]).never_says("trying again");
}

#[test]
fn head_that_trickles_is_a_stall() {
    let scene = Scene::of_size(MIB);
    let stalled = Fault::StallAfter(10, FOR_EVER);
    scene.registry.fail_times(2, &scene.manifest(), stalled);
    let output = scene.succeeds(&[STALL]);
    assert!(output.took < Duration::from_secs(5), "{output}");
}

#[test]
fn error_document_that_stalls_does_not_hide_the_status() {
    let cases = [(404, 3), (403, 4), (400, 1)];
    each(&cases, |&(code, status)| {
        let scene = Scene::of_size(MIB);
        let rule = Rule::on(&scene.manifest()).fault(Fault::Status(code));
        scene.registry.rule(rule.fault(Fault::StallAfter(5, FOR_EVER)));
        let output = scene.fails(status, &format!("answered {code}"), &[STALL]);
        assert!(output.took < Duration::from_secs(4), "{output}");
        scene.recovers(MIB);
    });
}

#[test]
fn peer_that_takes_connections_and_says_nothing_is_exit_5() {
    let registry = Registry::mute();
    let windlass = crate::support::Windlass::new();
    let name = registry.name("box:1");
    let args = ["pull", &name, "--plain-http", STALL];
    let output = windlass.run(&args).exits(5).says("no byte from 127.0.0.1");
    assert!(output.took < Duration::from_secs(5), "{output}");
}
