//! What the faults do on the wire.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Ending, Seen};
use crate::support::*;

const BLOB: &str =
    "/v2/box/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn box_with_hello() -> Registry {
    let registry = Registry::start();
    assert!(BLOB.ends_with(&registry.put_blob("box", "hello")));
    registry
}

fn get(registry: &Registry, path: &str) -> Seen {
    Client::connect(registry.address()).get(path)
}

/// What a client sees of `hello` under a fault.
fn hello_with(fault: Fault) -> Seen {
    let registry = box_with_hello();
    registry.fail_once(BLOB, fault);
    let seen = get(&registry, BLOB);
    assert_eq!(get(&registry, BLOB).body, b"hello", "the fault comes only once");
    seen
}

#[test]
fn rules_cut_the_body_where_they_say() {
    for bytes in [0, 1, 4] {
        let part = &b"hello"[..usize::try_from(bytes).unwrap()];
        let seen = hello_with(Fault::CutFin(bytes));
        assert_eq!((seen.body.as_slice(), seen.ending), (part, Ending::Fin));
        let seen = hello_with(Fault::CutRst(bytes));
        assert_eq!((seen.body.as_slice(), seen.ending), (part, Ending::Rst));
    }
}

#[test]
fn reset_arrives_after_megabytes_that_a_slow_client_has_not_read() {
    let registry = Registry::start();
    let digest = registry.put_blob("box", Content::random(7, 3 << 20));
    let path = format!("/v2/box/blobs/{digest}");
    registry.fail_once(&path, Fault::CutRst(2 << 20));
    let seen = get(&registry, &path);
    assert_eq!((seen.body.len(), seen.ending), (2 << 20, Ending::Rst));
    assert_eq!(registry.requests()[0].sent, 2 << 20);
}

#[test]
fn answers_can_be_lost_before_their_first_byte() {
    assert_eq!(hello_with(Fault::Close).ending, Ending::Fin);
    assert_eq!(hello_with(Fault::Reset).ending, Ending::Rst);
    assert_eq!(hello_with(Fault::Silent).ending, Ending::Silence);
    assert_eq!(hello_with(Fault::Stall(Duration::from_secs(9))).ending, Ending::Silence);
}

#[test]
fn body_stalls_after_the_bytes_it_says() {
    let seen = hello_with(Fault::StallAfter(3, Duration::from_secs(9)));
    assert_eq!((seen.body.as_slice(), seen.ending), (&b"hel"[..], Ending::Silence));
}

#[test]
fn stall_goes_on_when_its_time_has_passed() {
    let seen = hello_with(Fault::StallAfter(3, Duration::from_millis(50)));
    assert_eq!((seen.body.as_slice(), seen.ending), (&b"hello"[..], Ending::Complete));
}

#[test]
fn framing_faults_are_on_the_wire() {
    assert_eq!(hello_with(Fault::Chunked).body, b"5\r\nhello\r\n0\r\n\r\n");
    let seen = hello_with(Fault::CloseDelimited);
    assert_eq!((seen.body.as_slice(), seen.ending), (&b"hello"[..], Ending::Fin));
    assert_eq!(seen.header("content-length"), None);
    let seen = hello_with(Fault::TwoContentLengths);
    assert_eq!(seen.headers("content-length"), ["5", "6"]);
    let seen = hello_with(Fault::ContentLength(5));
    assert_eq!((seen.header("content-length"), seen.ending), (Some("10"), Ending::Fin));
    assert_eq!(hello_with(Fault::ContentLength(-5)).header("content-length"), Some("0"));
    assert_eq!(hello_with(Fault::Raw(b"SSH-2.0\r\n".to_vec())).body, b"SSH-2.0\r\n");
}

#[test]
fn close_delimited_body_can_end_by_reset() {
    let registry = box_with_hello();
    let rule = Rule::on(BLOB).once().fault(Fault::CloseDelimited).fault(Fault::CutRst(5));
    registry.rule(rule);
    let seen = get(&registry, BLOB);
    assert_eq!((seen.body.as_slice(), seen.ending), (&b"hello"[..], Ending::Rst));
}

