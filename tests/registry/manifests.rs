use windlass::endpoint::Source;
use windlass::error::{ErrorKind, Fault as NetworkFault, Remedy};
use windlass::image::{Digest, MediaType};

use super::{assert_kind, name, network, remote};
use crate::support::{Content, Fault, Image, Registry, Rule};

const MANIFESTS: &str = "GET /v2/box/manifests/*";

fn registry_with_image() -> (Registry, Image) {
    let registry = Registry::start();
    let image = Image::small();
    registry.push(&image, "box:1");
    (registry, image)
}

#[test]
fn manifest_is_its_bytes_by_tag_and_by_digest() {
    let (registry, image) = registry_with_image();
    let remote = remote(&registry);
    let by_tag = remote.resolve(&name(&registry, "box:1")).unwrap();
    assert_eq!(by_tag.bytes(), image.root().content.to_vec());
    assert_eq!(by_tag.digest().to_string(), image.digest);
    let by_digest = remote.resolve(&name(&registry, &format!("box@{}", image.digest))).unwrap();
    assert_eq!(by_digest.bytes(), by_tag.bytes());
    let by_descriptor = remote.manifest(&by_tag.descriptor()).unwrap();
    assert_eq!(by_descriptor.bytes(), by_tag.bytes());
    let accept = registry.requests_for(MANIFESTS)[0].header("accept").unwrap().to_owned();
    assert!(accept.contains(MediaType::OCI_INDEX) && accept.contains(MediaType::DOCKER_MANIFEST));
}

#[test]
fn sha512_names_a_manifest_too() {
    let registry = Registry::start();
    let image = Image::small();
    registry.push(&image, "box:1");
    let root = image.root();
    let digest = root.content.sha512();
    registry.put_manifest_as("box", &digest, &root.media_type, &root.content);
    let reference = name(&registry, &format!("box@{digest}"));
    assert_eq!(remote(&registry).resolve(&reference).unwrap().digest().to_string(), digest);
}

#[test]
fn head_gives_the_descriptor_and_get_makes_up_for_a_bad_head() {
    let (registry, image) = registry_with_image();
    let remote = remote(&registry);
    let reference = name(&registry, "box:1");
    let expected = remote.resolve(&reference).unwrap().descriptor();
    registry.forget();
    assert_eq!(remote.head(&reference).unwrap(), expected);
    assert_eq!(registry.count(MANIFESTS), 0);
    let head = "HEAD /v2/box/manifests/*";
    for fault in [
        Fault::Status(405),
        Fault::Status(404),
        Fault::Status(500),
        Fault::no_digest_header(),
        Fault::content_type("application/json"),
        Fault::header("Docker-Content-Digest", "nonsense"),
    ] {
        registry.fail_once(head, fault.clone());
        assert_eq!(remote.head(&reference).unwrap(), expected, "{fault:?}");
        registry.recover();
    }
    registry.fail_once(head, Fault::header("Docker-Content-Digest", &Digest::of(b"").to_string()));
    let pinned = name(&registry, &format!("box@{}", image.digest));
    assert_kind!(remote.head(&pinned), ErrorKind::Digest { .. });
    registry.recover();
    registry.fail_always("/v2/box/manifests/*", Fault::Status(405));
    let error = remote.head(&reference).unwrap_err();
    let gets = registry.requests_for(MANIFESTS);
    assert_eq!(gets.last().unwrap().status, 405, "the error of GET is told");
    assert!(matches!(error.kind(), ErrorKind::Registry { status: 405, code: Some(_), .. }));
}

#[test]
fn missing_manifest_has_the_registrys_words() {
    let (registry, _) = registry_with_image();
    let error = remote(&registry).resolve(&name(&registry, "box:2")).unwrap_err().to_string();
    let reading = format!("reading manifest {}", registry.name("box:2"));
    assert_eq!(
        error,
        format!("{reading}: the registry answered 404 MANIFEST_UNKNOWN: manifest unknown")
    );
}

#[test]
fn transient_statuses_are_transient_with_their_wait() {
    let (registry, _) = registry_with_image();
    let remote = remote(&registry);
    for status in [408, 429, 499, 500, 502, 503, 504, 522] {
        registry.fail_once(MANIFESTS, Fault::answer(status, &[("Retry-After", "7")], ""));
        let error = remote.resolve(&name(&registry, "box:1")).unwrap_err();
        assert_eq!(error.remedy(), Remedy::Resume, "{status}");
        let wait = std::time::Duration::from_secs(7);
        let told = matches!(error.kind(), ErrorKind::Registry { retry_after: Some(it), .. } if *it == wait);
        assert!(told, "{error:?}");
        registry.recover();
    }
    for status in [400, 405, 410, 501, 505] {
        registry.fail_once(MANIFESTS, Fault::Status(status));
        let error = remote.resolve(&name(&registry, "box:1")).unwrap_err();
        assert_eq!(error.remedy(), Remedy::None, "{status}");
        registry.recover();
    }
}

