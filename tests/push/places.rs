use super::{MIB, POST, PUT, Scene};
use crate::support::image::IndexBuilder;
use crate::support::{Auth, Fault, Image, Registry, Rule, Windlass};

const SIZE: u64 = 3 * MIB;

/// An image in one registry that is to be copied to another, with no store between.
struct Pair {
    from: Registry,
    to: Registry,
    image: Image,
    windlass: Windlass,
}

impl Pair {
    fn of(image: Image) -> Pair {
        let from = Registry::start();
        from.push(&image, "origin:1");
        Pair { from, to: Registry::start(), image, windlass: Windlass::new() }
    }

    fn copy(&self, args: &[&str]) -> crate::support::Output {
        let (from, to) = (self.from.name("origin:1"), self.to.name("box:1"));
        self.windlass.run(&[&["copy", &from, &to], args].concat())
    }

    #[track_caller]
    fn succeeds(&self, args: &[&str]) -> crate::support::Output {
        let output = self.copy(args).success();
        let output = output.prints(&format!("{}@{}\n", self.to.name("box:1"), self.image.digest));
        assert!(self.to.holds("box", &self.image), "{output}");
        assert_eq!(self.to.tags("box")["1"], self.image.digest);
        assert!(!self.windlass.store().exists(), "nothing is kept here");
        output
    }

    fn layer(&self) -> String {
        format!("GET /v2/origin/blobs/{}", self.image.layers()[0].digest)
    }
}

#[test]
fn copy_between_registries_takes_all_platforms_and_nothing_that_is_there() {
    let pair = Pair::of(IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]));
    pair.succeeds(&[]);
    assert_eq!(pair.from.count("GET /v2/origin/blobs/*"), pair.image.blobs.len());
    pair.to.forget();
    pair.succeeds(&[]);
    assert_eq!(pair.to.requests_for("/v2/*").len(), 1);
    let narrowed = pair.copy(&["--platform=linux/arm64"]).success();
    let arm = &pair.image.manifests[1].digest;
    narrowed.prints(&format!("{}@{arm}\n", pair.to.name("box:1")));
    pair.copy(&["--dry-run"]).success().says("would copy ").says(": 0 blobs, 0 bytes");
}

#[test]
fn copy_within_a_registry_sends_nothing() {
    let registry = Registry::start();
    let image = Image::of_size(SIZE);
    let from = registry.push(&image, "origin:1");
    let to = registry.name("box:2");
    Windlass::new().run(&["copy", &from, &to]).success();
    assert!(registry.holds("box", &image));
    assert_eq!(registry.count("GET /v2/origin/blobs/*"), 0);
    assert_eq!(registry.count("POST /v2/box/blobs/uploads/?mount=*&from=origin"), 2);
}

#[test]
fn copy_goes_on_at_both_ends() {
    let pair = Pair::of(Image::of_size(SIZE));
    pair.from.fail_once(&pair.layer(), Fault::CutFin(MIB));
    pair.succeeds(&[]);
    let pair = Pair::of(Image::of_size(SIZE));
    let large = |it: &crate::support::Request| {
        it.header("content-length").and_then(|it| it.parse::<u64>().ok()) > Some(MIB)
    };
    pair.to.rule(Rule::on(PUT).only(large).once().fault(Fault::ResetKeeping(MIB)));
    pair.succeeds(&[]);
    let second = pair.from.requests_for(&pair.layer()).pop().unwrap();
    assert_eq!(second.range(), Some((MIB, Some(SIZE - 1))));
    assert_eq!(pair.to.requests_for(PUT).pop().unwrap().received, SIZE - MIB);
}

#[test]
fn content_that_came_wrong_is_fetched_again_once_and_never_arrives() {
    let pair = Pair::of(Image::of_size(SIZE));
    pair.from.fail_once(&pair.layer(), Fault::Flip(SIZE / 2));
    pair.succeeds(&[]);
    assert_eq!(pair.from.count(&pair.layer()), 2);
    let pair = Pair::of(Image::of_size(SIZE));
    pair.from.fail_always(&pair.layer(), Fault::Flip(SIZE / 2));
    pair.copy(&[]).exits(7).prints("").says(&pair.image.layers()[0].digest);
    assert!(pair.to.blob("box", &pair.image.layers()[0].digest).is_none());
    assert_eq!(pair.from.count(&pair.layer()), 2);
    assert!(pair.to.tags("box").is_empty());
}

#[test]
fn login_that_is_given_is_for_the_target() {
    let pair = Pair::of(Image::of_size(1000));
    pair.to.require(Auth::basic("me", "hunter2"));
    let (from, to) = (pair.from.name("origin:1"), pair.to.name("box:1"));
    let run = pair.windlass.command(&["copy", &from, &to, "--creds-stdin"]);
    run.stdin("me:hunter2").run().success();
    assert!(pair.from.requests().iter().all(|it| it.header("authorization").is_none()));
}

/// An archive of the image of `scene`.
fn archive(scene: &Scene) -> String {
    let file = scene.windlass.scratch.text("images.tar");
    scene.windlass.run(&["export", "-o", &file, &scene.name]).success();
    scene.windlass.run(&["remove", &scene.name]).success();
    scene.windlass.run(&["gc"]).success();
    file
}

#[test]
fn archive_is_sent_from_where_it_is() {
    let scene = Scene::of_size(SIZE);
    let file = archive(&scene);
    let answer = format!("{}@{}\n", scene.to, scene.image.digest);
    let push = |args: &[&str]| scene.windlass.run(&[&["push", "--from", &file], args].concat());
    push(&[&scene.to]).success().prints(&answer);
    scene.arrived();
    assert!(!scene.windlass.run(&["list"]).success().stdout().contains("origin"));
    push(&[&scene.name, &scene.to]).success().prints(&answer);
    let prefix = scene.registry.name("mirror");
    push(&["--all", "--to", &prefix]).success();
    assert!(scene.registry.holds("mirror/origin", &scene.image));
    push(&["none:1", &scene.to]).exits(3).prints("").says("none:1");
    let (from, to) = (format!("archive:{file}"), scene.registry.name("copied:1"));
    scene.windlass.run(&["copy", &from, &to]).success();
    assert!(scene.registry.holds("copied", &scene.image));
}

#[test]
fn archive_from_a_pipe_goes_through_the_store() {
    let scene = Scene::of_size(SIZE);
    let file = archive(&scene);
    let bytes = std::fs::read(file).unwrap();
    let run = scene.windlass.command(&["push", "--from", "-", &scene.to]).stdin(bytes);
    run.run().success();
    scene.arrived();
    assert_eq!(scene.registry.count(POST), 2);
    scene.windlass.run(&["push", "--from=-", "-f-", &scene.to]).exits(2).prints("");
}

#[test]
fn rotten_archive_never_reaches_the_registry() {
    let scene = Scene::of_size(SIZE);
    let file = archive(&scene);
    let mut bytes = std::fs::read(&file).unwrap();
    let layer = scene.image.layers()[0].content.to_vec();
    let at = bytes.windows(64).position(|part| part == &layer[..64]).unwrap();
    bytes[at + 100] ^= 1;
    scene.windlass.scratch.write("images.tar", bytes);
    let output = scene.windlass.run(&["push", "--from", &file, &scene.to]).exits(7).prints("");
    output.says(&scene.image.layers()[0].digest);
    assert!(scene.registry.tags("box").is_empty());
    assert!(scene.registry.blob("box", &scene.image.layers()[0].digest).is_none());
}
