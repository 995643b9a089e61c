use serde_json::json;

use crate::support::{Fault, Image, Registry, Windlass};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What is no digest: paths, other forms of the same, other algorithms.
fn bad_digests() -> Vec<String> {
    let mut bad: Vec<String> = [
        "",
        ":",
        "sha256",
        "sha256:",
        "sha512:",
        "sha256:..",
        "sha256:../..",
        "sha256:../../../../etc/passwd",
        "sha256:/etc/passwd",
        "../sha256:",
        "..",
        "/",
        "latest",
        "sha256:%2e%2e%2f",
        "sha256:\u{0}",
        "sha256:é",
        "file:///etc/passwd",
    ]
    .map(str::to_owned)
    .to_vec();
    bad.extend([
        HEX.to_owned(),
        format!(":{HEX}"),
        format!("sha256{HEX}"),
        format!("sha256-{HEX}"),
        format!("sha256/{HEX}"),
        format!("sha256::{HEX}"),
        format!("sha256:{}", &HEX[1..]),
        format!("sha256:{HEX}0"),
        format!("sha256:{HEX}{HEX}"),
        format!("sha512:{HEX}"),
        format!("sha512:{HEX}{}", &HEX[1..]),
        format!("sha512:{HEX}{HEX}0"),
        format!("sha384:{HEX}{}", &HEX[..32]),
        format!("sha1:{}", &HEX[..40]),
        format!("md5:{}", &HEX[..32]),
        format!("blake3:{HEX}"),
        format!("SHA256:{HEX}"),
        format!("Sha256:{HEX}"),
        format!("sha256:{}", HEX.to_uppercase()),
        format!("sha256:{}", HEX.replacen('e', "E", 1)),
        format!("sha256+b64:{HEX}"),
        format!("sha256+b64u.unknown:{HEX}"),
        format!("multihash+base58:{HEX}"),
        format!("sha256:{}g", &HEX[1..]),
        format!("sha256:{} ", &HEX[1..]),
        format!("sha256:{HEX} "),
        format!(" sha256:{HEX}"),
        format!("sha256: {HEX}"),
        format!("sha256:{HEX}\n"),
        format!("\nsha256:{HEX}"),
        format!("sha256:{HEX}\r\n"),
        format!("sha256:{HEX}\0"),
        format!("sha256\0:{HEX}"),
        format!("sha256:{}\0", &HEX[1..]),
        format!("sha256:0x{}", &HEX[2..]),
        format!("sha256:-{}", &HEX[1..]),
        format!("sha256:+{}", &HEX[1..]),
        format!("sha256:/{}", &HEX[1..]),
        format!("sha256:../{}", &HEX[3..]),
        format!("sha256:./{}", &HEX[2..]),
        format!("sha256:{}/..", &HEX[3..]),
        format!("sha256:{}/x", &HEX[2..]),
        format!("sha256:{}é", &HEX[2..]),
        format!("sha256:{}\u{ff11}", &HEX[3..]),
        format!("sha256:{}", HEX.replace('0', "\u{660}")),
        format!("ſha256:{HEX}"),
        format!("sha256\u{ff1a}{HEX}"),
        format!("sha256:{}", "a".repeat(100_000)),
        format!("sha256:{HEX}?x=y"),
        format!("sha256:{HEX}#x"),
        format!("sha256:{HEX}@x"),
        format!("@sha256:{HEX}"),
    ]);
    bad
}

#[test]
fn digests_that_are_none_are_refused_in_documents_and_name_no_file() {
    let registry = Registry::start();
    let image = Image::small();
    registry.push(&image, "box:small");
    let descriptor = |digest: &str| json!({"mediaType": "x/y", "digest": digest, "size": 5});
    let windlass = Windlass::new();
    windlass.scratch.write("before", "");
    let bad = bad_digests();
    assert!(bad.len() > 60, "{}", bad.len());
    for digest in &bad {
        let (config, layer) = (image.config().descriptor(), image.layers()[0].descriptor());
        let whole = |config, layer| {
            json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string()
        };
        let mut child = descriptor(digest);
        child["mediaType"] = json!(image.root().media_type);
        let documents = [
            whole(descriptor(digest), layer.clone()),
            whole(config, descriptor(digest)),
            json!({"schemaVersion": 2, "manifests": [child]}).to_string(),
        ];
        for (tag, document) in documents.iter().enumerate() {
            let pushed = registry.put_manifest("box", "application/json", document.as_str());
            registry.put_tag("box", &format!("{tag}"), &pushed);
            let name = registry.name(&format!("box:{tag}"));
            let output = windlass.run(&["pull", &name, "--all-platforms", "--retries=1"]);
            let output = output.exits(7).prints("");
            assert!(output.stderr.contains("invalid digest `"), "{digest:?}\n{output}");
            assert!(output.stderr.len() < 2000, "{output}");
        }
    }
    let files = windlass.scratch.files(".");
    assert!(files.iter().all(|file| !file.contains("blobs/")), "{files:?}");
    let asked = registry.requests();
    assert!(asked.iter().all(|request| request.path.starts_with("/v2/box/manifests/")));
}

#[test]
fn digests_that_are_none_are_refused_in_names_and_ignored_in_headers() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    for digest in bad_digests().iter().filter(|digest| !digest.contains('\0')) {
        windlass.run(&["pull", &format!("{name}@{digest}")]).exits(2).prints("");
    }
    assert_eq!(registry.requests().len(), 0);
    let in_header = |digest: &&String| {
        digest.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && digest.len() < 1000
    };
    for digest in bad_digests().iter().filter(in_header) {
        // Spaces around a value do not belong to it.
        if digest.trim() != digest {
            continue;
        }
        registry.recover();
        registry.fail_always("/v2/box/manifests/1", Fault::header("Docker-Content-Digest", digest));
        windlass.run(&["digest", &name]).success();
        windlass.run(&["manifest", &name]).success();
    }
}

#[test]
fn names_that_look_like_paths_or_options_are_names_of_nothing() {
    let windlass = Windlass::new();
    windlass.scratch.write("before", "");
    let long = format!("a:{}", "b".repeat(64 * 1024));
    for name in [
        "../../x",
        "a/../../x",
        "./a",
        "/etc/passwd",
        "a/",
        "a//b",
        "a:../../x",
        "a:b/c",
        "a\nb",
        "a:b\nc",
        "a b",
        "a\\b",
        "~/a",
        "$(id)",
        "a;b",
        "A",
        "a:-rf",
        "a:.hidden",
        "host:1/../a",
        "..:5000/a",
        "localhost:99999/a",
        "http://a.test/b",
        "user:pw@a.test/b",
        "a%2f..%2fb",
        "a\u{202e}b",
        "\u{1b}[2J",
        &long,
    ] {
        windlass.run(&["pull", name]).exits(2).prints("").says("invalid image name");
    }
    windlass.run(&["pull", "-rf"]).exits(2);
    windlass.run(&["pull", "--", "-rf"]).exits(2);
    assert_eq!(windlass.scratch.files("."), ["before"]);
}
