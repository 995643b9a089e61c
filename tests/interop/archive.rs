//! What `windlass export` writes, loaded by everybody, with the digests compared end to end.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{self, child, host_architecture};
use crate::loaders::{Containerd, Docker, Podman};
use crate::registry::{Registry, busybox};
use crate::tool::{Ran, Tool, sha256};
use crate::windlass::Windlass;

/// Images of every kind in a registry, and in a store that was pulled from it.
struct Scene {
    registry: Registry,
    windlass: Windlass,
    /// For all platforms, OCI.
    many: String,
    /// For this machine, OCI.
    one: String,
    /// For this machine, with Docker's media types.
    docker: String,
}

impl Scene {
    fn new() -> Scene {
        let registry = Registry::open().filled();
        let many = busybox(&registry.host);
        let one = format!("{}/one/busybox:1", registry.host);
        let docker = format!("{}/docker/busybox:v2s2", registry.host);
        let architecture = ["--override-arch", host_architecture()];
        registry.put(&[&architecture[..], &[&fixture::place()]].concat(), &one);
        let format = ["--format", "v2s2", &fixture::place()];
        registry.put(&[&architecture[..], &format].concat(), &docker);
        let windlass = Windlass::new();
        windlass.run(&["pull", "-q", "--all-platforms", &many, &one, &docker]).ok();
        Scene { registry, windlass, many, one, docker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.windlass.home.path().join(name)
    }

    /// Exports, and gives the path.
    #[track_caller]
    fn export(&self, name: &str, args: &[&str]) -> String {
        let path = self.path(name).display().to_string();
        self.windlass.run(&[&["export", "-q", "-o", &path], args].concat()).ok();
        path
    }

    fn all(&self) -> [&String; 3] {
        [&self.docker, &self.many, &self.one]
    }

    /// The digest that the registry has for `name`.
    #[track_caller]
    fn digest(&self, name: &str) -> String {
        sha256(&self.registry.raw(name))
    }
}

fn skopeo(scene: &Scene, args: &[&str]) -> Ran {
    Tool::new("skopeo", scene.windlass.home.path()).arg("--insecure-policy").args(args).run()
}

/// The config of the image for this machine: docker's and podman's ID of it.
fn image_id() -> String {
    child(host_architecture()).blobs()[0].clone()
}

fn lines(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn images_come_through_an_archive_to_another_registry_unchanged() {
    let (scene, other, containerd) = (Scene::new(), Registry::open(), Containerd::start());
    let archive = scene.export("all.tar", &["--all"]);
    // Debian's skopeo sees no Docker types in a layout.
    for name in [&scene.many, &scene.one] {
        let to = format!("{}/through/{}", other.host, name.split_once('/').unwrap().1);
        other.put(&["--all", "--preserve-digests", &format!("oci-archive:{archive}:{name}")], &to);
        assert_eq!(sha256(&other.raw(&to)), scene.digest(name));
    }
    containerd.ctr(&["images", "import", "--all-platforms", "--no-unpack", &archive]).run().ok();
    for name in scene.all() {
        let to = format!("{}/{}", other.host, name.split_once('/').unwrap().1);
        containerd.ctr(&["images", "push", "--plain-http", &to, name]).run().ok();
        assert_eq!(other.raw(&to), scene.registry.raw(name));
    }
    let again = Windlass::new();
    let mut args = vec!["pull", "-q", "--all-platforms"];
    let names =
        scene.all().map(|name| format!("{}/{}", other.host, name.split_once('/').unwrap().1));
    args.extend(names.iter().map(String::as_str));
    again.run(&args).ok();
    again.run(&["verify"]).ok();
}

#[test]
fn containerd_imports_all_images_by_their_names_and_digests() {
    let (scene, containerd) = (Scene::new(), Containerd::start());
    let archive = scene.export("all.tar", &["--all"]);
    containerd.ctr(&["images", "import", "--snapshotter=native", &archive]).run().ok();
    let listed = containerd.ctr(&["images", "list"]).run().ok().text();
    let found = |name: &str| {
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} is not in\n{listed}")).contains(&scene.digest(name))
    };
    assert!(scene.all().into_iter().all(|name| found(name)), "{listed}");
    containerd.ctr(&["images", "check", "--snapshotter=native"]).run().ok();
}

#[test]
fn docker_loads_all_images_from_files_and_pipes() {
    let (scene, docker) = (Scene::new(), Docker::start());
    let archive = scene.export("all.tar", &["--all"]);
    let loaded = docker.docker(&["load", "-i", &archive]).run().ok();
    let expected: Vec<String> =
        scene.all().iter().map(|name| format!("Loaded image: {name}")).collect();
    assert_eq!(lines(&loaded), expected);
    let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
    let listed = docker.docker(&["images", "--no-trunc", "--format", format]).run().ok();
    let expected: Vec<String> =
        scene.all().iter().map(|name| format!("{name} {}", image_id())).collect();
    assert_eq!(lines(&listed), expected);
    let compressed = scene.export("one.tar.gz", &["--compress", "gzip", &scene.one]);
    let loaded = docker.docker(&["load"]).stdin(&fs::read(compressed).unwrap()).run().ok();
    loaded.prints(&format!("Loaded image: {}\n", scene.one));
}

#[test]
fn podman_loads_all_images_from_files_and_pipes() {
    let (scene, podman) = (Scene::new(), Podman::new());
    let archive = scene.export("all.tar", &["--all"]);
    let loaded = podman.podman(&["load", "-q", "-i", &archive]).run().ok();
    let expected: Vec<String> =
        scene.all().iter().map(|name| format!("Loaded image: {name}")).collect();
    assert_eq!(lines(&loaded), expected);
    let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
    let listed = podman.podman(&["images", "--no-trunc", "--format", format]).run().ok();
    let expected: Vec<String> =
        scene.all().iter().map(|name| format!("{name} {}", image_id())).collect();
    assert_eq!(lines(&listed), expected);
    for how in ["gzip", "zstd"] {
        let compressed = scene.export("one.tar.x", &["--compress", how, &scene.one]);
        let loaded = podman.podman(&["load", "-q"]).stdin(&fs::read(compressed).unwrap()).run();
        loaded.ok().prints(&format!("Loaded image: {}\n", scene.one));
    }
}

#[test]
fn skopeo_reads_each_image_of_an_archive_in_both_ways() {
    let scene = Scene::new();
    let archive = scene.export("all.tar", &["--all"]);
    let listed = skopeo(&scene, &["list-tags", &format!("docker-archive:{archive}")]).ok();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["Tags"], serde_json::json!(scene.all()));
    for name in scene.all() {
        let target = TempDir::new().unwrap();
        let to = format!("dir:{}", target.path().display());
        skopeo(&scene, &["copy", "-q", &format!("docker-archive:{archive}:{name}"), &to]).ok();
        let manifest = fs::read(target.path().join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["config"]["digest"], image_id());
    }
    for name in [&scene.many, &scene.one] {
        let raw = skopeo(&scene, &["inspect", "--raw", &format!("oci-archive:{archive}:{name}")]);
        assert_eq!(sha256(&raw.ok().stdout), scene.digest(name));
    }
    let single = scene.export("single.tar", &[&scene.one]);
    for way in ["oci-archive", "docker-archive"] {
        skopeo(&scene, &["inspect", "--raw", &format!("{way}:{single}")]).ok();
    }
}

