use serde_json::{Value, json};

use crate::support::image::{IndexBuilder, Piece};
use crate::support::{Content, Image, ImageBuilder, Output, Registry, Windlass};

fn json_of(output: &Output) -> Value {
    serde_json::from_str(output.stdout().trim()).unwrap_or_else(|_| panic!("{output}"))
}

fn image_for(platform: &str) -> Image {
    ImageBuilder::new().platform(platform).layer_files(&[("p", platform)]).build()
}

/// What is in the store after a pull with these options: digests of the manifests, in no order,
/// and the answer of `list --json`.
#[track_caller]
fn pull(registry: &Registry, options: &[&str]) -> (Windlass, Value) {
    let windlass = Windlass::new();
    let name = registry.name("box:1");
    let args = [&["pull", &name, "--retries=1", "--json"], options].concat();
    let pulled = json_of(&windlass.run(&args).success());
    let listed = json_of(&windlass.run(&["list", "--json"]).success());
    assert_eq!(pulled, listed, "{options:?}");
    let inspected = json_of(&windlass.run(&["inspect", &name, "--json"]).success());
    for field in ["name", "digest", "stored", "platform", "platforms", "size", "media_type"] {
        assert_eq!(inspected[field], listed[field], "{options:?} {field}");
    }
    let names = [&name, listed["digest"].as_str().unwrap(), listed["stored"].as_str().unwrap()];
    let at = format!("{name}@{}", names[1]);
    for name in names.into_iter().chain([at.as_str()]) {
        windlass.run(&["inspect", name]).success();
    }
    (windlass, listed)
}

/// Manifests in the store, of those in `image`, by their place in it.
fn stored_manifests(windlass: &Windlass, image: &Image) -> Vec<usize> {
    let files = windlass.scratch.files("store/blobs");
    let is_there = |piece: &Piece| files.iter().any(|file| file.contains(&piece.digest[7..]));
    let manifests = image.manifests.iter().enumerate();
    manifests.filter(|(_, manifest)| is_there(manifest)).map(|(at, _)| at).collect()
}

const SEVEN: [&str; 7] = [
    "linux/amd64",
    "linux/arm64/v8",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "windows/amd64",
    "linux/amd64/v3",
];

#[test]
fn one_platform_stores_its_manifest_and_nothing_else() {
    let registry = Registry::start();
    let images = SEVEN.iter().map(|platform| image_for(platform));
    let index = images.fold(IndexBuilder::new(), |index, image| index.child(&image)).build();
    registry.push(&index, "box:1");
    for (wanted, at) in [
        ("linux/amd64", 0),
        ("LINUX/x86_64", 0),
        ("linux/amd64/v2", 0),
        ("linux/amd64/v3", 6),
        ("linux/amd64/v4", 6),
        ("linux/arm64", 1),
        ("linux/arm64/v8", 1),
        ("linux/aarch64", 1),
        ("linux/arm", 2),
        ("linux/arm/v8", 2),
        ("linux/arm/v7", 2),
        ("linux/arm/6", 3),
        ("linux/386", 4),
        ("windows/amd64", 5),
    ] {
        let (windlass, listed) = pull(&registry, &["--platform", wanted]);
        assert_eq!(listed["digest"], index.digest.as_str(), "{wanted}");
        assert_eq!(listed["stored"], index.manifests[at].digest.as_str(), "{wanted}");
        assert_eq!(listed["platform"], SEVEN[at], "{wanted}");
        assert_eq!(listed.get("platforms"), None);
        assert_eq!(stored_manifests(&windlass, &index), [at], "{wanted}");
        assert_eq!(windlass.scratch.files("store/blobs").len(), 3);
        let size = image_for(SEVEN[at]).size();
        assert_eq!(listed["size"], size, "{wanted}");
    }
    let name = registry.name("box:1");
    for wanted in ["linux/arm64/v9", "linux/arm/v5", "linux/s390x", "darwin/amd64", "windows/arm64"]
    {
        let windlass = Windlass::new();
        let output = windlass.run(&["pull", &name, "--platform", wanted]).exits(3).prints("");
        output.says(&format!("no image for {wanted}: there are {}", SEVEN.join(", ")));
        let both = ["pull", &name, "--platform=linux/amd64", "--platform", wanted];
        windlass.run(&both).exits(3);
        windlass.run(&["list", "--json"]).success().prints("");
    }
}

