use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::image::{IndexBuilder, Piece};
use crate::support::{Auth, Bearer, Fault, Image, ImageBuilder, Output, Registry, Run, Windlass};

const MIB: u64 = 1 << 20;

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Runs to the end, and gives the most memory that the process ever had resident.
#[track_caller]
fn run_watched(run: Run) -> (Output, u64) {
    let running = run.spawn();
    let path = format!("/proc/{}/status", running.pid());
    let (sender, most) = mpsc::channel();
    thread::spawn(move || {
        let mut most = 0;
        // A process that has ended has no memory, but is there until it is waited for.
        while let Some(kib) = fs::read_to_string(&path).ok().as_deref().and_then(high_water) {
            most = most.max(kib * 1024);
            thread::park_timeout(Duration::from_millis(1));
        }
        let _ = sender.send(most);
    });
    let output = running.wait();
    (output, most.recv().unwrap())
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Pulls with everything; it takes at most so much memory and ends soon.
#[track_caller]
fn pull(registry: &Registry, options: &[&str], most: u64) -> Output {
    let windlass = Windlass::new();
    let name = registry.name("box:1");
    let args = [&["pull", &name, "--retries=1", "--progress=none"], options].concat();
    let (output, resident) = run_watched(windlass.command(&args));
    assert!(resident < most, "{} MiB are resident\n{output}", resident / MIB);
    if output.status() != 0 {
        assert!(output.stderr.len() < 64 * 1024, "{} bytes of words", output.stderr.len());
        let blobs = windlass.scratch.files("store/blobs");
        assert!(blobs.len() < 3, "{blobs:?}");
        windlass.run(&["list", "--json"]).success().prints("");
    }
    output
}

#[track_caller]
fn tag(registry: &Registry, media_type: &str, document: impl Into<crate::support::Content>) {
    let digest = registry.put_manifest("box", media_type, document);
    registry.put_tag("box", "1", &digest);
}

#[test]
fn sizes_that_lie_end_without_memory_and_without_a_name() {
    let registry = Registry::start();
    let image = Image::small();
    registry.push(&image, "box:small");
    for (size, statuses) in [
        ("-5", [7, 7]),
        ("1e3", [7, 7]),
        ("5.0", [7, 7]),
        ("\"5\"", [7, 7]),
        ("null", [7, 7]),
        ("[]", [7, 7]),
        ("9223372036854775808", [7, 7]),
        ("18446744073709551615", [7, 7]),
        ("99999999999999999999999", [7, 7]),
        // No machine has room for that.
        ("9223372036854775807", [7, 8]),
        ("1125899906842624", [7, 8]),
        ("0", [7, 7]),
        ("1", [7, 7]),
        ("1000", [7, 7]),
    ] {
        for (at, status) in statuses.into_iter().enumerate() {
            let (mut config, mut layer) =
                (image.config().descriptor(), image.layers()[0].descriptor());
            let wrong = if at == 0 { &mut config } else { &mut layer };
            wrong["size"] = json!("SIZE");
            let document = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
            let document = document.to_string().replace("\"SIZE\"", size);
            tag(&registry, OCI_IMAGE, document);
            let output = pull(&registry, &[], 32 * MIB);
            assert_eq!(output.status(), status, "{size} at {at}\n{output}");
        }
    }
    let huge = json!({"mediaType": "x/y", "size": i64::MAX, "digest": image.digest});
    let many: Vec<Value> = (0..1000)
        .map(|number| {
            let mut layer = huge.clone();
            layer["digest"] = json!(format!("sha256:{number:064x}"));
            layer
        })
        .collect();
    let config = image.config().descriptor();
    let document = json!({"schemaVersion": 2, "config": config, "layers": many});
    tag(&registry, OCI_IMAGE, document.to_string());
    pull(&registry, &[], 32 * MIB).exits(8).says("expected room for 18446744073709551615 bytes");
}

#[test]
fn one_digest_has_one_size() {
    let registry = Registry::start();
    let image = Image::small();
    registry.push(&image, "box:small");
    let mut other = image.layers()[0].descriptor();
    other["size"] = json!(5);
    let layers = [image.layers()[0].descriptor(), other];
    let config = image.config().descriptor();
    let document = json!({"schemaVersion": 2, "config": config, "layers": layers});
    tag(&registry, OCI_IMAGE, document.to_string());
    pull(&registry, &[], 32 * MIB).exits(7).says("is described with ");
}

#[test]
fn answers_without_end_are_cut() {
    let registry = Registry::start();
    registry.push(&Image::small(), "box:1");
    let zeros = vec![0; 64 * 1024 * 1024];
    let bomb = crate::support::image::gzip(&zeros);
    for (path, fault, status) in [
        ("/v2/box/manifests/1", Fault::Endless, 7),
        ("/v2/box/manifests/1", Fault::Extra(vec![b' '; 5 * 1024 * 1024]), 7),
        ("/v2/box/manifests/1", Fault::ContentLength(1 << 50), 7),
        ("/v2/box/manifests/1", Fault::answer(200, &[("Content-Encoding", "gzip")], bomb), 7),
        ("/v2/box/manifests/1", Fault::answer(404, &[], vec![b'x'; 8 * 1024 * 1024]), 3),
        ("/v2/box/manifests/1", Fault::header("X-Long", &"x".repeat(100_000)), 5),
        ("/v2/box/blobs/*", Fault::Endless, 7),
        ("/v2/box/blobs/*", Fault::ContentLength(1 << 50), 7),
        ("/token", Fault::Endless, 7),
        ("/token", Fault::answer(200, &[], vec![b' '; 1024 * 1024]), 7),
    ] {
        registry.recover();
        let auth = if path == "/token" { Auth::bearer(Bearer::public()) } else { Auth::Nothing };
        registry.require(auth);
        registry.fail_always(path, fault.clone());
        let output = pull(&registry, &[], 32 * MIB);
        let shown: String = format!("{fault:?}").chars().take(60).collect();
        assert_eq!(output.status(), status, "{path} {shown}\n{output}");
    }
    registry.recover();
    registry.require(Auth::Nothing);
    registry.fail_always("/v2/box/tags/list", Fault::Endless);
    let windlass = Windlass::new();
    let args = ["tags", &registry.name("box"), "--retries=1"];
    let (output, resident) = run_watched(windlass.command(&args));
    output.exits(7);
    assert!(resident < 64 * MIB);
}

/// Documents as large as they may be, that take much more memory once they are read.
#[test]
fn documents_full_of_small_things_take_little_memory() {
    let fill = |start: &str, item: &dyn Fn(usize) -> String, end: &str| {
        let mut text = start.to_owned();
        let mut number = 0;
        while text.len() + 200 < 4 * 1024 * 1024 {
            text.push_str(if number == 0 { "" } else { "," });
            text.push_str(&item(number));
            number += 1;
        }
        text + end
    };
    let empty = |_: usize| "\"\"".to_owned();
    let object = |_: usize| "{}".to_owned();
    let pair = |number: usize| format!("\"{number:x}\":\"\"");
    let config = Image::small().config().descriptor().to_string();
    let digest = &Image::small().digest;
    let layer = format!("{{\"digest\":\"{digest}\",\"size\":1}}");
    let image = format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[");
    let other = |number: usize| format!("{{\"digest\":\"sha256:{number:064x}\",\"size\":1}}");
    for (what, text) in [
        ("annotations", fill(&format!("{image}],\"annotations\":{{"), &pair, "}}")),
        ("layers", fill(&image, &|_| layer.clone(), "]}")),
        ("other layers", fill(&image, &other, "]}")),
        ("children", fill("{\"schemaVersion\":2,\"manifests\":[", &|_| layer.clone(), "]}")),
        ("empty children", fill("{\"schemaVersion\":2,\"manifests\":[", &object, "]}")),
        (
            "urls",
            fill(
                &format!("{image}{{\"digest\":\"{digest}\",\"size\":1,\"urls\":["),
                &empty,
                "]}]}",
            ),
        ),
        (
            "features",
            fill(
                &format!(
                    "{{\"schemaVersion\":2,\"manifests\":[{{\"digest\":\"{digest}\",\"size\":1,\
                     \"platform\":{{\"os\":\"x\",\"architecture\":\"y\",\"os.features\":["
                ),
                &empty,
                "]}}]}",
            ),
        ),
    ] {
        let registry = Registry::start();
        tag(&registry, "application/json", text);
        let output = pull(&registry, &["--all-platforms"], 64 * MIB);
        assert!([3, 7].contains(&output.status()), "{what}\n{output}");
        assert!(output.took < Duration::from_secs(5), "{what}\n{output}");
    }
    for (what, text) in [
        ("history", fill("{\"history\":[", &object, "]}")),
        ("environment", fill("{\"config\":{\"Env\":[", &empty, "]}}")),
        ("labels", fill("{\"config\":{\"Labels\":{", &pair, "}}}")),
        ("what nobody knows", fill("{\"x\":[", &object, "]}")),
    ] {
        let registry = Registry::start();
        let config = Piece::new(OCI_CONFIG, text);
        registry.put_blob("box", &config.content);
        let document = json!({"schemaVersion": 2, "config": config.descriptor(), "layers": []});
        tag(&registry, OCI_IMAGE, document.to_string());
        let windlass = Windlass::new();
        let name = registry.name("box:1");
        for args in [
            &["pull", &name, "--platform=linux/amd64"][..],
            &["pull", &name],
            &["list"],
            &["inspect", &name],
            &["inspect", &name, "--json"],
        ] {
            let (output, resident) = run_watched(windlass.command(args));
            assert!(resident < 64 * MIB, "{what}: {} MiB are resident\n{output}", resident / MIB);
        }
    }
}

#[test]
fn index_bombs_go_off_without_harm() {
    let quick = |output: &Output| assert!(output.took < Duration::from_secs(3), "{output}");
    let registry = Registry::start();

    let mut nested = Image::small();
    for depth in 1..=12 {
        nested = IndexBuilder::new().child(&nested).build();
        registry.push(&nested, "box:1");
        for options in [&["--all-platforms"][..], &[]] {
            let output = pull(&registry, options, 32 * MIB);
            // Who takes the innermost image alone comes one deeper.
            let expected = if depth < 8 + usize::from(options.is_empty()) { 0 } else { 7 };
            assert_eq!(output.status(), expected, "{depth} {options:?}\n{output}");
        }
    }

    let doubled = |image: &Image, number: u32| {
        let index = IndexBuilder::new().child(image).child(image);
        index.index("annotations", json!({"n": number.to_string()})).build()
    };
    let bomb = (0..7).fold(Image::small(), |image, number| doubled(&image, number));
    registry.push(&bomb, "box:1");
    registry.forget();
    quick(&pull(&registry, &["--all-platforms"], 32 * MIB).success());
    assert!(registry.count("/v2/box/manifests/*") <= 9, "each is read once");

    let small = Image::small();
    registry.push(&small, "box:small");
    let layer = small.layers()[0].descriptor();
    let config = small.config().descriptor();
    for (count, status) in [(1000, 0), (1025, 7), (20_000, 7)] {
        let layers = vec![layer.clone(); count];
        let document = json!({"schemaVersion": 2, "config": config, "layers": layers});
        tag(&registry, OCI_IMAGE, document.to_string());
        registry.forget();
        let output = pull(&registry, &[], 64 * MIB).exits(status);
        quick(&output);
        assert!(registry.count(&super::layer_of_box()) <= 1);
    }

    let child = |number: usize| {
        json!({
            "mediaType": OCI_IMAGE, "digest": format!("sha256:{number:064x}"), "size": 500,
            "platform": {"os": format!("os{number}"), "architecture": "x"},
        })
    };
    for (count, status) in [(9_999, 3), (10_001, 7)] {
        let children: Vec<Value> = (0..count).map(child).collect();
        let document = json!({"schemaVersion": 2, "manifests": children});
        tag(&registry, OCI_INDEX, document.to_string());
        for options in [&["--all-platforms"][..], &[]] {
            quick(&pull(&registry, options, 64 * MIB).exits(status));
        }
    }
}

#[test]
fn index_that_leads_to_itself_is_not_what_it_says() {
    let registry = Registry::start();
    let digest = format!("sha256:{}", "a".repeat(64));
    let child = json!({"mediaType": OCI_INDEX, "digest": digest, "size": 200});
    let mut text = json!({"schemaVersion": 2, "manifests": [child]}).to_string();
    text.push_str(&" ".repeat(200 - text.len()));
    registry.put_manifest_as("box", &digest, OCI_INDEX, text.as_str());
    registry.put_tag("box", "1", &digest);
    registry.fail_always("/v2/box/manifests/*", Fault::no_digest_header());
    for options in [&["--all-platforms"][..], &[]] {
        pull(&registry, options, 32 * MIB).exits(7).says(&format!("expected {digest}, got "));
    }
}

#[test]
fn config_larger_than_any_config_is_not_read() {
    let registry = Registry::start();
    let image = ImageBuilder::new().config("x", json!("y".repeat(5 * 1024 * 1024))).build();
    registry.push(&image, "box:1");
    for options in [&[][..], &["--platform=linux/amd64"]] {
        let output = pull(&registry, options, 32 * MIB).exits(7);
        output.says("reading config ").says("expected at most 4194304 bytes");
    }
}