#[test]
fn stated_digest_counts_and_a_missing_one_is_computed() {
    let (registry, _) = registry_with_image();
    let remote = remote(&registry);
    let reference = name(&registry, "box:1");
    registry.fail_once(MANIFESTS, Fault::no_digest_header());
    assert!(remote.resolve(&reference).is_ok());
    registry.recover();
    let other = Digest::of(b"other").to_string();
    registry.fail_once(MANIFESTS, Fault::header("Docker-Content-Digest", &other));
    assert_kind!(remote.resolve(&reference), ErrorKind::Digest { .. });
}

#[test]
fn other_manifest_than_asked_for_is_refused() {
    let (registry, image) = registry_with_image();
    let remote = remote(&registry);
    let descriptor = remote.resolve(&name(&registry, "box:1")).unwrap().descriptor();
    let mut other = image.root().content.to_vec();
    other.push(b' ');
    registry.rule(Rule::on(MANIFESTS).fault(Fault::answer(
        200,
        &[("Content-Type", MediaType::OCI_MANIFEST)],
        other,
    )));
    let pinned = name(&registry, &format!("box@{}", image.digest));
    assert_kind!(remote.resolve(&pinned), ErrorKind::Digest { .. });
    assert_kind!(remote.manifest(&descriptor), ErrorKind::Size { .. });
}

#[test]
fn content_type_of_another_kind_of_manifest_is_refused_and_others_are_ignored() {
    let (registry, _) = registry_with_image();
    let remote = remote(&registry);
    let reference = name(&registry, "box:1");
    let descriptor = remote.resolve(&reference).unwrap().descriptor();
    for (content_type, taken) in [
        ("application/json", true),
        ("application/octet-stream", true),
        ("text/plain; charset=utf-8", true),
        ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", true),
        (MediaType::OCI_INDEX, false),
        (MediaType::DOCKER_MANIFEST, false),
    ] {
        registry.fail_times(2, MANIFESTS, Fault::content_type(content_type));
        assert_eq!(remote.resolve(&reference).is_ok(), taken, "{content_type}");
        assert_eq!(remote.manifest(&descriptor).is_ok(), taken, "{content_type}");
        registry.recover();
    }
}

#[test]
fn page_instead_of_a_manifest_is_quoted() {
    let (registry, image) = registry_with_image();
    let remote = remote(&registry);
    let page = || Fault::answer(200, &[("Content-Type", "text/html")], "<html>\x1b[2J log in");
    for rest in ["box:1".to_owned(), format!("box@{}", image.digest)] {
        registry.fail_once(MANIFESTS, page());
        let error = remote.resolve(&name(&registry, &rest)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content(_)));
        let text = error.to_string();
        assert!(
            text.contains(r"answer is text/html, starts with `<html>\x1b[2J log in`"),
            "{text}"
        );
        registry.recover();
    }
}

#[test]
fn manifest_that_breaks_off_is_asked_for_once_more() {
    let (registry, _) = registry_with_image();
    let remote = remote(&registry);
    let reference = name(&registry, "box:1");
    let cut = || {
        let rule = Rule::on(MANIFESTS).fault(Fault::no_digest_header());
        rule.fault(Fault::CloseDelimited).fault(Fault::CutFin(100))
    };
    registry.rule(cut().once());
    assert!(remote.resolve(&reference).is_ok());
    registry.recover();
    registry.forget();
    registry.rule(cut());
    let error = remote.resolve(&reference).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Content(_)));
    let text = error.to_string();
    let url = registry.url("/v2/box/manifests/1");
    assert!(text.contains(&format!("100 bytes from {url}: ")), "{text}");
    assert_eq!(registry.count(MANIFESTS), 2);
    registry.recover();
    registry.fail_once(MANIFESTS, Fault::CutFin(100));
    network(remote.resolve(&reference), NetworkFault::Cut);
}

#[test]
fn manifest_is_read_up_to_4_mib() {
    let (registry, _) = registry_with_image();
    let remote = remote(&registry);
    let large = Content::random(1, 64 * 1024 * 1024);
    let digest = registry.put_manifest("box", MediaType::OCI_MANIFEST, large);
    registry.put_tag("box", "large", &digest);
    assert_kind!(remote.resolve(&name(&registry, "box:large")), ErrorKind::Content(_));
    registry.fail_always(MANIFESTS, Fault::Chunked);
    assert_kind!(remote.resolve(&name(&registry, "box:large")), ErrorKind::Content(_));
    assert!(registry.bytes_sent(MANIFESTS) < 32 * 1024 * 1024);
}

#[test]
fn manifest_encoded_on_the_way_is_decoded() {
    let (registry, image) = registry_with_image();
    for fault in [Fault::Gzip, Fault::GzipLabel] {
        registry.fail_once(MANIFESTS, fault);
        let manifest = remote(&registry).resolve(&name(&registry, "box:1")).unwrap();
        assert_eq!(manifest.digest().to_string(), image.digest);
        registry.recover();
    }
}
