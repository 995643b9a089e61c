use serde_json::json;

use crate::support::image::Piece;
use crate::support::{Content, Fault, Image, Output, Registry, Windlass};

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Pulls this text as a manifest, served as that type. What it may refer to by the words CONFIG,
/// LAYER and CHILD, descriptors without their braces, is there.
#[track_caller]
fn pull_text(registry: &Registry, content_type: &str, text: &str) -> (Windlass, Output) {
    let image = Image::small();
    registry.push(&image, "box:small");
    let descriptor = |piece: &Piece| {
        let text = piece.descriptor().to_string();
        text[1..text.len() - 1].to_owned()
    };
    let text = text
        .replace("CONFIG", &descriptor(image.config()))
        .replace("LAYER", &descriptor(&image.layers()[0]))
        .replace("CHILD", &descriptor(image.root()));
    let digest = registry.put_manifest("box", content_type, text.as_str());
    registry.put_tag("box", "1", &digest);
    let windlass = Windlass::new();
    let args = ["pull", &registry.name("box:1"), "--all-platforms", "--retries=1", "--no-sync"];
    let output = windlass.run(&args);
    if output.status() == 0 {
        let stored = format!("store/blobs/sha256/{}", digest.trim_start_matches("sha256:"));
        assert_eq!(windlass.scratch.read(&stored), text.as_bytes(), "bytes are kept");
    } else {
        windlass.run(&["list", "--json"]).success().prints("");
    }
    (windlass, output)
}

#[test]
fn manifest_means_one_thing_whatever_it_is_served_as() {
    let typed = |media_type: &str, rest: &str| {
        format!("{{\"schemaVersion\":2,\"mediaType\":\"{media_type}\",{rest}}}")
    };
    let untyped = |rest: &str| format!("{{\"schemaVersion\":2,{rest}}}");
    let image = "\"config\":{CONFIG},\"layers\":[{LAYER}]";
    let index = "\"manifests\":[{CHILD}]";
    let served_as = [OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_INDEX, "application/octet-stream"];
    let registry = Registry::start();
    for (text, accepted) in [
        (typed(OCI_IMAGE, image), "y---y"),
        (typed(OCI_INDEX, index), "-y--y"),
        (typed(DOCKER_IMAGE, image), "--y-y"),
        (typed(DOCKER_INDEX, index), "---yy"),
        (untyped(image), "y-y-y"),
        (untyped(index), "-y-yy"),
        (untyped("\"manifests\":[]"), "-y-yy"),
        (untyped(&format!("{image},{index}")), "-----"),
        (typed(OCI_IMAGE, &format!("{image},\"manifests\":[]")), "-----"),
        (typed(OCI_INDEX, &format!("{index},\"layers\":[]")), "-----"),
        (typed(OCI_INDEX, &format!("{index},\"config\":{{CONFIG}}")), "-----"),
        (typed(OCI_INDEX, &format!("{index},\"fsLayers\":[]")), "-----"),
        (typed(OCI_INDEX, image), "-----"),
        (typed(DOCKER_IMAGE, index), "-----"),
        (typed("text/html", image), "-----"),
        ("{\"schemaVersion\":1,\"fsLayers\":[],\"history\":[]}".to_owned(), "-----"),
        (untyped("\"config\":{CONFIG}"), "-----"),
        (untyped("\"layers\":[{LAYER}]"), "-----"),
    ] {
        for (content_type, accepted) in std::iter::zip(served_as, accepted.chars()) {
            let (_, output) = pull_text(&registry, content_type, &text);
            let expected = if accepted == 'y' { 0 } else { 7 };
            assert_eq!(output.status(), expected, "{content_type}: {text}\n{output}");
        }
    }
}

#[test]
fn child_is_what_its_parent_says_whatever_it_is_served_as() {
    let image = Image::small();
    let root = image.root();
    for (declared, served, expected) in [
        (OCI_IMAGE, OCI_IMAGE, 0),
        (OCI_IMAGE, "application/octet-stream", 0),
        (OCI_IMAGE, "", 0),
        ("", OCI_IMAGE, 0),
        (OCI_IMAGE, DOCKER_IMAGE, 7),
        (OCI_IMAGE, OCI_INDEX, 7),
        (OCI_INDEX, OCI_IMAGE, 7),
        (DOCKER_IMAGE, OCI_IMAGE, 7),
        (OCI_INDEX, OCI_INDEX, 7),
    ] {
        let registry = Registry::start();
        registry.push(&image, "box:small");
        registry.put_manifest("box", served, &root.content);
        let mut child = root.descriptor();
        child["mediaType"] = json!(declared);
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]});
        let digest = registry.put_manifest("box", OCI_INDEX, index.to_string());
        registry.put_tag("box", "1", &digest);
        let name = registry.name("box:1");
        let output = Windlass::new().run(&["pull", &name, "--all-platforms", "--retries=1"]);
        assert_eq!(output.status(), expected, "{declared} {served}\n{output}");
    }
}

