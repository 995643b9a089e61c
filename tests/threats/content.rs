use serde_json::json;

use super::{asked, layer_of_box};
use crate::support::image::{IndexBuilder, Piece};
use crate::support::{Content, Fault, Image, ImageBuilder, Output, Registry, Rule, Windlass};

#[track_caller]
fn pull(windlass: &Windlass, registry: &Registry) -> Output {
    windlass.run(&["pull", &registry.name("box:1"), "--retries=2", "--retry-max-wait=1"])
}

/// Nothing of the blob is visible, and once the registry is honest the image comes.
#[track_caller]
fn assert_refused(windlass: &Windlass, registry: &Registry, digest: &str) {
    let output = pull(windlass, registry).exits(7).prints("");
    let stored = windlass.scratch.files("store/blobs");
    let hex = digest.trim_start_matches("sha256:");
    assert!(!stored.iter().any(|file| file.contains(hex)), "{stored:?}\n{output}");
    windlass.run(&["list", "--json"]).success().prints("");
    registry.recover();
    pull(windlass, registry).success();
    windlass.run(&["list", "--json"]).success().says("");
}

#[test]
fn layer_with_one_wrong_byte_is_refused_wherever_it_is() {
    let registry = Registry::start();
    let image = Image::of_size(64 * 1000);
    registry.push(&image, "box:1");
    let layer = &image.layers()[0].digest;
    for position in 0..64 {
        registry.fail_always("GET /v2/box/blobs/*", Fault::Flip(position * 1000 + position));
        let windlass = Windlass::new();
        let output = pull(&windlass, &registry).exits(7).prints("");
        // The config is wrong too where it has that byte.
        assert!(output.stderr.contains("expected sha256:"), "{output}");
        let stored = windlass.scratch.files("store/blobs");
        assert!(!stored.iter().any(|file| file.contains(&layer[7..])), "{stored:?}");
        registry.recover();
    }
}

#[test]
fn body_that_is_too_long_too_short_or_another_is_refused() {
    let image = Image::small();
    let layer = &image.layers()[0];
    let size = layer.size();
    let another = vec![b'x'; usize::try_from(size).unwrap()];
    for fault in [
        Fault::Truncate(size - 1),
        Fault::Truncate(0),
        Fault::Extra(b"x".to_vec()),
        Fault::Extra(vec![0; 1 << 20]),
        Fault::Endless,
        Fault::Body(another),
        Fault::Body(b"<html>log in</html>".to_vec()),
        Fault::answer(200, &[("Content-Encoding", "br")], "x"),
    ] {
        let registry = Registry::start();
        registry.push(&image, "box:1");
        registry.fail_always(&layer_of_box(), fault);
        assert_refused(&Windlass::new(), &registry, &layer.digest);
    }
}

#[test]
fn encoding_in_passing_is_undone_and_what_it_hides_is_checked() {
    let registry = Registry::start();
    let image = Image::small();
    registry.push(&image, "box:1");
    registry.fail_always("/v2/box/*", Fault::Gzip);
    pull(&Windlass::new(), &registry).success();
    registry.recover();
    let size = usize::try_from(image.layers()[0].size()).unwrap();
    registry.fail_always(&layer_of_box(), Fault::Body(vec![b'x'; size]));
    registry.fail_always(&layer_of_box(), Fault::Gzip);
    assert_refused(&Windlass::new(), &registry, &image.layers()[0].digest);
}

#[test]
fn manifest_is_what_its_digest_says() {
    let registry = Registry::start();
    let (image, other) = (Image::small(), Image::of_size(10));
    let name = registry.push(&image, "box:1");
    registry.push(&other, "box:2");
    let windlass = Windlass::new();
    let path = format!("/v2/box/manifests/{}", image.digest);
    let by_digest = [format!("{name}@{}", image.digest), registry.name("box@") + &image.digest];
    let body = Fault::Body(other.root().content.to_vec());
    for fault in [
        body.clone(),
        Fault::Body(b"{}".to_vec()),
        Fault::Extra(b" ".to_vec()),
        Fault::header("Docker-Content-Digest", &other.digest),
    ] {
        registry.fail_always(&path, fault);
        for name in &by_digest {
            let output = windlass.run(&["pull", name, "--retries=2"]).exits(7).prints("");
            output.says("expected sha256:");
        }
        registry.recover();
    }
    windlass.run(&["pull", &format!("{name}@{}", other.digest)]).success();
    assert_eq!(registry.count("/v2/box/manifests/1"), 0, "the digest decides, the tag names");
    let listed = windlass.run(&["list", "--json"]).success().stdout();
    assert!(listed.contains(&format!("\"name\":\"{name}\"")), "{listed}");
    let missing = format!("{name}@sha256:{}", "a".repeat(64));
    windlass.run(&["pull", &missing]).exits(3).says("MANIFEST_UNKNOWN");
    windlass.run(&["digest", &missing]).exits(3);
    registry.fail_always(&path, body);
    windlass.run(&["manifest", &by_digest[0], "--retries=1"]).exits(7).prints("");
    registry.fail_always(&path, Fault::header("Docker-Content-Digest", &other.digest));
    windlass.run(&["digest", &by_digest[0], "--retries=1"]).exits(7).prints("");
}

