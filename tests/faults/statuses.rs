use std::time::{Duration, SystemTime};

use super::{MIB, Scene, each};
use crate::support::{Fault, Rule};

const SIZE: u64 = MIB;

const TRANSIENT: [u16; 12] = [408, 429, 499, 500, 502, 503, 504, 520, 521, 522, 524, 529];
const PERMANENT: [u16; 9] = [400, 402, 405, 406, 410, 413, 418, 501, 505];

#[test]
fn transient_statuses_pass() {
    let cases: Vec<_> = TRANSIENT.iter().flat_map(|code| [(*code, 1), (*code, 3)]).collect();
    each(&cases, |&(code, times)| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_times(times, &scene.layer(), Fault::Status(code));
        scene.succeeds(&[]).says(&format!("answered {code}"));
        let requests = scene.registry.requests_for(&scene.layer());
        assert_eq!(requests.len(), times as usize + 1);
        let last = requests.last().unwrap();
        assert_eq!((last.status, last.sent), (200, SIZE));
    });
}

#[test]
fn transient_statuses_that_stay_end_after_the_attempts_that_are_allowed() {
    each(&TRANSIENT, |&code| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_times(100, &scene.layer(), Fault::Status(code));
        let status = if code == 429 { 6 } else { 5 };
        let message = format!("after 3 attempts: reading blob {}", scene.image.layers()[0].digest);
        let output = scene.fails(status, &message, &["--retries=3"]);
        output.says(&format!("answered {code} UNKNOWN: a fault on request\n")).says("\nhelp: ");
        assert_eq!(scene.registry.count(&scene.layer()), 3);
        scene.recovers(SIZE);
        let again = scene.registry.count("GET /v2/box/blobs/*");
        assert_eq!(again, 1, "the config is there already");
    });
}

#[test]
fn transient_statuses_of_manifests_and_configs_pass_too() {
    let mut cases = Vec::new();
    for code in [429, 500, 503, 522] {
        cases.extend([(code, "manifests/1"), (code, "blobs/CONFIG")]);
    }
    each(&cases, |&(code, target)| {
        let scene = Scene::of_size(SIZE);
        let target = target.replace("CONFIG", &scene.image.config().digest);
        let pattern = format!("GET /v2/box/{target}");
        scene.registry.fail_times(2, &pattern, Fault::Status(code));
        scene.succeeds(&[]);
        scene.registry.fail_always(&pattern, Fault::Status(code));
        scene.registry.forget();
        let other = Scene { windlass: crate::support::Windlass::new(), ..scene };
        let status = if code == 429 { 6 } else { 5 };
        other.fails(status, "after 3 attempts", &["--retries=3"]);
        assert_eq!(other.registry.count(&pattern), 3, "three attempts, whoever asks");
        other.recovers(SIZE);
    });
}

#[test]
fn permanent_statuses_end_it_at_once_and_keep_what_has_come() {
    each(&PERMANENT, |&code| {
        let scene = Scene::of_size(SIZE);
        // Not at the first request: 400 and 501 could mean that ranges are not taken.
        scene.registry.fail_always(&scene.layer(), Fault::Status(code));
        let status = if code >= 500 { 5 } else { 1 };
        scene.fails(status, &format!("answered {code} UNKNOWN"), &[]).never_says("attempts");
        assert_eq!(scene.registry.count(&scene.layer()), 1);
        scene.recovers(SIZE);
    });
}

#[test]
fn statuses_in_the_middle_keep_what_has_come() {
    each(&[403, 404, 500], |&code| {
        let scene = Scene::of_size(4 * SIZE);
        scene.registry.fail_once(&scene.layer(), Fault::CutFin(3 * SIZE));
        let resumed = Rule::on(&scene.layer()).only(|request| request.range().is_some());
        scene.registry.rule(resumed.fault(Fault::Status(code)));
        let status = [(403, 4), (404, 3), (500, 5)].iter().find(|it| it.0 == code).unwrap().1;
        scene.fails(status, &format!("{code}"), &["--retries=2"]);
        assert_eq!(scene.kept(), 3 * SIZE);
        scene.recovers(SIZE);
    });
}

