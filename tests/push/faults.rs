use std::time::Duration;

use super::{KIB, MIB, POST, PUT, Scene};
use crate::support::{Fault, Location, Push, Registry, Rule};

/// Tried on the one layer, which is bigger than what is sent unasked.
const SIZE: u64 = 2 * MIB;

/// Uploads of the layer, of which there is only one of that size.
fn layer(rule: Rule) -> Rule {
    rule.only(|request| {
        request.header("content-length").and_then(|it| it.parse::<u64>().ok()) > Some(SIZE / 2)
    })
}

#[test]
fn transient_statuses_of_uploads_pass() {
    for pattern in
        [POST, PUT, "HEAD /v2/box/blobs/*", "HEAD /v2/box/manifests/1", "PUT */manifests/*"]
    {
        for status in [408, 429, 500, 502, 503, 504, 522] {
            let scene = Scene::of_size(SIZE);
            scene.registry.fail_times(2, pattern, Fault::Status(status));
            scene.succeeds(&[]).says(&format!("answered {status}"));
        }
    }
}

#[test]
fn transient_statuses_that_stay_end_after_the_attempts_that_are_allowed() {
    for (status, code) in [(503, 5), (429, 6)] {
        for pattern in [POST, PUT, "PUT */manifests/*"] {
            let scene = Scene::of_size(SIZE);
            scene.registry.fail_always(pattern, Fault::Status(status));
            scene.fails(code, &format!("answered {status}"), &["--retries=2", "--jobs=1"]);
            // The two blobs have their attempts each.
            assert!((2..=4).contains(&scene.registry.count(pattern)), "{}", scene.story());
            scene.registry.recover();
            scene.succeeds(&[]);
        }
    }
}

#[test]
fn wait_that_the_registry_asks_for_is_kept() {
    let scene = Scene::of_size(SIZE);
    let answer = Fault::answer(429, &[("Retry-After", "1")], "");
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(answer));
    scene.succeeds(&[]);
    let puts = scene.registry.requests_for(PUT);
    let of_layer: Vec<_> = puts
        .iter()
        .filter(|it| it.query.contains(&scene.image.layers()[0].digest.replace(':', "%3A")))
        .collect();
    assert!(of_layer[1].at - of_layer[0].at >= Duration::from_secs(1));
    scene.registry.remove("box", &scene.image.layers()[0].digest);
    scene.registry.remove("box", "1");
    let answer = Fault::answer(429, &[("Retry-After", "500")], "");
    scene.registry.rule(Rule::on(PUT).fault(answer));
    scene.fails(6, "asked to wait 500 s", &[]);
}

#[test]
fn cut_upload_is_sent_again() {
    for at in [0, 1, 64 * KIB, SIZE - 1] {
        let scene = Scene::of_size(SIZE);
        let cut = layer(Rule::on(PUT)).once().fault(Fault::ResetWhileSending(at));
        scene.registry.rule(cut);
        scene.succeeds(&[]);
    }
}

#[test]
fn cut_upload_goes_on_from_what_the_registry_has() {
    for at in [1, 64 * KIB, SIZE / 2, SIZE - 1] {
        let scene = Scene::of_size(SIZE);
        let cut = layer(Rule::on(PUT)).once().fault(Fault::ResetKeeping(at));
        scene.registry.rule(cut);
        scene.succeeds(&[]);
        let puts = scene.registry.requests_for(PUT);
        let last = puts.last().unwrap();
        if at > 1 {
            assert_eq!(last.received, SIZE - at, "{}", scene.story());
            assert_eq!(last.header("content-range"), Some(&*format!("{at}-{}", SIZE - 1)));
        }
        let posts = scene.registry.count(POST);
        assert!(posts <= if at > 1 { 2 } else { 3 }, "{}", scene.story());
    }
}

#[test]
fn many_cuts_are_no_trouble_as_long_as_something_arrives() {
    let scene = Scene::of_size(SIZE);
    let large = |request: &crate::support::Request| {
        let length = request.header("content-length").and_then(|it| it.parse().ok());
        length.unwrap_or(0) > 100 * KIB
    };
    scene.registry.rule(Rule::on(PUT).only(large).fault(Fault::ResetKeeping(100 * KIB)));
    scene.succeeds(&["--retries=2"]);
    assert!(scene.registry.count(PUT) > 20);
}

#[test]
fn nothing_that_arrives_is_no_progress() {
    let scene = Scene::of_size(SIZE);
    scene.registry.rule(layer(Rule::on(PUT)).fault(Fault::ResetWhileSending(MIB)));
    scene.fails(5, "after 2 attempts", &["--retries=2"]);
}

#[test]
fn stalled_upload_is_noticed_and_goes_on() {
    let scene = Scene::of_size(32 * MIB);
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::HangKeeping(MIB)));
    let output = scene.succeeds(&["--stall-timeout=0.5"]).says("for 0.5 s");
    assert!(output.took < Duration::from_secs(10), "{output}");
    let last = scene.registry.requests_for(PUT).last().unwrap().received;
    assert_eq!(last, 31 * MIB);
}

#[test]
fn silence_on_a_question_is_noticed_but_a_commit_may_take_its_time() {
    let scene = Scene::of_size(SIZE);
    scene.registry.fail_once(POST, Fault::Silent);
    scene.registry.fail_always(PUT, Fault::Stall(Duration::from_millis(1500)));
    scene.registry.fail_always("PUT */manifests/*", Fault::Stall(Duration::from_millis(1500)));
    scene.succeeds(&["--stall-timeout=0.5"]);
    assert_eq!(scene.registry.count(PUT), 2, "{}", scene.story());
}

