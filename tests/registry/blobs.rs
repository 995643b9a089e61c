use windlass::endpoint::Source;
use windlass::error::{ErrorKind, Fault as NetworkFault, Remedy};
use windlass::image::MANIFEST_LIMIT;

use super::{assert_kind, blob, network, read_all, remote, remote_with};
use crate::support::{Content, Fault, Registry, Rule};

const BLOBS: &str = "GET /v2/box/blobs/*";
const SIZE: u64 = 300_000;

#[test]
fn whole_blob_comes_without_range_and_the_rest_by_a_closed_one() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    assert_eq!(read_all(remote.open(&descriptor, 7)).unwrap(), content[7..]);
    assert_eq!(read_all(remote.open_range(&descriptor, 5..9)).unwrap(), content[5..9]);
    assert_eq!(read_all(remote.open_range(&descriptor, 0..SIZE)).unwrap(), content);
    let requests = registry.requests_for(BLOBS);
    let ranges: Vec<_> = requests.iter().map(|request| request.range()).collect();
    assert_eq!(ranges, [None, Some((7, Some(SIZE - 1))), Some((5, Some(8))), None]);
    assert_eq!(registry.connections(), 2, "one was not HTTP: the look for TLS");
    assert!(requests.iter().skip(1).all(|request| request.reused));
    assert!(requests.iter().all(|request| request.header("accept-encoding") == Some("identity")));
}

#[test]
fn empty_blob_is_a_blob() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, 0);
    assert_eq!(read_all(remote(&registry).open(&descriptor, 0)).unwrap(), b"");
}

#[test]
fn blob_that_is_cut_is_told_as_the_wire_at_any_byte() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    let framings = [None, Some(Fault::Chunked), Some(Fault::CloseDelimited)];
    for framing in framings {
        for at in [0, 1, 511, 65_535, SIZE / 2, SIZE - 1] {
            for cut in [Fault::CutFin(at), Fault::CutRst(at)] {
                registry.recover();
                let rule = Rule::on(BLOBS).once().fault(cut);
                registry.rule(framing.iter().cloned().fold(rule, Rule::fault));
                let error = network(read_all(remote.open(&descriptor, 0)), NetworkFault::Cut);
                assert_eq!(error.remedy(), Remedy::Resume);
            }
        }
    }
    assert_eq!(read_all(remote.open(&descriptor, SIZE - 1)).unwrap(), content[content.len() - 1..]);
}

#[test]
fn blob_may_come_in_any_framing() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    for framing in [Fault::Chunked, Fault::CloseDelimited] {
        registry.fail_times(2, BLOBS, framing);
        assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
        assert_eq!(read_all(remote.open(&descriptor, 9)).unwrap(), content[9..]);
        registry.recover();
    }
}

#[test]
fn wrong_length_is_refused_before_a_byte_is_read() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, SIZE);
    let remote = remote(&registry);
    for off in [5, -5, 1, -1] {
        registry.fail_once(BLOBS, Fault::ContentLength(off));
        assert_kind!(remote.open(&descriptor, 0), ErrorKind::Size { expected: SIZE, .. });
        registry.recover();
    }
}

#[test]
fn blob_never_yields_more_than_its_size() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, SIZE);
    let remote = remote(&registry);
    registry.rule(Rule::on(BLOBS).fault(Fault::Extra(b"x".to_vec())).fault(Fault::Chunked));
    assert_kind!(read_all(remote.open(&descriptor, 0)), ErrorKind::Size { .. });
    registry.recover();
    registry.fail_always(BLOBS, Fault::Endless);
    assert_kind!(read_all(remote.open(&descriptor, 0)), ErrorKind::Size { .. });
    assert!(registry.bytes_sent(BLOBS) < 64 * MANIFEST_LIMIT);
}

#[test]
fn stalled_and_dripping_blobs_are_given_up() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, SIZE);
    let remote = remote(&registry);
    let long = std::time::Duration::from_secs(5);
    registry.fail_once(BLOBS, Fault::StallAfter(1000, long));
    network(read_all(remote.open(&descriptor, 0)), NetworkFault::Stall);
    registry.recover();
    registry.fail_once(BLOBS, Fault::Silent);
    network(remote.open(&descriptor, 0), NetworkFault::Stall);
    registry.recover();
    let every = std::time::Duration::from_millis(20);
    registry.fail_once(BLOBS, Fault::Drip { bytes: 1, every });
    network(read_all(remote.open(&descriptor, 0)), NetworkFault::Stall);
}

