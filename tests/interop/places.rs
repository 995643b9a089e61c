//! Image layouts that other tools have written, and those that they are to read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture::{self, child, host_architecture, index_digest};
use crate::loaders::Podman;
use crate::registry::{Registry, busybox};
use crate::tool::{Tool, sha256};
use crate::windlass::Windlass;

fn layout(path: &Path, name: &str) -> String {
    format!("oci:{}:{name}", path.display())
}

fn folder(windlass: &Windlass, name: &str) -> PathBuf {
    windlass.home.path().join(name)
}

fn archive(windlass: &Windlass, name: &str) -> String {
    format!("archive:{}", folder(windlass, name).display())
}

#[track_caller]
fn skopeo(windlass: &Windlass, args: &[&str]) -> Vec<u8> {
    Tool::new("skopeo", windlass.home.path()).arg("--insecure-policy").args(args).run().ok().stdout
}

/// Has skopeo copy the image out of the layout, which verifies every blob of it. Gives the digest
/// of its manifest.
#[track_caller]
fn read_by_skopeo(windlass: &Windlass, place: &str) -> String {
    let target = format!("dir:{}", folder(windlass, "read").display());
    skopeo(windlass, &["copy", "--quiet", "--all", "--preserve-digests", place, &target]);
    sha256(&skopeo(windlass, &["inspect", "--raw", place]))
}

#[test]
fn layout_that_skopeo_wrote_is_copied_and_read_by_skopeo_again() {
    let windlass = Windlass::new();
    let (theirs, ours) = (folder(&windlass, "theirs"), folder(&windlass, "ours"));
    let write = |all: &str, name: &str| {
        let to = layout(&theirs, name);
        let arch = format!("--override-arch={}", host_architecture());
        skopeo(&windlass, &[&arch, "copy", "--quiet", all, &fixture::place(), &to]);
    };
    write("--all", "docker.io/library/busybox:1.35");
    write("--remove-signatures", "one");
    let from = format!("oci:{}", theirs.display());
    let to = format!("oci:{}", ours.display());
    let one = child(host_architecture());
    let answer =
        format!("docker.io/library/busybox:1.35@{}\none@{}\n", index_digest(), one.digest());
    windlass.run(&["copy", &from, &to]).ok().prints(&answer);
    let read = |name: &str| read_by_skopeo(&windlass, &layout(&ours, name));
    assert_eq!(read("docker.io/library/busybox:1.35"), index_digest());
    assert_eq!(read("one"), one.digest());
    windlass.run(&["copy", &layout(&theirs, "busybox:1.35"), "store:mine"]).ok();
    windlass.copied("docker.io/library/mine:latest");
    // What one tool writes after the other leaves both images there.
    write("--all", "two");
    windlass.run(&["copy", &layout(&ours, "one"), &layout(&theirs, "three")]).ok();
    let read = |name: &str| read_by_skopeo(&windlass, &layout(&theirs, name));
    assert_eq!([read("two"), read("three")], [index_digest(), one.digest().to_owned()]);
}

#[test]
fn layout_that_windlass_wrote_from_a_registry_is_read_by_umoci_and_written_to() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    let path = folder(&windlass, "layout");
    let platform = format!("linux/{}", host_architecture());
    let one = child(host_architecture());
    let args = ["copy", &name, &layout(&path, "latest"), "--platform", &platform];
    windlass.run(&args).ok().prints(&format!("latest@{}\n", one.digest()));
    let umoci = |command: &str, name: &str, more: &[&str]| {
        let image = format!("{}:{name}", path.display());
        let tool = Tool::new("umoci", windlass.home.path());
        tool.args(&[command, "--image", &image]).args(more).run().ok()
    };
    let stat: Value = serde_json::from_slice(&umoci("stat", "latest", &["--json"]).stdout).unwrap();
    let layers = stat["history"].as_array().unwrap().iter().map(|entry| &entry["layer"]["digest"]);
    let layers: Vec<&str> = layers.filter_map(Value::as_str).collect();
    assert_eq!(layers, one.blobs()[1..]);
    umoci("tag", "latest", &["tagged"]);
    umoci("config", "tagged", &["--author", "me"]);
    let author = windlass.run(&["inspect", &layout(&path, "tagged")]).ok().text();
    assert!(author.contains("Author:     me"), "{author}");
    windlass.run(&["copy", &layout(&path, "tagged"), "store:configured"]).ok();
    windlass.run(&["verify"]).ok();
    windlass.copied("docker.io/library/configured:latest");
    windlass.run(&["copy", &name, &layout(&path, "latest")]).ok();
    assert_eq!(read_by_skopeo(&windlass, &layout(&path, "latest")), index_digest());
    let tool = Tool::new("umoci", windlass.home.path());
    let list = tool.args(&["ls", "--layout", path.to_str().unwrap()]).run().ok().text();
    let mut names: Vec<&str> = list.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["latest", "tagged"]);
}