#[test]
fn several_platforms_store_an_index_of_exactly_those_in_the_order_of_the_source() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&SEVEN);
    registry.push(&index, "box:1");
    let of = |options: &[&str]| {
        let options: Vec<String> = options.iter().map(|it| format!("--platform={it}")).collect();
        pull(&registry, &options.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (windlass, listed) = of(&["linux/386", "linux/amd64", "linux/x86-64"]);
    assert_eq!(listed["digest"], index.digest.as_str());
    assert_eq!(listed["platforms"], json!(["linux/amd64", "linux/386"]));
    assert_eq!(stored_manifests(&windlass, &index), [0, 4]);
    let name = registry.name("box:1");
    let raw = windlass.run(&["inspect", &name, "--raw"]).success().stdout_bytes;
    let raw: Value = serde_json::from_slice(&raw).unwrap();
    let source: Value = serde_json::from_slice(&index.root().content.to_vec()).unwrap();
    let children = json!([source["manifests"][0], source["manifests"][4]]);
    assert_eq!(raw["manifests"], children, "letter for letter");
    let (_, again) = of(&["linux/amd64", "linux/386"]);
    assert_eq!(again["stored"], listed["stored"], "the same choice is the same index");
    let (windlass, listed) = of(&["linux/arm64", "linux/arm64/v8"]);
    assert_eq!(listed["platform"], "linux/arm64/v8");
    assert_eq!(stored_manifests(&windlass, &index), [1], "two words for one image");
}

#[test]
fn all_platforms_store_the_index_and_all_below_it() {
    let registry = Registry::start();
    let amd64 = image_for("linux/amd64");
    let index = IndexBuilder::new().child(&amd64).child(&image_for("linux/arm64/v8"));
    let index = index.attestation(&amd64).build();
    registry.push(&index, "box:1");
    let (windlass, listed) = pull(&registry, &["--all-platforms"]);
    assert_eq!(listed["stored"], index.digest.as_str());
    assert_eq!(listed["platforms"], json!(["linux/amd64", "linux/arm64/v8"]));
    assert_eq!(listed["size"], index.size());
    assert_eq!(stored_manifests(&windlass, &index), [0, 1, 2, 3]);
    let name = registry.name("box:1");
    let raw = windlass.run(&["inspect", &name, "--raw"]).success().stdout_bytes;
    assert_eq!(raw, index.root().content.to_vec());
    let args = ["pull", &name, "--all-platforms", "--platform=linux/amd64"];
    windlass.run(&args).exits(2);
}

#[test]
fn host_gets_its_own_image_and_never_an_attestation() {
    let registry = Registry::start();
    let host = match std::env::consts::ARCH {
        "aarch64" => "linux/arm64/v8",
        _ => "linux/amd64",
    };
    let own = image_for(host);
    let index = IndexBuilder::new().attestation(&own).child(&image_for("linux/s390x")).child(&own);
    let index = index.attestation(&own).build();
    registry.push(&index, "box:1");
    let (_, listed) = pull(&registry, &[]);
    assert_eq!(listed["stored"], own.digest.as_str());
    let strange = IndexBuilder::new().attestation(&own).child(&image_for("linux/s390x")).build();
    registry.push(&strange, "box:1");
    let windlass = Windlass::new();
    let output = windlass.run(&["pull", &registry.name("box:1")]).exits(3);
    output.says(&format!("no image for linux/{}: there are linux/s390x\n", &host[6..]));
    let args = ["pull", &registry.name("box:1"), "--platform=unknown/unknown"];
    windlass.run(&args).exits(3);
}

#[test]
fn image_without_an_index_is_taken_with_a_warning_unless_its_platform_was_asked_for() {
    let registry = Registry::start();
    let image = image_for("linux/s390x");
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let output = windlass.run(&["pull", &name]).success();
    let warning = format!("warning: {name} is for linux/s390x, this machine is linux/");
    assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
    let (_, listed) = pull(&registry, &[]);
    assert_eq!(listed["platform"], "linux/s390x");
    assert_eq!((&listed["digest"], &listed["stored"]), (&listed["stored"], &json!(image.digest)));
    pull(&registry, &["--platform=linux/s390x"]);
    pull(&registry, &["--all-platforms"]);
    for wanted in ["linux/amd64", "linux/s390x/v2"] {
        let windlass = Windlass::new();
        let output = windlass.run(&["pull", &name, "--platform", wanted]).exits(3).prints("");
        output.says(&format!("no image for {wanted}: there are linux/s390x"));
        windlass.run(&["list", "--json"]).success().prints("");
    }
    registry.push(&Image::small(), "box:1");
    let both = ["pull", &name, "--platform=linux/amd64", "--platform=linux/s390x"];
    windlass.run(&both).exits(3);
}

#[test]
fn artifact_is_for_no_platform() {
    let registry = Registry::start();
    let config = Piece::new("application/vnd.oci.empty.v1+json", Content::from("{}"));
    let layer = Piece::new("text/plain", Content::from("hello"));
    registry.put_blob("box", &config.content);
    registry.put_blob("box", &layer.content);
    let document = json!({
        "schemaVersion": 2, "artifactType": "text/x",
        "config": config.descriptor(), "layers": [layer.descriptor()],
    });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let digest = registry.put_manifest("box", media_type, document.to_string());
    registry.put_tag("box", "1", &digest);
    let (_, listed) = pull(&registry, &[]);
    assert_eq!((listed.get("platform"), listed.get("created")), (None, None));
    let windlass = Windlass::new();
    let args = ["pull", &registry.name("box:1"), "--platform=linux/amd64"];
    windlass.run(&args).exits(3).says("no image for linux/amd64: there are none");
}

#[test]
fn platform_that_no_descriptor_names_is_read_from_the_config() {
    let registry = Registry::start();
    let (amd64, arm64) = (image_for("linux/amd64"), image_for("linux/arm64/v8"));
    let index = IndexBuilder::new()
        .child_as(&arm64, arm64.root().descriptor())
        .child_as(&amd64, amd64.root().descriptor())
        .build();
    registry.push(&index, "box:1");
    let (_, listed) = pull(&registry, &["--platform=linux/amd64"]);
    assert_eq!(listed["stored"], amd64.digest.as_str());
    let (_, listed) = pull(&registry, &["--platform=linux/amd64", "--platform=linux/arm64"]);
    assert_eq!(listed["platforms"], json!(["linux/arm64/v8", "linux/amd64"]));
    let (_, listed) = pull(&registry, &["--all-platforms"]);
    assert_eq!(listed["platforms"], json!(["linux/arm64/v8", "linux/amd64"]));
}

#[test]
fn images_in_indexes_in_an_index_are_found() {
    let registry = Registry::start();
    let inner = IndexBuilder::platforms(&["linux/arm64/v8", "linux/s390x"]);
    let index = IndexBuilder::new().child(&image_for("linux/amd64")).child(&inner).build();
    registry.push(&index, "box:1");
    let (_, listed) = pull(&registry, &["--platform=linux/s390x"]);
    assert_eq!(listed["stored"], inner.manifests[1].digest.as_str());
    let (windlass, listed) = pull(&registry, &["--platform=linux/s390x", "--platform=linux/amd64"]);
    assert_eq!(stored_manifests(&windlass, &index), [0, 1, 2, 3], "complete below each child");
    assert_ne!(listed["stored"], index.digest.as_str());
    pull(&registry, &["--all-platforms"]);
}

#[test]
fn image_that_is_listed_for_several_platforms_is_there_for_each() {
    let registry = Registry::start();
    let image = image_for("linux/amd64");
    let listed_for = |os: &str, architecture: &str| {
        let mut descriptor = image.root().descriptor();
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    };
    let index = IndexBuilder::new()
        .child_as(&image, listed_for("linux", "amd64"))
        .child_as(&image, listed_for("linux", "s390x"))
        .child(&image_for("linux/arm64/v8"))
        .build();
    registry.push(&index, "box:1");
    let (_, listed) = pull(&registry, &["--platform=linux/s390x"]);
    assert_eq!(listed["stored"], image.digest.as_str());
    assert_eq!(listed["platform"], "linux/s390x");
    let (_, listed) = pull(&registry, &["--platform=linux/s390x", "--platform=linux/amd64"]);
    assert_eq!(listed["platforms"], json!(["linux/amd64", "linux/s390x"]));
    let (_, listed) = pull(&registry, &["--all-platforms"]);
    assert_eq!(listed["platforms"], json!(["linux/amd64", "linux/s390x", "linux/arm64/v8"]));
}

#[test]
fn index_may_list_what_is_no_manifest() {
    let registry = Registry::start();
    let cache = Piece::new("application/vnd.buildkit.cacheconfig.v0", Content::from("{\"x\":1}"));
    let layer = Piece::new("text/plain", Content::random(1, 5 << 20));
    let image = image_for("linux/amd64");
    for piece in [&cache, &layer] {
        registry.put_blob("box", &piece.content);
    }
    let mut index = IndexBuilder::new().child(&image);
    for piece in [&cache, &layer] {
        let nothing = Image { blobs: vec![], manifests: vec![], ..image.clone() };
        index = index.child_as(&nothing, piece.descriptor());
    }
    let index = index.build();
    registry.push(&index, "box:1");
    let (_, listed) = pull(&registry, &["--all-platforms"]);
    assert_eq!(listed["size"], index.size() + cache.size() + layer.size());
    assert_eq!(listed["platform"], "linux/amd64");
    pull(&registry, &["--platform=linux/amd64"]);
    let windlass = Windlass::new();
    windlass.run(&["pull", &registry.name("box:1"), "--all-platforms"]).success();
    let args = ["inspect", &registry.name("box:1"), "--platform=linux/amd64"];
    windlass.run(&args).success();
}

#[test]
fn what_pull_prints_can_be_given_to_every_command() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]);
    let name = registry.push(&index, "box:1");
    let bare = registry.name("box");
    let digest = &index.digest;
    for (typed, answer, kept) in [
        (name.clone(), format!("{name}@{digest}"), name.clone()),
        (format!("{name}@{digest}"), format!("{name}@{digest}"), name.clone()),
        (format!("{bare}@{digest}"), format!("{bare}@{digest}"), format!("{bare}@{digest}")),
        (format!("docker://{name}"), format!("{name}@{digest}"), name.clone()),
    ] {
        let windlass = Windlass::new();
        let args = ["pull", &typed, "--platform=linux/arm64"];
        windlass.run(&args).success().prints(&format!("{answer}\n"));
        let listed = json_of(&windlass.run(&["list", "--json"]).success());
        assert_eq!(listed["name"], kept.as_str());
        for args in [
            &["inspect", &answer][..],
            &["inspect", &answer, "--raw"],
            &["inspect", &answer, "--config"],
            &["inspect", &answer, "--platform=linux/arm64"],
            &["digest", &answer],
            &["manifest", &answer],
            &["pull", &answer, "--platform=linux/arm64"],
            &["inspect", digest],
            &["inspect", &format!("docker://{answer}"), "--platform=linux/arm64"],
        ] {
            windlass.run(args).success();
        }
    }
}
