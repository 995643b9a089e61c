use windlass::endpoint::Source;
use windlass::error::{ErrorKind, Fault as NetworkFault, Remedy};

use super::{assert_kind, blob, network, read_all, remote, remote_with};
use crate::support::{Fault, Registry, Rule, Tls};

const BLOBS: &str = "GET /v2/box/blobs/*";

#[test]
fn redirects_are_followed_in_every_form() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let (descriptor, content) = blob(&registry, 5000);
    let path = format!("/v2/box/blobs/{}", descriptor.digest);
    storage.put_file("/signed", content.clone());
    registry.put_file("/files/here", content.clone());
    let remote = remote(&registry);
    for status in [301, 302, 303, 307, 308] {
        for location in [
            storage.url("/signed?sig=1"),
            storage.url("/signed").replace("http:", ""),
            registry.url("/files/here"),
            "/files/here?x=y".into(),
            "../../../../files/here".into(),
        ] {
            registry.rule(Rule::on(&path).once().fault(Fault::Redirect(status, location.clone())));
            assert_eq!(read_all(remote.open(&descriptor, 0)).unwrap(), content, "{location}");
            registry.recover();
        }
    }
    registry.fail_once(&path, Fault::redirect(storage.url("/signed")));
    assert_eq!(read_all(remote.open(&descriptor, 7)).unwrap(), content[7..]);
    let last = storage.requests().pop().unwrap();
    assert_eq!(last.range(), Some((7, Some(4999))), "the range goes along");
    assert!(last.header("authorization").is_none() && last.header("cookie").is_none());
}

#[test]
fn statuses_that_are_no_redirects_lead_nowhere() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let (descriptor, _) = blob(&registry, 10);
    let remote = remote(&registry);
    for status in [300, 304, 305, 306, 399] {
        registry.fail_once(BLOBS, Fault::Redirect(status, storage.url("/signed")));
        assert!(remote.open(&descriptor, 0).is_err(), "{status}");
        registry.recover();
    }
    assert_eq!(storage.count("*"), 0);
    registry.fail_once(BLOBS, Fault::answer(307, &[], ""));
    network(remote.open(&descriptor, 0), NetworkFault::Protocol);
}

#[test]
fn circles_end_after_five_hops() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, 10);
    registry.fail_always(BLOBS, Fault::redirect(registry.url("/a?token=hunter2")));
    registry.fail_always("/a*", Fault::redirect(registry.url("/a?token=hunter2")));
    let error = network(remote(&registry).open(&descriptor, 0), NetworkFault::Protocol);
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert_eq!(registry.count("*"), 6);
}

#[test]
fn hops_that_are_not_allowed_are_refused_by_name() {
    let registry = Registry::start();
    let (descriptor, _) = blob(&registry, 10);
    let remote = remote(&registry);
    for location in [
        "http://169.254.169.254/latest/?k=hunter2",
        "http://2852039166/?k=hunter2",
        "http://[::ffff:169.254.169.254]/?k=hunter2",
        "http://0.0.0.0/?k=hunter2",
        "http://[fd00:ec2::254]/?k=hunter2",
    ] {
        registry.fail_once(BLOBS, Fault::redirect(location));
        let error = remote.open(&descriptor, 0).err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Denied(_)), "{error:?}");
        assert!(error.to_string().contains("is refused"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        registry.recover();
    }
    for location in ["ftp://a.test/x", "file:///etc/passwd", "http://", "http://a b/"] {
        registry.fail_once(BLOBS, Fault::redirect(location));
        assert!(remote.open(&descriptor, 0).is_err(), "{location}");
        registry.recover();
    }
}

#[test]
fn redirect_to_this_machine_is_for_registries_on_this_machine() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let (descriptor, _) = blob(&registry, 10);
    registry.fail_always(BLOBS, Fault::redirect(storage.url("/signed")));
    let host = format!("registry.test:{}", registry.address().port());
    let options = windlass::registry::Options {
        plain_http: true,
        resolve: vec![("registry.test".into(), vec![registry.address()])],
        ..Default::default()
    };
    let client = windlass::registry::Registry::new(&host, options).unwrap();
    let repository = format!("{host}/box").parse().unwrap();
    assert_kind!(client.repository(&repository).open(&descriptor, 0), ErrorKind::Denied(_));
    assert_eq!((registry.count("*"), storage.count("*")), (1, 0));
}

#[test]
fn encryption_is_never_given_up_on_the_way() {
    let tls = Tls::new();
    let (registry, storage) = (Registry::start_tls(&tls), Registry::start());
    let (descriptor, _) = blob(&registry, 10);
    let remote = remote_with(&registry, |options| options.ca_files = vec![tls.ca_file()]);
    registry.fail_always(BLOBS, Fault::redirect(storage.url("/signed")));
    let error = remote.open(&descriptor, 0).err().unwrap();
    assert!(error.to_string().contains("it would give up encryption"), "{error}");
    assert_eq!(storage.count("*"), 0);
}

#[test]
fn redirect_that_has_expired_is_fetched_anew_by_the_next_attempt() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let (descriptor, content) = blob(&registry, 5000);
    storage.put_file("/signed", content.clone());
    registry.fail_always(BLOBS, Fault::redirect(storage.url("/signed")));
    for status in [400, 401, 403, 404, 410] {
        let remote = remote(&registry);
        storage.fail_once("/signed*", Fault::answer(status, &[], "<Error/>"));
        let error = network(remote.open(&descriptor, 9), NetworkFault::Cut);
        assert_eq!(error.remedy(), Remedy::Resume, "{status}");
        assert_eq!(read_all(remote.open(&descriptor, 9)).unwrap(), content[9..]);
        assert!(remote.takes_ranges(&descriptor));
        storage.recover();
    }
    for (status, offset) in [(401, 0), (403, 9), (404, 0), (410, 9), (400, 0)] {
        let remote = remote(&registry);
        storage.fail_always("/signed*", Fault::answer(status, &[], "<Error/>"));
        let attempts: Vec<Remedy> =
            (0..3).map(|_| remote.open(&descriptor, offset).err().unwrap().remedy()).collect();
        let expected = [Remedy::Resume, Remedy::Resume, Remedy::None];
        assert_eq!(attempts, expected, "{status} is meant");
        storage.recover();
    }
    let remote = remote(&registry);
    storage.fail_always("/signed*", Fault::RangeStatus(400));
    let attempts: Vec<Remedy> =
        (0..3).map(|_| remote.open(&descriptor, 9).err().unwrap().remedy()).collect();
    assert_eq!(attempts, [Remedy::Resume, Remedy::Resume, Remedy::Restart]);
    assert_eq!(read_all(remote.open(&descriptor, 9)).unwrap(), content[9..]);
}

#[test]
fn host_that_serves_decides_about_ranges() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let (large, content) = blob(&registry, 5000);
    let (small, small_content) = blob(&registry, 50);
    storage.put_file("/signed", content.clone());
    let path = format!("/v2/box/blobs/{}", large.digest);
    registry.fail_always(&path, Fault::redirect(storage.url("/signed")));
    storage.fail_always("/signed", Fault::IgnoreRange);
    let remote = remote(&registry);
    assert_eq!(read_all(remote.open(&small, 5)).unwrap(), small_content[5..]);
    assert_eq!(read_all(remote.open(&large, 5)).unwrap(), content[5..]);
    assert!(!remote.takes_ranges(&large));
    assert!(remote.takes_ranges(&small));
}