#[test]
fn partial_answers_are_taken_only_if_they_are_what_was_asked_for() {
    for (fault, taken) in [
        (Fault::content_range("bytes 7-299999/300000"), true),
        (Fault::content_range("bytes 7-299999/*"), true),
        (Fault::content_range("bytes 0-299999/300000"), false),
        (Fault::content_range("bytes 8-299999/300000"), false),
        (Fault::content_range("bytes 7-299998/300000"), false),
        (Fault::content_range("bytes 7-299999/300001"), false),
        (Fault::content_range("items 7-299999/300000"), false),
        (Fault::content_range("bytes */300000"), false),
        (Fault::no_header("Content-Range"), false),
        (Fault::AddHeader("Content-Range".into(), "bytes 7-299999/300000".into()), false),
        (Fault::RangeStatus(400), false),
        (Fault::RangeStatus(416), false),
        (Fault::RangeStatus(501), false),
    ] {
        let registry = Registry::start();
        let (descriptor, content) = blob(&registry, SIZE);
        let remote = remote(&registry);
        registry.fail_always(BLOBS, fault.clone());
        let opened = read_all(remote.open(&descriptor, 7));
        if taken {
            assert_eq!(opened.unwrap(), content[7..], "{fault:?}");
            continue;
        }
        assert!(!remote.takes_ranges(&super::blob(&registry, 5).0), "{fault:?}");
        let error = opened.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Range(_)), "{fault:?}: {error:?}");
        assert_eq!(error.remedy(), Remedy::Restart);
        registry.forget();
        assert_kind!(remote.open_range(&descriptor, 7..9), ErrorKind::Range(_));
        assert_eq!(registry.count(BLOBS), 0, "not asked again");
        // The same host serves plain requests.
        registry.recover();
        assert_eq!(read_all(remote.open(&descriptor, 7)).unwrap(), content[7..]);
        assert_eq!(registry.requests_for(BLOBS)[0].range(), None);
    }
}

#[test]
fn ignored_range_is_skipped_over_and_remembered() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    registry.fail_always(BLOBS, Fault::IgnoreRange);
    let strict = remote(&registry);
    assert!(strict.takes_ranges(&descriptor));
    assert_kind!(strict.open_range(&descriptor, 7..9), ErrorKind::Range(_));
    assert!(!strict.takes_ranges(&descriptor));
    let remote = remote(&registry);
    assert_eq!(read_all(remote.open(&descriptor, 70_000)).unwrap(), content[70_000..]);
    assert!(!remote.takes_ranges(&descriptor));
}

#[test]
fn ranges_that_get_no_answer_twice_in_a_row_are_not_asked_for_again() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    registry.rule(Rule::on(BLOBS).only(|it| it.range().is_some()).fault(Fault::Silent));
    network(remote.open_range(&descriptor, 3..9), NetworkFault::Stall);
    assert!(remote.takes_ranges(&descriptor));
    network(remote.open_range(&descriptor, 3..9), NetworkFault::Stall);
    assert!(!remote.takes_ranges(&descriptor));
    assert_eq!(read_all(remote.open(&descriptor, 3)).unwrap(), content[3..]);
}

#[test]
fn encoding_that_nobody_asked_for_is_undone_only_if_it_is_real() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote_of = || remote(&registry);

    registry.fail_always(BLOBS, Fault::GzipLabel);
    assert_eq!(read_all(remote_of().open(&descriptor, 0)).unwrap(), content, "label, right length");
    assert_eq!(read_all(remote_of().open(&descriptor, 5)).unwrap(), content[5..]);
    registry.rule(Rule::on(BLOBS).fault(Fault::Chunked));
    assert_eq!(read_all(remote_of().open(&descriptor, 0)).unwrap(), content, "label, no length");
    registry.recover();

    registry.fail_always(BLOBS, Fault::Gzip);
    let remote = remote_of();
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    assert!(!remote.takes_ranges(&descriptor));
    assert_eq!(read_all(remote.open(&descriptor, 5)).unwrap(), content[5..]);
    registry.rule(Rule::on(BLOBS).fault(Fault::Chunked));
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content, "known by now");
    let remote = remote_of();
    assert_ne!(read_all(remote.open(&descriptor, 0)).ok(), Some(content.clone()), "taken raw");
    assert_eq!(read_all(remote.open_afresh(&descriptor)).unwrap(), content, "now it is believed");
    assert_eq!(read_all(remote.open(&descriptor, 5)).unwrap(), content[5..], "and ever after");
    registry.recover();

    registry.fail_once(BLOBS, Fault::header("Content-Encoding", "br"));
    assert_kind!(remote.open(&descriptor, 0), ErrorKind::Content(_));
}

#[test]
fn inflated_blob_stays_within_its_size() {
    let registry = Registry::start();
    let zeros = Content::from(vec![0; 1 << 20]);
    let digest = registry.put_blob("box", zeros);
    let mut descriptor = blob(&registry, 1).0;
    descriptor.digest = digest.parse().unwrap();
    descriptor.size = 1000;
    registry.fail_always(BLOBS, Fault::Gzip);
    assert_kind!(read_all(remote(&registry).open(&descriptor, 0)), ErrorKind::Size { .. });
}