#[test]
fn content_faults_change_the_body() {
    assert_eq!(hello_with(Fault::Flip(1)).body, b"h\x9allo");
    assert_eq!(hello_with(Fault::Truncate(2)).body, b"he");
    assert_eq!(hello_with(Fault::Extra(b"!".to_vec())).body, b"hello!");
    assert_eq!(hello_with(Fault::Body(b"<html>".to_vec())).body, b"<html>");
    let seen = hello_with(Fault::Gzip);
    assert_eq!(seen.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&seen.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    let seen = hello_with(Fault::GzipLabel);
    assert_eq!((seen.header("content-encoding"), &seen.body[..]), (Some("gzip"), &b"hello"[..]));
}

#[test]
fn header_faults_change_the_head() {
    assert_eq!(hello_with(Fault::content_type("text/html")).headers("content-type"), ["text/html"]);
    assert_eq!(hello_with(Fault::no_digest_header()).header("docker-content-digest"), None);
    let seen = hello_with(Fault::answer(429, &[("Retry-After", "2")], "slow"));
    assert_eq!((seen.status(), seen.header("retry-after")), (429, Some("2")));
    let seen = hello_with(Fault::redirect("/elsewhere"));
    assert_eq!((seen.status(), seen.header("location")), (307, Some("/elsewhere")));
}

#[test]
fn endless_body_goes_on_until_the_client_goes() {
    let registry = box_with_hello();
    registry.rule(
        Rule::on(BLOB)
            .fault(Fault::Endless)
            .fault(Fault::StallAfter(1 << 20, Duration::from_secs(9))),
    );
    let seen = get(&registry, BLOB);
    assert_eq!((seen.body.len(), seen.ending), (1 << 20, Ending::Silence));
}

#[test]
fn ranges_are_exactly_those_of_the_specification() {
    let registry = box_with_hello();
    let mut client = Client::connect(registry.address());
    for (range, status, body, described) in [
        ("bytes=1-2", 206, "el", Some("bytes 1-2/5")),
        ("bytes=3-", 206, "lo", Some("bytes 3-4/5")),
        ("bytes=3-99", 206, "lo", Some("bytes 3-4/5")),
        ("bytes=5-6", 416, "", Some("bytes */5")),
    ] {
        let seen = client.range(BLOB, range);
        assert_eq!((seen.status(), seen.header("content-range")), (status, described));
        assert!(status == 416 || seen.body == body.as_bytes(), "{range}");
    }
    assert_eq!(registry.connections(), 1, "connections are kept");
}

#[test]
fn range_faults_concern_ranges() {
    let registry = box_with_hello();
    let mut client = Client::connect(registry.address());
    registry.fail_always(BLOB, Fault::RangeStatus(501));
    assert_eq!(client.range(BLOB, "bytes=1-2").status(), 501);
    assert_eq!(client.get(BLOB).status(), 200);
    registry.recover();
    registry.fail_always(BLOB, Fault::IgnoreRange);
    assert_eq!(client.range(BLOB, "bytes=1-2").body, b"hello");
    registry.recover();
    registry.fail_once(BLOB, Fault::Flip(0));
    assert_eq!(client.range(BLOB, "bytes=1-2").body, b"el");
    assert_eq!(client.range(BLOB, "bytes=0-2").body, b"\x97el", "the range that has the byte");
    registry.fail_once(BLOB, Fault::content_range("bytes 0-1/5"));
    assert_eq!(client.range(BLOB, "bytes=1-2").headers("content-range"), ["bytes 0-1/5"]);
}

#[test]
fn idle_connection_can_be_closed_on_its_second_request() {
    let registry = box_with_hello();
    registry.rule(Rule::on(BLOB).only(|request| request.reused).fault(Fault::Close));
    let mut client = Client::connect(registry.address());
    assert_eq!(client.get(BLOB).body, b"hello");
    assert_eq!(client.get(BLOB).ending, Ending::Fin);
}

#[test]
fn throttle_keeps_its_rate() {
    let registry = Registry::start();
    let digest = registry.put_blob("box", Content::random(1, 100_000));
    registry.fail_always("*", Fault::Throttle { bytes_per_second: 1_000_000 });
    let start = Instant::now();
    let seen = get(&registry, &format!("/v2/box/blobs/{digest}"));
    assert_eq!(seen.body.len(), 100_000);
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn log_counts_bytes_and_requests_at_once() {
    let registry = box_with_hello();
    registry.fail_always(BLOB, Fault::Stall(Duration::from_millis(100)));
    thread::scope(|scope| {
        scope.spawn(|| get(&registry, BLOB));
        scope.spawn(|| get(&registry, BLOB));
    });
    registry.recover();
    assert_eq!(registry.most_at_once(), 2);
    assert_eq!(registry.bytes_sent("GET */blobs/*"), 10);
    assert_eq!(registry.count("HEAD *"), 0);
    registry.forget();
    for _ in 0..20 {
        get(&registry, BLOB);
    }
    assert_eq!((registry.most_at_once(), registry.requests()[0].status), (1, 200));
}

#[test]
fn made_up_content_is_the_same_at_any_offset() {
    let content = Content::random(3, (3 << 20) + 5);
    let whole = content.to_vec();
    for start in [0, 1, 7, 8, (1 << 20) - 3, 1 << 20, (2 << 20) + 1] {
        let end = (start + (1 << 20) + 9).min(whole.len());
        assert_eq!(content.range(start as u64..end as u64), &whole[start..end]);
    }
    assert_ne!(whole[..1 << 20], whole[1 << 20..2 << 20], "no block is like another");
    assert_eq!(Content::from(whole).digest(), content.digest());
}

#[test]
fn images_can_be_pushed_and_asked_for() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]);
    assert_eq!(registry.push(&index, "box:1"), format!("{}/box:1", registry.host()));
    assert!(registry.holds("box", &index));
    let seen = get(&registry, "/v2/box/manifests/1");
    assert_eq!(seen.header("docker-content-digest"), Some(index.digest.as_str()));
    let document: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(document["manifests"][1]["platform"]["variant"], "v8");
    assert_eq!(index.digest, IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]).digest);
}

#[test]
fn tags_come_in_pages() {
    let registry = Registry::start();
    for tag in ["a", "b", "c"] {
        registry.put_tag("box", tag, "sha256:0");
    }
    registry.page_size(2);
    let seen = get(&registry, "/v2/box/tags/list");
    assert_eq!(seen.header("link"), Some("</v2/box/tags/list?n=2&last=b>; rel=\"next\""));
    let seen = get(&registry, "/v2/box/tags/list?n=2&last=b");
    let document: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!((&document["tags"], seen.header("link")), (&json!(["c"]), None));
    assert_eq!(get(&registry, "/v2/other/tags/list").status(), 404);
}