#[test]
fn json_that_readers_disagree_on_is_refused() {
    let small = Image::small();
    let layer = &small.layers()[0];
    let registry = Registry::start();
    let image = |text: &str| {
        let start = "\"schemaVersion\":2,\"config\":{CONFIG},\"layers\":[{LAYER}]";
        format!("{{{start}{text}}}")
    };
    let deep = |depth| format!(",\"x\":{}{}", "[".repeat(depth), "]".repeat(depth));
    // serde takes such an array for a struct.
    let as_array = format!("[\"x/y\",\"{}\",{}]", layer.digest, layer.size());
    for (text, accepted) in [
        (image(""), true),
        (format!(" \n\t{}\r\n ", image("")), true),
        (image(",\"x\":1,\"x\":2"), true),
        (image(",\"Layers\":[],\"Config\":5"), true),
        (image(",\"annotations\":null"), true),
        (image(",\"annotations\":{\"a\":\"\\ud83d\\ude00\"}"), true),
        (image(",\"subject\":{CHILD}"), true),
        (image(&deep(100)), true),
        (image(",\"layers\":[]"), false),
        (image(",\"layers\":[{LAYER}]"), false),
        (image(",\"config\":{CONFIG}"), false),
        (image(",\"schemaVersion\":2"), false),
        (image(",\"mediaType\":\"\",\"mediaType\":\"\""), false),
        (image(",\"annotations\":{\"a\":\"1\",\"a\":\"2\"}"), false),
        (image(",\"annotations\":{\"a\":\"1\",\"\\u0061\":\"2\"}"), false),
        (image(",\"annotations\":{\"a\":1}"), false),
        (image(",\"annotations\":{\"a\":null}"), false),
        (image(",\"annotations\":[]"), false),
        (image(",\"l\\u0061yers\":[]"), false),
        (image(",\"artifactType\":5"), false),
        (image(",\"mediaType\":5"), false),
        (image(&deep(100_000)), true),
        (image(",\"x\":\"\u{1}\""), false),
        (image(",\"x\":\"\\ud800\""), true),
        (image(",\"x\":NaN"), false),
        (image(",\"x\":01"), false),
        (image(",\"x\":.5"), false),
        (image(","), false),
        (image(" /* comment */"), false),
        (format!("\u{feff}{}", image("")), false),
        (format!("{} x", image("")), false),
        (format!("{}{}", image(""), image("")), false),
        (format!("{}\0", image("")), false),
        (format!("[{}]", image("")), false),
        (image("").replace("\"schemaVersion\":2", "\"schemaVersion\":\"2\""), false),
        (image("").replace("\"schemaVersion\":2", "\"schemaVersion\":2.0"), false),
        (image("").replace("\"schemaVersion\":2", "\"schemaVersion\":3"), false),
        (image("").replace("\"schemaVersion\":2,", ""), false),
        (image("").replace("{LAYER}", "{LAYER,\"size\":5}"), false),
        (image("").replace("{LAYER}", "{LAYER,\"digest\":\"sha256:0\"}"), false),
        (image("").replace("{LAYER}", "null"), false),
        (image("").replace("[{LAYER}]", "{LAYER}"), false),
        (image("").replace("[{LAYER}]", "null"), false),
        (image("").replace("{LAYER}", &as_array), false),
        (
            image(&format!(",\"layers\":[{as_array}]")).replacen("\"layers\":[{LAYER}],", "", 1),
            false,
        ),
        (image("").replace("{CONFIG}", "[]"), false),
        (image("").replace("{CONFIG}", "null"), false),
        ("null".to_owned(), false),
        (String::new(), false),
        ("{}".to_owned(), false),
        ("\"x\"".to_owned(), false),
    ] {
        let (_, output) = pull_text(&registry, OCI_IMAGE, &text);
        let expected = if accepted { 0 } else { 7 };
        let shown: String = text.chars().take(300).collect();
        assert_eq!(output.status(), expected, "{shown}\n{output}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    for body in [&b"\xff\xfe{\0}\0"[..], b"{\"a\":\"\xff\"}", b"\0", b"\x1f\x8b", b"<html>", b" "] {
        registry.recover();
        registry.fail_always("/v2/box/manifests/1", Fault::Body(body.to_vec()));
        registry.fail_always("/v2/box/manifests/1", Fault::no_digest_header());
        let windlass = Windlass::new();
        windlass.run(&["pull", &registry.name("box:1"), "--retries=1"]).exits(7).prints("");
    }
}

#[test]
fn config_that_makes_no_sense_is_refused_before_the_image_has_a_name() {
    let os = "{\"os\":\"linux\",\"os\":\"windows\"}";
    let labels = "{\"config\":{\"Labels\":{\"a\":\"1\",\"a\":\"2\"}}}";
    for config in ["", "[]", os, labels, "{\"rootfs\":5}", "\u{feff}{}", "{} x"] {
        let registry = Registry::start();
        let config = Piece::new("application/vnd.oci.image.config.v1+json", Content::from(config));
        registry.put_blob("box", &config.content);
        let manifest = json!({"schemaVersion": 2, "config": config.descriptor(), "layers": []});
        let digest = registry.put_manifest("box", OCI_IMAGE, manifest.to_string());
        registry.put_tag("box", "1", &digest);
        let name = registry.name("box:1");
        let windlass = Windlass::new();
        for options in [&[][..], &["--platform=linux/amd64"]] {
            let output = windlass.run(&[&["pull", &name, "--retries=1"], options].concat());
            output.exits(7).says("malformed config").prints("");
        }
        windlass.run(&["list", "--json"]).success().prints("");
    }
}

#[test]
fn documents_are_shown_on_one_line_as_they_are() {
    let registry = Registry::start();
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let number = "123456789012345678901234567890.5";
    let text = format!(
        "{{\r\n\t\"schemaVersion\": 2,\n\"config\": {{CONFIG}}, \"layers\": [{{LAYER}}],\n\
         \"deep\": {deep}, \"number\": {number}, \"text\": \"a\\n\\tb\u{9b}\"\n}}\n"
    );
    let (windlass, output) = pull_text(&registry, OCI_IMAGE, &text);
    output.success();
    let name = registry.name("box:1");
    let shown = windlass.run(&["inspect", &name, "--json"]).success().stdout();
    assert_eq!(shown.lines().count(), 1, "{shown}");
    for part in [&*deep, number, "a\\n\\tb\\u009b"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&shown).is_ok());
}
