use super::{MIB, Scene, each};
use crate::support::{Fault, Rule};

const SIZE: u64 = MIB;

/// An answer of our own making, in front of the manifest's bytes.
fn manifest_behind(scene: &Scene, noise: &[u8]) -> Fault {
    let root = scene.image.root();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        root.media_type,
        root.size()
    );
    Fault::Raw([noise, head.as_bytes(), &root.content.to_vec()].concat())
}

#[test]
fn interim_answers_are_passed_over() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n";
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let cases = [go_on.to_owned(), go_on.repeat(3), hint.to_owned(), hint.repeat(3)];
    each(&cases, |noise| {
        let scene = Scene::of_size(SIZE);
        let answer = manifest_behind(&scene, noise.as_bytes());
        scene.registry.fail_once(&scene.manifest(), answer);
        scene.succeeds(&[]);
        assert_eq!(scene.registry.count(&scene.manifest()), 1);
    });
}

#[test]
fn registry_of_http_1_0_will_do() {
    let scene = Scene::of_size(SIZE);
    for piece in scene.image.blobs.iter().chain([scene.image.root()]) {
        let head = format!("HTTP/1.0 200 OK\r\nContent-Type: {}\r\n\r\n", piece.media_type);
        let answer = Fault::Raw([head.as_bytes(), &piece.content.to_vec()].concat());
        let target = if *piece.digest == scene.image.digest { "1" } else { &piece.digest };
        scene.registry.fail_always(&format!("GET /v2/box/*/{target}"), answer);
    }
    scene.succeeds(&["--plain-http"]).never_says("retrying");
    assert_eq!(scene.registry.count(&scene.layer()), 1);
}

/// The layer in chunks, up to and with `end`, which takes the place of the last chunks.
fn chunks(scene: &Scene, sent: usize, end: &str) -> Fault {
    let content = scene.image.layers()[0].content.to_vec();
    let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in content[..sent].chunks(100_000) {
        raw.extend(format!("{:x}\r\n", chunk.len()).bytes());
        raw.extend(chunk);
        raw.extend(b"\r\n");
    }
    raw.extend(end.bytes());
    Fault::Raw(raw)
}

#[test]
fn chunks_that_break_off_or_make_no_sense_cost_only_what_is_missing() {
    let most = 600_000;
    let whole = usize::try_from(SIZE).unwrap();
    let cases = [
        (most, "", 2),
        (most, "1", 2),
        (most, "186a0", 2),
        (most, "186a0\r", 2),
        (most, "186a0\r\n", 2),
        (most, "zz\r\nabc\r\n", 2),
        (most, "-1\r\nabc\r\n", 2),
        (most, "fffffffffffffffff\r\nabc", 2),
        (most, "0\r\n\r\n", 2),
        // Nothing is missing.
        (whole, "", 1),
        (whole, "0\r\n", 1),
        (whole, "0\r\nX-Trailer: yes\r\n\r\n", 1),
    ];
    each(&cases, |&(sent, end, requests)| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_once(&scene.layer(), chunks(&scene, sent, end));
        scene.succeeds(&[]);
        assert_eq!(scene.registry.count(&scene.layer()), requests);
        let again = scene.registry.bytes_sent(&scene.layer());
        let missing = SIZE - sent as u64 + super::SLACK;
        assert!(again <= missing, "{again} bytes: {}", scene.story());
    });
}

#[test]
fn interim_answers_without_end_end() {
    let scene = Scene::of_size(SIZE);
    let noise = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000);
    scene.registry.fail_always(&scene.manifest(), Fault::Raw(noise.into_bytes()));
    let args = ["--retries=2", "--stall-timeout=1", "--plain-http"];
    let output = scene.pull(&args).exits(5);
    assert!(output.took.as_secs() < 10, "{output}");
    scene.recovers(SIZE);
}

#[test]
fn answer_that_is_no_http_is_exit_5_and_told_as_such() {
    let cases = [
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        "\r\n\r\n\r\n".to_owned(),
        "HTTP/1.1 OK\r\n\r\n".to_owned(),
        "HTTP/9.9 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Flood: yes\r\n".repeat(10_000)),
        format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20)),
        "\u{1b}[2J\u{7}".repeat(100),
    ];
    each(&cases, |raw| {
        for pattern in ["GET /v2/box/manifests/1", "GET /v2/box/blobs/*"] {
            let scene = Scene::of_size(SIZE);
            scene.registry.fail_always(pattern, Fault::Raw(raw.clone().into_bytes()));
            let output = scene.pull(&["--retries=2", "--stall-timeout=1", "--plain-http"]);
            assert!([5, 7].contains(&output.status()), "{output}");
            assert!(output.took.as_secs() < 10, "{output}");
            output.never_says("\u{1b}").never_says("\u{7}");
            scene.is_whole();
            scene.recovers(SIZE);
        }
    });
}

#[test]
fn garbage_after_an_answer_on_a_kept_connection_does_no_harm() {
    for pattern in ["GET /v2/box/manifests/1", "GET /v2/box/blobs/*"] {
        let scene = Scene::of_size(SIZE);
        // The length is right, and more follows.
        let rule = Rule::on(pattern).fault(Fault::Extra(b"HTTP/1.1 junk".to_vec()));
        scene.registry.rule(rule.fault(Fault::ContentLength(-13)));
        scene.succeeds(&["--jobs=1"]);
        assert!(scene.registry.requests().len() <= 6);
    }
}

#[test]
fn headers_that_say_odd_things_do_no_harm() {
    let headers = [
        ("Docker-Content-Digest", "sha256:zz"),
        ("Docker-Content-Digest", ""),
        ("Content-Type", ""),
        ("Content-Encoding", "identity"),
        ("Accept-Ranges", "none"),
        ("Connection", "close"),
        ("ETag", "\"\""),
        ("Date", "yesterday"),
        ("Set-Cookie", "a=b; Domain=.io"),
    ];
    each(&headers, |(name, value)| {
        let scene = Scene::of_size(SIZE);
        scene.registry.fail_always("GET /v2/box/*", Fault::header(name, value));
        scene.succeeds(&[]);
        scene.asked(1, 0);
    });
}

#[test]
fn idle_connections_that_were_closed_are_replaced_at_once() {
    for fault in [Fault::Close, Fault::Reset] {
        let scene = Scene::of_size(SIZE);
        // Every second request finds its connection closed.
        let reused = Rule::on("GET *").only(|request| request.reused);
        scene.registry.rule(reused.fault(fault));
        let output = scene.succeeds(&["--retries=1"]);
        output.never_says("trying again");
        assert_eq!(scene.registry.bytes_sent(&scene.layer()), SIZE);
    }
}
