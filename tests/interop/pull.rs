//! From a registry into the store, read back by skopeo and umoci.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{self, child, host_architecture, index_digest};
use crate::registry::{Registry, busybox};
use crate::tool::{Tool, sha256};
use crate::windlass::Windlass;

#[test]
fn pull_stores_the_hosts_platform_and_prints_what_the_name_resolved_to() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    let resolved = sha256(&registry.raw(&name));
    windlass.run(&["pull", &name]).ok().prints(&format!("{name}@{resolved}\n"));
    assert_eq!(resolved, index_digest(), "skopeo has pushed what it was given");
    assert_eq!(sha256(&windlass.stored(&name)), child(host_architecture()).digest());
    windlass.copied(&name);
}

#[test]
fn pull_of_another_platform_stores_that_manifest_unchanged() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    for architecture in ["arm64", "amd64"] {
        windlass
            .run(&["pull", "--platform", &format!("linux/{architecture}"), &name])
            .ok()
            .prints(&format!("{name}@{}\n", index_digest()));
        assert_eq!(windlass.stored(&name), child(architecture).bytes);
        windlass.copied(&name);
    }
}

#[test]
fn pull_of_two_platforms_stores_an_index_of_exactly_these() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass
        .run(&["pull", "--platform=linux/arm64", "--platform", "linux/amd64", &name])
        .ok()
        .prints(&format!("{name}@{}\n", index_digest()));
    let index: Value = serde_json::from_slice(&windlass.stored(&name)).unwrap();
    let expected = [child("amd64").descriptor, child("arm64").descriptor];
    assert_eq!(index["manifests"].as_array().unwrap(), &expected, "the source's order");
    windlass.copied(&name);
}

#[test]
fn pull_of_all_platforms_stores_the_index_unchanged() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass
        .run(&["pull", "--all-platforms", &name])
        .ok()
        .prints(&format!("{name}@{}\n", index_digest()));
    assert_eq!(windlass.stored(&name), registry.raw(&name));
    windlass.copied(&name);
}

#[test]
fn pull_by_digest_does_not_repeat_the_digest() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = format!("{}/library/busybox@{}", registry.host, index_digest());
    windlass.run(&["pull", &name]).ok().prints(&format!("{name}\n"));
}

#[test]
fn pull_of_what_is_not_there_is_not_found() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = format!("{}/library/busybox:none", registry.host);
    windlass.run(&["pull", &name]).exits(3).prints("").says("MANIFEST_UNKNOWN");
    let name = busybox(&registry.host);
    let ran = windlass.run(&["pull", "--platform", "linux/s390x", &name]).exits(3).prints("");
    ran.says("linux/amd64").says("linux/arm64");
}

#[test]
fn docker_schema_2_image_keeps_its_digest() {
    let (registry, windlass) = (Registry::open(), Windlass::new());
    let name = format!("{}/docker/busybox:v2s2", registry.host);
    let child = child(host_architecture());
    let one = single(child.digest());
    let place = format!("oci:{}:one", one.path().display());
    registry.put(&["--format", "v2s2", &place], &name);
    let raw = registry.raw(&name);
    assert!(String::from_utf8_lossy(&raw).contains("docker.distribution.manifest.v2+json"));

    windlass.run(&["pull", &name]).ok().prints(&format!("{name}@{}\n", sha256(&raw)));
    // Debian's skopeo sees no Docker types in `oci:`.
    let index = fs::read(windlass.store().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], name);
    assert_eq!(entry["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    let manifest: Value = serde_json::from_slice(&raw).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    for part in layers.chain([entry, &manifest["config"]]) {
        let digest = part["digest"].as_str().unwrap();
        let path = windlass.store().join("blobs").join(digest.replace(':', "/"));
        assert_eq!(sha256(&fs::read(path).unwrap()), digest);
    }
    assert_eq!(entry["digest"], sha256(&raw));
}

#[test]
fn umoci_reads_and_unpacks_what_pull_has_stored() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["pull", &name]).ok();

    let image = format!("{}:{name}", windlass.store().display());
    let umoci = || Tool::new("umoci", windlass.home.path());
    let stat = umoci().args(&["stat", "--json", "--image", &image]).run().ok();
    let stat: Value = serde_json::from_slice(&stat.stdout).unwrap();
    let layers = stat["history"].as_array().unwrap().iter().map(|entry| &entry["layer"]["digest"]);
    let layers: Vec<&str> = layers.filter_map(Value::as_str).collect();
    assert_eq!(layers, child(host_architecture()).blobs()[1..]);

    let target = windlass.home.path().join("rootfs");
    umoci().args(&["raw", "unpack", "--rootless", "--image", &image]).arg(&target).run().ok();
    let inode = |path| fs::metadata(target.join(path)).unwrap().ino();
    assert_eq!(inode("bin/sh"), inode("bin/busybox"), "hard links");
    let passwd = fs::read_to_string(target.join("etc/passwd")).unwrap();
    assert!(passwd.starts_with("root:x:0:0:"), "{passwd}");
}

/// An OCI layout whose image `one` is the fixture's manifest `digest`.
fn single(digest: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let to = format!("oci:{}:one", folder.path().display());
    Tool::new("skopeo", folder.path())
        .args(&["--insecure-policy", "--override-arch", host_architecture()])
        .args(&["copy", "--quiet", &fixture::place(), &to])
        .run()
        .ok();
    let index = fs::read_to_string(folder.path().join("index.json")).unwrap();
    assert!(index.contains(digest), "skopeo takes the same child as we: {index}");
    folder
}