#[test]
fn digest_header_is_optional_and_never_wrong() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let sha512 = image.root().content.sha512();
    let wrong = format!("sha512:{}", "a".repeat(128));
    let other = Image::of_size(10).digest;
    for (fault, status) in [
        (Fault::no_digest_header(), 0),
        (Fault::header("Docker-Content-Digest", ""), 0),
        (Fault::header("Docker-Content-Digest", &sha512), 0),
        (Fault::header("Docker-Content-Digest", &wrong), 7),
        (Fault::header("Docker-Content-Digest", &other), 7),
    ] {
        registry.fail_always("/v2/box/manifests/*", fault);
        let windlass = Windlass::new();
        let output = pull(&windlass, &registry).exits(status);
        if status == 0 {
            output.prints(&format!("{name}@{}\n", image.digest));
        }
        registry.recover();
    }
    let with_sha512 = format!("{}@{sha512}", registry.name("box"));
    registry.put_manifest_as("box", &sha512, &image.root().media_type, &image.root().content);
    let windlass = Windlass::new();
    windlass.run(&["pull", &with_sha512]).success().prints(&format!("{with_sha512}\n"));
    windlass.run(&["inspect", &with_sha512]).success();
}

#[test]
fn tag_that_moves_meanwhile_gives_the_image_that_was_there_at_first() {
    let registry = Registry::start();
    let one = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let other = Image::of_size(10);
    let name = registry.push(&one, "box:1");
    registry.push(&other, "box:2");
    let moved = [
        Fault::Body(other.root().content.to_vec()),
        Fault::content_type(&other.root().media_type),
        Fault::header("Docker-Content-Digest", &other.digest),
    ];
    let rule = Rule::on("/v2/box/manifests/1").nth(1..u32::MAX);
    registry.rule(moved.into_iter().fold(rule, Rule::fault));
    for options in [&["--all-platforms"][..], &["--platform=linux/arm64"], &[]] {
        registry.recover();
        registry.forget();
        let windlass = Windlass::new();
        let args = [&["pull", &name], options].concat();
        windlass.run(&args).success().prints(&format!("{name}@{}\n", one.digest));
        let asked = asked(&registry);
        let by_tag = asked.iter().filter(|line| line.ends_with("/manifests/1"));
        assert_eq!(by_tag.count(), 1, "{asked:?}");
    }
}

#[test]
fn data_of_a_descriptor_is_never_taken_for_the_content() {
    let registry = Registry::start();
    let small = Image::small();
    let config = small.config();
    let right = "eyJhIjoxfQ==";
    for data in [right, "", "!", "eA==", &"QUFB".repeat(1000)] {
        let layer = Piece::new("text/plain", Content::from("{\"a\":1}"));
        registry.put_blob("box", &layer.content);
        registry.put_blob("box", &config.content);
        let mut described = [config.descriptor(), layer.descriptor()];
        for descriptor in &mut described {
            descriptor["data"] = json!(data);
        }
        let [config, described] = described;
        let document = json!({"schemaVersion": 2, "config": config, "layers": [described]});
        let media_type = &small.root().media_type;
        let digest = registry.put_manifest("box", media_type, document.to_string());
        registry.put_tag("box", "1", &digest);
        registry.forget();
        let windlass = Windlass::new();
        pull(&windlass, &registry).success();
        assert_eq!(registry.count(&format!("GET /v2/box/blobs/{}", layer.digest)), 1);
        let file = format!("store/blobs/sha256/{}", &layer.digest[7..]);
        assert_eq!(windlass.scratch.read(&file), b"{\"a\":1}");
    }
}

#[test]
fn other_places_of_a_layer_are_never_asked() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let image = ImageBuilder::new();
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let layer = Piece::new(foreign, Content::from("foreign"));
    let image = image.layer(layer.clone(), &layer.digest).build();
    registry.push(&image, "box:small");
    elsewhere.put_file("/layer", &layer.content);
    let mut described = layer.descriptor();
    described["urls"] = json!([elsewhere.url("/layer"), "http://169.254.169.254/latest"]);
    let config = image.config().descriptor();
    let document = json!({"schemaVersion": 2, "config": config, "layers": [described]});
    let digest = registry.put_manifest("box", &image.root().media_type, document.to_string());
    registry.put_tag("box", "1", &digest);
    pull(&Windlass::new(), &registry).success();
    registry.remove("box", &layer.digest);
    let output = pull(&Windlass::new(), &registry).exits(3);
    output.says(&format!("blob {} is missing", layer.digest));
    assert_eq!(elsewhere.requests().len(), 0);
}
