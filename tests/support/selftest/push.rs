//! How uploads are taken.

use crate::support::client::{Client, Ending, Seen};
use crate::support::*;

const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

struct Pusher(Client);

impl Pusher {
    fn to(registry: &Registry) -> Pusher {
        Pusher(Client::connect(registry.address()))
    }

    /// Returns where the upload goes on.
    fn begin(&mut self) -> String {
        let seen = self.0.send("POST", "/v2/box/blobs/uploads/", &[], b"");
        assert_eq!(seen.status(), 202);
        seen.header("location").unwrap().to_owned()
    }

    fn patch(&mut self, location: &str, range: &str, body: &[u8]) -> Seen {
        self.0.send("PATCH", location, &[("Content-Range", range)], body)
    }

    fn commit(&mut self, location: &str, body: &[u8]) -> Seen {
        let sign = if location.contains('?') { '&' } else { '?' };
        self.0.send("PUT", &format!("{location}{sign}digest={HELLO}"), &[], body)
    }
}

#[test]
fn blobs_arrive_whole_in_chunks_or_by_mount() {
    let registry = Registry::start();
    let mut pusher = Pusher::to(&registry);
    let location = pusher.begin();
    assert_eq!(pusher.commit(&location, b"hello").status(), 201);
    registry.remove("box", HELLO);
    let location = pusher.begin();
    assert_eq!(pusher.patch(&location, "0-1", b"he").header("range"), Some("0-1"));
    assert_eq!(pusher.patch(&location, "4-5", b"??").status(), 416);
    assert_eq!(pusher.patch(&location, "2-3", b"ll").status(), 202);
    assert_eq!(pusher.0.get(&location).header("range"), Some("0-3"));
    assert_eq!(pusher.commit(&location, b"o").status(), 201);
    assert_eq!(registry.blob("box", HELLO).unwrap().to_vec(), b"hello");
    let mount = format!("/v2/other/blobs/uploads/?mount={HELLO}&from=box");
    assert_eq!(pusher.0.send("POST", &mount, &[], b"").status(), 201);
    assert!(registry.blob("other", HELLO).is_some());
}

#[test]
fn content_that_is_not_its_digest_is_refused() {
    let registry = Registry::start();
    let mut pusher = Pusher::to(&registry);
    let location = pusher.begin();
    assert_eq!(pusher.commit(&location, b"hellO").status(), 400);
    assert!(registry.blob("box", HELLO).is_none());
}

#[test]
fn pushed_content_can_be_checked_without_being_kept() {
    let registry = Registry::start();
    registry.takes(Push { discards: true, ..Push::default() });
    let mut pusher = Pusher::to(&registry);
    let location = pusher.begin();
    assert_eq!(pusher.patch(&location, "0-1", b"he").header("range"), Some("0-1"));
    assert_eq!(pusher.commit(&location, b"llo").status(), 201);
    assert_eq!(registry.blob("box", HELLO).unwrap().size(), 5);
    let location = pusher.begin();
    assert_eq!(pusher.commit(&location, b"hellO").status(), 400);
}

#[test]
fn uploads_have_the_oddities_that_are_asked_for() {
    let registry = Registry::start();
    let mut pusher = Pusher::to(&registry);
    registry.takes(Push { location: Location::PathWithQuery, ..Push::default() });
    let location = pusher.begin();
    assert_eq!(pusher.commit(location.split('?').next().unwrap(), b"hello").status(), 404);
    assert_eq!(pusher.commit(&location, b"hello").status(), 201);
    registry.takes(Push { patch_limit: Some(1), body_limit: Some(2), ..Push::default() });
    let location = pusher.begin();
    assert_eq!(pusher.patch(&location, "0-1", b"he").status(), 416);
    assert_eq!(pusher.commit(&location, b"hello").status(), 413);
    let at = Location::At("http://127.0.0.2:1".to_owned());
    registry.takes(Push { location: at, ..Push::default() });
    assert!(pusher.begin().starts_with("http://127.0.0.2:1/v2/box/"));
}

#[test]
fn commit_can_be_lost_though_done() {
    let registry = Registry::start();
    for fault in [Fault::Lost(504), Fault::Reset] {
        registry.fail_once("PUT *", fault);
        let mut pusher = Pusher::to(&registry);
        let location = pusher.begin();
        let seen = pusher.commit(&location, b"hello");
        assert!(seen.status() == 504 || seen.ending == Ending::Rst);
        assert!(registry.blob("box", HELLO).is_some());
        registry.remove("box", HELLO);
    }
    registry.fail_always("PATCH *", Fault::AcceptOnly(2));
    let mut pusher = Pusher::to(&registry);
    let location = pusher.begin();
    assert_eq!(pusher.patch(&location, "0-4", b"hello").header("range"), Some("0-1"));
}

#[test]
fn connection_can_break_while_the_body_is_being_sent() {
    let registry = Registry::start();
    let mut pusher = Pusher::to(&registry);
    let location = pusher.begin();
    registry.fail_once("PUT *", Fault::ResetWhileSending(3));
    assert_eq!(pusher.commit(&location, b"hello").ending, Ending::Rst);
    assert!(registry.blob("box", HELLO).is_none());
}

#[test]
fn early_answer_is_there_for_those_who_wait_for_100() {
    let registry = Registry::start();
    registry.fail_always("POST *", Fault::Early(413));
    let expect = [("Expect", "100-continue"), ("Content-Length", "5")];
    let mut client = Client::connect(registry.address());
    assert_eq!(client.send("POST", "/v2/box/blobs/uploads/", &expect, b"").status(), 413);
    let ending = client.get("/v2/").ending;
    assert!(matches!(ending, Ending::Fin | Ending::Rst), "it hung up: {ending:?}");
}

#[test]
fn expected_100_is_sent_only_to_those_let_in() {
    let registry = Registry::start();
    let expect = [("Expect", "100-continue"), ("Content-Length", "5")];
    let path = format!("/v2/box/blobs/uploads/?digest={HELLO}");
    let mut client = Client::connect(registry.address());
    assert_eq!(client.send("POST", &path, &expect, b"").status(), 100);
    registry.require(Auth::basic("user", "pass"));
    let mut client = Client::connect(registry.address());
    assert_eq!(client.send("POST", &path, &expect, b"").status(), 401);
}

#[test]
fn manifests_need_their_content() {
    let registry = Registry::start();
    let image = Image::small();
    let mut client = Client::connect(registry.address());
    let mut put = || {
        let headers = [("Content-Type", image.root().media_type.as_str())];
        client.send("PUT", "/v2/box/manifests/1", &headers, &image.root().content.to_vec())
    };
    assert_eq!(put().status(), 404);
    for blob in &image.blobs {
        registry.put_blob("box", &blob.content);
    }
    assert_eq!(put().header("docker-content-digest"), Some(image.digest.as_str()));
    assert_eq!(registry.tags("box")["1"], image.digest);
    assert!(registry.holds("box", &image));
}