#[test]
fn image_without_a_tag_is_loaded_by_everybody() {
    let scene = Scene::new();
    let name = scene.one.rsplit_once(':').unwrap().0;
    let by_digest = format!("{name}@{}", scene.digest(&scene.one));
    let archive = scene.export("digest.tar", &[&format!("docker://{by_digest}")]);
    let docker = Docker::start();
    let loaded = docker.docker(&["load", "-i", &archive]).run().ok();
    loaded.prints(&format!("Loaded image ID: {}\n", image_id()));
    let podman = Podman::new();
    let loaded = podman.podman(&["load", "-q", "-i", &archive]).run().ok();
    loaded.prints(&format!("Loaded image: {by_digest}\n"));
    let containerd = Containerd::start();
    containerd.ctr(&["images", "import", "--snapshotter=native", &archive]).run().ok();
    let listed = containerd.ctr(&["images", "list", "-q"]).run().ok().text();
    assert!(listed.lines().any(|line| line == by_digest), "{listed}");
    for way in ["oci-archive", "docker-archive"] {
        skopeo(&scene, &["inspect", "--raw", &format!("{way}:{archive}")]).ok();
    }
}

#[test]
fn untarred_archive_is_a_layout_for_umoci() {
    let scene = Scene::new();
    let archive = scene.export("one.tar", &[&scene.one]);
    let layout = scene.path("layout");
    fs::create_dir(&layout).unwrap();
    let tool = |program: &str| Tool::new(program, scene.windlass.home.path());
    tool("tar").args(&["-xf", &archive, "-C", layout.to_str().unwrap()]).run().ok();
    let listed = tool("umoci").args(&["ls", "--layout", layout.to_str().unwrap()]).run().ok();
    listed.prints(&format!("{}\n", scene.one));
    let image = format!("{}:{}", layout.display(), scene.one);
    let target = scene.path("rootfs");
    let unpack = ["raw", "unpack", "--rootless", "--image", &image, target.to_str().unwrap()];
    tool("umoci").args(&unpack).run().ok();
    assert!(target.join("bin/busybox").is_file());
}

#[test]
fn every_tar_lists_the_same_members() {
    let scene = Scene::new();
    let archive = scene.export("all.tar", &["--all"]);
    let listed = |program: &str, args: &[&str]| {
        let ran = Tool::new(program, scene.windlass.home.path()).args(args).arg(&archive).run();
        ran.ok().text()
    };
    let gnu = listed("tar", &["-tf"]);
    let first: Vec<&str> = gnu.lines().take(5).collect();
    assert_eq!(first, ["oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/"]);
    let python = "import sys, tarfile\nfor m in tarfile.open(sys.argv[1]):\n \
                  print(m.name + '/' * m.isdir())";
    assert_eq!(listed("python3", &["-c", python]), gnu);
}
