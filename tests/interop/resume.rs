//! Nothing is fetched twice.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::nginx::{Hit, Nginx, pass};
use crate::registry::{Registry, busybox};
use crate::tool::{Tool, sha256};
use crate::windlass::Windlass;

const LAYER: u64 = 64 * 1024 * 1024;

/// What a connection gets in a second: after two of them one connection has 6 MiB and eight have
/// 48, so that there is something to keep and something to fetch.
const RATE: &str = "limit_rate 3m;";

#[test]
fn pull_that_was_killed_fetches_only_the_rest() {
    let (registry, windlass) = (Registry::open(), Windlass::new());
    let (layer, size) = put_big_image(&registry);
    let nginx = Nginx::start(|[front, _]| pass(front, &registry.host, RATE));
    let name = format!("{}/big:1", nginx.host);

    let first = windlass.tool(&["pull", &name]).start(&windlass.home.path().join("killed"));
    thread::sleep(Duration::from_secs(2));
    first.kill();
    // Nginx notes what it has sent when it next looks at the connection.
    thread::sleep(Duration::from_millis(1500));
    let before = fetched(&nginx.hits(), &layer);
    assert!((1..size).contains(&before), "killed in the middle, after {before} bytes");
    assert!(!windlass.run(&["list"]).ok().text().contains("big"), "no name before its content");

    let digest = sha256(&registry.raw(&format!("{}/big:1", registry.host)));
    windlass.run(&["pull", &name]).ok().prints(&format!("{name}@{digest}\n"));
    windlass.copied(&name);
    let all = fetched(&nginx.hits(), &layer);
    assert!(all >= size, "{all} bytes");
    // What was under way at the kill, and what nobody had read of it, may come again.
    let again = all - size;
    assert!(again < before / 2, "{before} bytes first, {again} of them again");
    let hits = nginx.hits();
    assert!(hits.iter().any(|hit| !hit.range.is_empty() && hit.status == 206), "{hits:?}");
}

#[test]
fn pull_of_what_is_there_fetches_no_blob() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let nginx = Nginx::start(|[front, _]| pass(front, &registry.host, ""));
    let name = busybox(&nginx.host);
    let first = windlass.run(&["pull", &name]).ok().text();
    let blobs = || nginx.hits().iter().filter(|hit| hit.uri.contains("/blobs/")).count();
    let before = blobs();
    assert!(before >= 3, "config and two layers: {before}");
    windlass.run(&["pull", &name]).ok().prints(&first);
    assert_eq!(blobs(), before);
}

/// Bytes of the blob `digest` that were sent.
fn fetched(hits: &[Hit], digest: &str) -> u64 {
    let gets = hits.iter().filter(|hit| hit.method == "GET" && hit.uri.contains(digest));
    gets.map(|hit| hit.bytes).sum()
}

/// Gives the registry an image `big:1` of one layer that does not compress; returns that layer's
/// digest and size.
fn put_big_image(registry: &Registry) -> (String, u64) {
    let folder = TempDir::new().unwrap();
    let layout = folder.path().join("layout").to_str().unwrap().to_owned();
    let image = format!("{layout}:1");
    let noise = folder.path().join("noise");
    write_noise(&noise);
    let umoci = |args: &[&str]| Tool::new("umoci", folder.path()).args(args).run().ok();
    umoci(&["init", "--layout", &layout]);
    umoci(&["new", "--image", &image]);
    umoci(&["insert", "--rootless", "--image", &image, noise.to_str().unwrap(), "/noise"]);
    registry.put(&[&format!("oci:{image}")], &format!("{}/big:1", registry.host));

    let manifest = registry.raw(&format!("{}/big:1", registry.host));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = &manifest["layers"][0];
    (layer["digest"].as_str().unwrap().to_owned(), layer["size"].as_u64().unwrap())
}

fn write_noise(path: &Path) {
    let mut content = Vec::new();
    File::open("/dev/urandom").unwrap().take(LAYER).read_to_end(&mut content).unwrap();
    File::create(path).unwrap().write_all(&content).unwrap();
}