#[test]
fn missing_blob_is_named_with_its_place_and_the_others_stay() {
    let scene = Scene::of_size(SIZE);
    let layer = scene.image.layers()[0].clone();
    scene.registry.remove("box", &layer.digest);
    let place = format!("{}/box", scene.registry.host());
    let output = scene.fails(3, &format!("blob {}", layer.digest), &["--jobs=1"]);
    output.says("BLOB_UNKNOWN").says(&place);
    assert_eq!(scene.registry.count(&scene.layer()), 1);
    assert!(super::blob(&scene.windlass.store(), &scene.image.config().digest).is_file());
    scene.registry.put_blob("box", &layer.content);
    scene.recovers(SIZE);
    assert_eq!(scene.registry.count("GET /v2/box/blobs/*"), 1);
}

fn http_date(time: SystemTime) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT", "-d"])
        .arg(format!("@{}", time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn wait_that_the_registry_asks_for_is_kept() {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let (now, then) = (http_date(long_ago), http_date(long_ago + Duration::from_secs(2)));
    let cases = [
        (429, vec![("Retry-After", "2")], 2000_u64),
        (503, vec![("Retry-After", "1")], 1000),
        (429, vec![("Retry-After", &then), ("Date", &now)], 2000),
        (429, vec![("Retry-After", "0")], 0),
        (429, vec![("Retry-After", &now), ("Date", &then)], 0),
        // Our own wait, for what cannot be understood.
        (429, vec![("Retry-After", "soon")], 200),
    ];
    each(&cases, |(code, headers, wait)| {
        let scene = Scene::of_size(SIZE);
        for pattern in [scene.manifest(), scene.layer()] {
            scene.registry.fail_once(&pattern, Fault::answer(*code, headers, ""));
            scene.registry.rule(Rule::on(&pattern).fault(Fault::NoHeader("X".into())));
        }
        scene.succeeds(&[]);
        for pattern in [scene.manifest(), scene.layer()] {
            let requests = scene.registry.requests_for(&pattern);
            let waited = requests[1].at - requests[0].at;
            let least = Duration::from_millis(*wait);
            assert!(waited >= least, "waited {waited:?}, asked for {least:?}");
            assert!(waited < least + Duration::from_millis(900), "waited {waited:?}");
        }
    });
}

#[test]
fn wait_that_is_too_long_is_told_instead_of_waited_for() {
    let cases = [
        ("121", "121 s", None),
        ("1000000000", "asked to wait ", None),
        ("99999999999999999999999999", "asked to wait ", None),
        ("3", "waiting at most 2 s, asked to wait 3 s", Some("--retry-max-wait=2")),
    ];
    each(&cases, |(asked, message, option)| {
        for on_manifest in [true, false] {
            let scene = Scene::of_size(SIZE);
            let pattern = if on_manifest { scene.manifest() } else { scene.layer() };
            let answer = Fault::answer(429, &[("Retry-After", asked)], "");
            scene.registry.fail_always(&pattern, answer);
            let args: Vec<&str> = option.iter().copied().collect();
            let output = scene.fails(6, message, &args);
            assert!(output.took < Duration::from_secs(8), "{output}");
            assert_eq!(scene.registry.count(&pattern), 1);
            scene.recovers(SIZE);
        }
    });
}

#[test]
fn rate_limit_holds_all_connections_back() {
    let layers = (1..=8).fold(crate::support::ImageBuilder::new(), |image, seed| {
        image.layer_random(seed, 200_000 + seed)
    });
    let scene = Scene::of(layers.build());
    let first = scene.image.layers()[0].digest.clone();
    let limited = Fault::answer(429, &[("Retry-After", "1")], "");
    scene.registry.fail_once(&format!("GET /v2/box/blobs/{first}"), limited);
    scene.succeeds(&["--jobs=1"]);
    let requests = scene.registry.requests_for("GET /v2/box/blobs/*");
    let limited = requests.iter().position(|request| request.status == 429).unwrap();
    let next = requests[limited + 1].at - requests[limited].at;
    assert!(next >= Duration::from_secs(1), "the next request came after {next:?}");
    assert_eq!(requests.len(), scene.image.blobs.len() + 1, "one layer twice");
}
