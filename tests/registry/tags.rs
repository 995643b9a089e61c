use windlass::error::{ErrorKind, Result};
use windlass::registry::Remote;

use super::{assert_kind, remote};
use crate::support::{Fault, Registry};

const TAGS: &str = "GET /v2/box/tags/list*";

fn registry_with_tags(tags: &[&str]) -> Registry {
    let registry = Registry::start();
    for tag in tags {
        registry.put_tag("box", tag, "sha256:0");
    }
    registry
}

fn all(remote: &Remote) -> Result<Vec<String>> {
    remote.tags().into_iter().collect()
}

#[test]
fn tags_come_page_by_page() {
    let registry = registry_with_tags(&["a", "b", "c", "d", "e"]);
    registry.page_size(2);
    assert_eq!(all(&remote(&registry)).unwrap(), ["a", "b", "c", "d", "e"]);
    let requests = registry.requests_for(TAGS);
    assert_eq!((requests.len(), requests[0].query.as_str()), (3, "n=1000"));
}

#[test]
fn page_is_asked_for_again_after_an_error() {
    let registry = registry_with_tags(&["a", "b", "c"]);
    registry.page_size(2);
    let mut tags = remote(&registry).tags();
    assert_eq!(tags.next_page().unwrap().unwrap(), ["a", "b"]);
    registry.fail_once(TAGS, Fault::Status(503));
    assert_kind!(tags.next_page(), ErrorKind::Registry { status: 503, .. });
    assert_eq!(tags.next_page().unwrap().unwrap(), ["c"]);
    assert_eq!(tags.next_page().unwrap(), None);
    assert_eq!(tags.next_page().unwrap(), None);
}

#[test]
fn list_that_is_null_is_empty_and_what_is_no_tag_is_left_out() {
    let registry = registry_with_tags(&[]);
    for (document, expected) in [
        (r#"{"name":"box","tags":null}"#, vec![]),
        (r#"{"name":"box"}"#, vec![]),
        (r#"{"tags":["a",null,"sha256:12","../b","c\u001b[2J","","d"]}"#, vec!["a", "d"]),
    ] {
        registry.fail_once(TAGS, Fault::answer(200, &[], document));
        assert_eq!(all(&remote(&registry)).unwrap(), expected);
        registry.recover();
    }
}

#[test]
fn next_page_elsewhere_or_in_circles_is_refused_by_name() {
    let registry = registry_with_tags(&["a"]);
    let elsewhere = Registry::start();
    for (link, expected) in [
        (elsewhere.url("/v2/box/tags/list?n=1000&last=a"), elsewhere.host()),
        ("/v2/box/tags/list?n=1000".into(), "circles".into()),
        ("?n=1000".into(), "circles".into()),
        ("https://169.254.169.254/".into(), "169.254.169.254".into()),
    ] {
        registry.fail_always(TAGS, Fault::header("Link", &format!("<{link}>; rel=\"next\"")));
        let error = all(&remote(&registry)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error:?}");
        assert!(error.to_string().contains(&expected), "{error}");
        registry.recover();
    }
    assert_eq!(elsewhere.count("*"), 0);
    let link = |target: &str| Fault::header("Link", &format!("<{target}>; rel=next"));
    registry.fail_once("GET /v2/box/tags/list?n=1000", link("list?n=1000&last=a"));
    registry.fail_always("GET /v2/box/tags/list?n=1000&last=a", link("?last=b"));
    registry.fail_always("GET /v2/box/tags/list?last=b", link("?n=1000&last=a"));
    let error = all(&remote(&registry)).unwrap_err().to_string();
    assert!(error.contains("circles"), "{error}");
}

#[test]
fn list_of_a_repository_that_is_not_there_is_not_found() {
    let registry = Registry::start();
    assert_kind!(all(&remote(&registry)), ErrorKind::Registry { status: 404, .. });
}

#[test]
fn page_of_tags_is_bounded_and_must_be_json() {
    let registry = registry_with_tags(&["a"]);
    registry.fail_once(TAGS, Fault::Endless);
    assert_kind!(all(&remote(&registry)), ErrorKind::Content(_));
    registry.recover();
    let page = Fault::answer(200, &[("Content-Type", "text/html")], "<html>");
    registry.fail_once(TAGS, page);
    let error = all(&remote(&registry)).unwrap_err().to_string();
    assert!(error.contains("answer is text/html, starts with `<html>`"), "{error}");
}