#[test]
fn fresh_attempt_avoids_caches_and_kept_connections() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    read_all(remote.open(&descriptor, 0)).unwrap();
    assert_eq!(read_all(remote.open_afresh(&descriptor)).unwrap(), content);
    let requests = registry.requests_for(BLOBS);
    assert!(!requests[1].reused);
    assert_eq!(requests[1].header("cache-control"), Some("no-cache"));
}

#[test]
fn missing_blob_is_named_with_its_place_and_the_registrys_code() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, 9);
    registry.remove("box", &descriptor.digest.to_string());
    let error = remote(&registry).open(&descriptor, 0).err().unwrap();
    let place = registry.name("box");
    let digest = descriptor.digest;
    assert_eq!(
        error.to_string(),
        format!(
            "reading blob {digest}: the registry answered 404 BLOB_UNKNOWN: blob {digest} is \
             missing at {place}: blob unknown to registry"
        )
    );
    assert_eq!(error.remedy(), Remedy::None);
}

#[test]
fn page_instead_of_a_blob_is_a_wrong_size() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, SIZE);
    let page = Fault::answer(200, &[("Content-Type", "text/html")], "<html>log in</html>");
    registry.fail_once(BLOBS, page);
    assert_kind!(remote(&registry).open(&descriptor, 0), ErrorKind::Size { .. });
}

#[test]
fn kept_connection_that_was_closed_is_replaced_at_once() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    for fault in [Fault::Close, Fault::Reset] {
        registry.forget();
        let reused = Rule::on(BLOBS).only(|request| request.reused);
        registry.rule(reused.once().fault(fault));
        for _ in 0..2 {
            assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
        }
        registry.recover();
    }
    registry.fail_once(BLOBS, Fault::Close);
    let fresh = super::remote(&registry);
    network(fresh.open(&descriptor, 0), NetworkFault::Cut);
}

#[test]
fn malformed_answers_are_told_as_such() {
    let registry = Registry::start();
    let (descriptor, content) = blob(&registry, SIZE);
    let remote = remote(&registry);
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    for raw in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
    ] {
        registry.fail_once(BLOBS, Fault::Raw(raw.to_vec()));
        network(read_all(remote.open(&descriptor, 0)), NetworkFault::Protocol);
        registry.recover();
    }
    registry.fail_once(BLOBS, Fault::TwoContentLengths);
    network(read_all(remote.open(&descriptor, 0)), NetworkFault::Protocol);
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab";
    registry.fail_once(BLOBS, Fault::Raw(chunk.to_vec()));
    assert!(read_all(remote.open(&descriptor, 0)).is_err());
    let headers = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    registry.fail_once(BLOBS, Fault::Raw(headers.into_bytes()));
    network(remote.open(&descriptor, 0), NetworkFault::Protocol);
}

#[test]
fn shutdown_ends_what_is_under_way() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, SIZE);
    registry.fail_always(BLOBS, Fault::StallAfter(1000, std::time::Duration::from_secs(20)));
    let client = super::client_with(&registry, |options| {
        options.stall_timeout = std::time::Duration::from_secs(20);
    });
    let remote = client.repository(super::name(&registry, "box:1").repository());
    let content = remote.open(&descriptor, 0);
    let reading = std::thread::spawn(move || read_all(content));
    while registry.bytes_sent(BLOBS) == 0 {
        std::thread::yield_now();
    }
    client.shutdown();
    assert_kind!(reading.join().unwrap(), ErrorKind::Interrupted);
    assert_kind!(remote.open(&descriptor, 0), ErrorKind::Interrupted);
}

#[test]
fn mirror_is_asked_first_and_what_it_lacks_comes_from_the_registry() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let (descriptor, content) = blob(&registry, SIZE);
    blob(&mirror, SIZE);
    let (other, other_content) = blob(&registry, 99);
    let remote = remote_with(&registry, |options| {
        let host = registry.host();
        let mirror = windlass::registry::Mirror { host, url: mirror.url("") };
        options.mirrors = vec![mirror];
    });
    assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content);
    assert_eq!(registry.count("*"), 0);
    let query = &mirror.requests()[0].query;
    assert_eq!(*query, format!("ns={}", registry.host().replace(':', "%3A")));
    assert_eq!(read_all(remote.open(&other, 0)).unwrap(), other_content);
    assert_eq!(registry.count(BLOBS), 1);

    mirror.fail_always(BLOBS, Fault::CutRst(1000));
    network(read_all(remote.open(&descriptor, 0)), NetworkFault::Cut);
    assert_eq!(read_all(remote.open(&descriptor, 1000)).unwrap(), content[1000..]);
    assert_eq!(registry.count(BLOBS), 2, "the mirror is out of service");
}