#[test]
fn lost_answer_to_the_last_request_is_asked_for_before_anything_is_sent_again() {
    for fault in [Fault::Close, Fault::Reset, Fault::Lost(504), Fault::Lost(500)] {
        let scene = Scene::of_size(SIZE);
        scene.registry.rule(Rule::on(PUT).fault(fault.clone()));
        scene.succeeds(&[]);
        assert_eq!(scene.sent(), scene.size(), "{fault:?}: {}", scene.story());
    }
    for fault in [Fault::Close, Fault::Reset, Fault::Lost(503)] {
        let scene = Scene::of_size(1000);
        scene.registry.fail_once("PUT */manifests/1", fault);
        scene.succeeds(&[]);
    }
}

#[test]
fn answer_that_only_accepts_is_not_believed() {
    for status in [200, 202, 204] {
        let scene = Scene::of_size(SIZE);
        scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::answer(status, &[], "")));
        scene.succeeds(&[]);
        let scene = Scene::of_size(SIZE);
        scene.registry.rule(Rule::on(PUT).fault(Fault::Lost(status)));
        scene.succeeds(&[]);
        assert_eq!(scene.sent(), scene.size());
    }
}

#[test]
fn forgotten_upload_is_begun_anew() {
    let forgotten = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#;
    let invalid = r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}"#;
    for (status, body) in
        [(404, forgotten), (404, ""), (400, invalid), (404, invalid), (416, invalid)]
    {
        let scene = Scene::of_size(SIZE);
        scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::answer(status, &[], body)));
        scene.succeeds(&[]);
    }
}

#[test]
fn content_that_was_spoilt_on_the_way_is_sent_again_once() {
    let spoilt =
        || Fault::answer(400, &[], r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
    let scene = Scene::of_size(SIZE);
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(spoilt()));
    scene.succeeds(&[]);
    let scene = Scene::of_size(SIZE);
    scene.registry.rule(layer(Rule::on(PUT)).fault(spoilt()));
    scene.fails(7, "DIGEST_INVALID: no", &[]);
    assert_eq!(scene.registry.count("DELETE /v2/box/blobs/uploads/*"), 2);
}

#[test]
fn registry_that_states_another_digest_is_not_believed() {
    let other = format!("sha256:{}", "0".repeat(64));
    for pattern in [PUT, "PUT */manifests/*"] {
        let scene = Scene::of_size(1000);
        let header = Fault::header("Docker-Content-Digest", &other);
        scene.registry.fail_always(pattern, header);
        scene.push(&[]).exits(7).prints("").says(&other);
        let scene = Scene::of_size(1000);
        scene.registry.fail_always(pattern, Fault::no_digest_header());
        scene.succeeds(&[]);
    }
}

#[test]
fn location_of_an_upload_may_be_relative_or_absolute_and_keeps_its_query() {
    let scene = Scene::of_size(SIZE);
    scene.registry.takes(Push { location: Location::PathWithQuery, ..Push::default() });
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::ResetKeeping(MIB)));
    scene.succeeds(&["-vv"]).never_says("a%2Fb");
    let puts = scene.registry.requests_for(PUT);
    assert!(puts.iter().all(|it| it.query.starts_with("_state=a%2Fb%3D&digest=sha256%3A")));
    let scene = Scene::of_size(SIZE);
    let location = Location::At(format!("http://{}", scene.registry.host()));
    scene.registry.takes(Push { location, ..Push::default() });
    scene.succeeds(&[]);
}

#[test]
fn post_without_a_location_is_an_error_of_the_registry() {
    let scene = Scene::of_size(1000);
    scene.registry.fail_always(POST, Fault::no_header("Location"));
    scene.fails(5, "does not say where to send it", &["--retries=2"]);
}

#[test]
fn redirected_upload_is_followed_if_it_may_have_a_body() {
    let other = Registry::start();
    for (status, follows) in [(307, true), (308, true), (301, false), (302, false), (303, false)] {
        let scene = Scene::of_size(SIZE);
        scene
            .registry
            .fail_always(POST, Fault::Redirect(status, other.url("/v2/box/blobs/uploads/")));
        let output = scene.push(&[]);
        assert!(output.stdout().is_empty(), "the manifest is refused\n{output}");
        let arrived = scene.image.blobs.iter().all(|it| other.blob("box", &it.digest).is_some());
        assert_eq!(arrived, follows, "{status}\n{output}");
        scene.image.blobs.iter().for_each(|it| other.remove("box", &it.digest));
        other.forget();
    }
}

#[test]
fn proxy_that_cannot_be_asked_is_sent_it_all_the_same() {
    let scene = Scene::of_size(SIZE);
    let asked = |it: &crate::support::Request| it.header("expect").is_some();
    scene.registry.rule(Rule::on(PUT).only(asked).fault(Fault::Early(417)));
    scene.succeeds(&[]);
    assert_eq!(scene.sent(), scene.size(), "{}", scene.story());
}

#[test]
fn interrupted_push_ends_soon_and_says_so() {
    let scene = Scene::of_size(16 * MIB);
    scene.registry.rule(layer(Rule::on(PUT)).once().fault(Fault::HangKeeping(MIB)));
    let running = scene.command(&["--stall-timeout=20"]).spawn();
    while scene.registry.count(PUT) < 2 {
        std::thread::yield_now();
    }
    running.interrupt();
    let output = running.wait().exits(130).prints("");
    assert!(output.took < Duration::from_secs(10), "{output}");
    scene.succeeds(&[]);
}