#[test]
fn layout_that_podman_pushed_is_copied_and_pulled_by_podman_again() {
    let windlass = Windlass::new();
    let podman = Podman::new();
    let podman = |args: &[&str]| podman.podman(args).run().ok().text();
    let arch = format!("--arch={}", host_architecture());
    let pulled = podman(&["pull", "--quiet", &arch, &fixture::place()]);
    let config = child(host_architecture()).blobs().remove(0);
    assert_eq!(format!("sha256:{}", pulled.trim()), config);
    let (theirs, ours) = (folder(&windlass, "theirs"), folder(&windlass, "ours"));
    podman(&["push", "--quiet", pulled.trim(), &layout(&theirs, "docker.io/library/mine:7")]);
    let copied = windlass.run(&["copy", &layout(&theirs, "mine:7"), &layout(&ours, "x")]).ok();
    let text = copied.text();
    let digest = text.trim_end().strip_prefix("x@").unwrap();
    assert_eq!(read_by_skopeo(&windlass, &layout(&ours, "x")), digest);
    podman(&["rmi", "--all", "--force"]);
    // Podman calls what it pulls from a layout by the path, which is no name here.
    windlass.run(&["copy", &layout(&ours, "x"), &archive(&windlass, "x.tar")]).exits(2);
    let named = format!("{}:mine:8", archive(&windlass, "x.tar"));
    windlass.run(&["copy", &layout(&ours, "x"), &named]).ok();
    podman(&["load", "--quiet", "--input", folder(&windlass, "x.tar").to_str().unwrap()]);
    let loaded = podman(&["images", "--quiet", "--no-trunc", "docker.io/library/mine:8"]);
    assert_eq!(loaded.trim(), config);
}

#[test]
fn archives_that_skopeo_and_podman_wrote_are_copied_to_layouts() {
    let windlass = Windlass::new();
    let arch = format!("--override-arch={}", host_architecture());
    let write = |kind: &str, name: &str| {
        let path = folder(&windlass, &format!("{kind}.tar"));
        let to = format!("{kind}:{}:{name}", path.display());
        skopeo(&windlass, &[&arch, "copy", "--quiet", &fixture::place(), &to]);
        to
    };
    let one = child(host_architecture());
    let ours = folder(&windlass, "ours");
    // What skopeo's names mean to skopeo, they mean here.
    let oci = write("oci-archive", "latest");
    windlass.run(&["copy", &oci, &layout(&ours, "oci")]).ok();
    assert_eq!(read_by_skopeo(&windlass, &layout(&ours, "oci")), one.digest());
    let docker = write("docker-archive", "docker.io/library/busybox:7");
    let raw = windlass.run(&["inspect", "--raw", &docker]).ok().stdout;
    let answer = format!("docker@{}\n", sha256(&raw));
    windlass.run(&["copy", &docker, &layout(&ours, "docker")]).ok().prints(&answer);
    assert_eq!(read_by_skopeo(&windlass, &layout(&ours, "docker")), sha256(&raw));
    let podman = Podman::new();
    let podman = |args: &[&str]| podman.podman(args).run().ok();
    podman(&["load", "--input", folder(&windlass, "docker-archive.tar").to_str().unwrap()]);
    let saved = folder(&windlass, "saved.tar");
    podman(&["save", "--output", saved.to_str().unwrap(), "docker.io/library/busybox:7"]);
    let saved = archive(&windlass, "saved.tar");
    windlass.run(&["copy", &saved, &layout(&ours, "podman")]).ok();
    let config = |place: &str| windlass.run(&["inspect", "--config", place]).ok().stdout;
    assert_eq!(config(&layout(&ours, "podman")), config(&layout(&ours, "oci")));
    read_by_skopeo(&windlass, &layout(&ours, "podman"));
}

#[test]
fn registry_is_copied_into_an_archive_that_skopeo_reads_in_both_ways() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    let place = archive(&windlass, "all.tar");
    let digest = sha256(&registry.raw(&name));
    windlass.run(&["copy", &name, &place]).ok().prints(&format!("{name}@{digest}\n"));
    let path = folder(&windlass, "all.tar").display().to_string();
    assert_eq!(
        sha256(&skopeo(&windlass, &["inspect", "--raw", &format!("oci-archive:{path}")])),
        digest
    );
    let config =
        skopeo(&windlass, &["inspect", "--config", "--raw", &format!("docker-archive:{path}")]);
    assert_eq!(sha256(&config), child(host_architecture()).blobs()[0]);
    assert!(!windlass.store().exists());
}
