//! What real tools save, imported by windlass, with the digests compared where the form keeps them.

use crate::fixture::{self, child, host_architecture};
use crate::loaders::{Containerd, Docker, Podman};
use crate::registry::{Registry, busybox};
use crate::tool::{Tool, sha256};
use crate::windlass::Windlass;

/// An image that the fixture has for another machine.
fn other_architecture() -> &'static str {
    if host_architecture() == "amd64" { "arm64" } else { "amd64" }
}

const HERE: &str = "quay.io/team/here:1";
const THERE: &str = "docker.io/library/there:latest";

/// A user whose archives others write.
struct Receiver {
    windlass: Windlass,
}

impl Receiver {
    fn new() -> Receiver {
        Receiver { windlass: Windlass::new() }
    }

    fn path(&self, name: &str) -> String {
        self.windlass.home.path().join(name).display().to_string()
    }

    #[track_caller]
    fn skopeo(&self, args: &[&str]) {
        let skopeo = Tool::new("skopeo", self.windlass.home.path());
        skopeo.args(&["--insecure-policy"]).args(args).run().ok();
    }

    /// The fixture's images for two machines, each in an archive of docker's form.
    #[track_caller]
    fn two_images(&self) -> [String; 2] {
        [(host_architecture(), HERE), (other_architecture(), THERE)].map(|(architecture, name)| {
            let archive = self.path(&format!("{architecture}.tar"));
            let to = format!("docker-archive:{archive}:{name}");
            self.skopeo(&["--override-arch", architecture, "copy", "-q", &fixture::place(), &to]);
            archive
        })
    }

    /// Imports an archive from the file and from a pipe into two stores; both must hold the same.
    #[track_caller]
    fn import(&self, archive: &str, args: &[&str]) -> String {
        self.windlass.run(&["verify", "--archive", archive]).ok();
        let from_file = self.windlass.run(&[&["import", "-q", archive], args].concat()).ok();
        let other = Windlass::new();
        let bytes = std::fs::read(archive).unwrap();
        let from_pipe = other.tool(&[&["import", "-q", "-"], args].concat()).stdin(&bytes).run();
        from_pipe.ok().prints(&from_file.text());
        for windlass in [&self.windlass, &other] {
            windlass.run(&["verify"]).ok();
        }
        from_file.text()
    }

    /// The digest of the config of `name`: docker's and podman's ID of the image.
    #[track_caller]
    fn id(&self, name: &str) -> String {
        sha256(&self.windlass.run(&["inspect", "--config", name]).ok().stdout)
    }

    #[track_caller]
    fn expect_both(&self) {
        assert_eq!(self.id(HERE), child(host_architecture()).blobs()[0]);
        assert_eq!(self.id(THERE), child(other_architecture()).blobs()[0]);
    }
}

#[test]
fn archives_of_skopeo_are_imported_in_both_forms() {
    let receiver = Receiver::new();
    for archive in receiver.two_images() {
        receiver.import(&archive, &[]);
    }
    receiver.expect_both();
    let forms: [(&str, &[&str], &str); 3] = [
        (":h.io/full:2", &[], "h.io/full:2"),
        (":v2", &["--name", "h.io/tagged"], "h.io/tagged:v2"),
        ("", &["--name", "h.io/nameless"], "h.io/nameless:latest"),
    ];
    for (index, (suffix, args, name)) in forms.into_iter().enumerate() {
        let archive = receiver.path(&format!("oci-{index}.tar"));
        let to = format!("oci-archive:{archive}{suffix}");
        receiver.skopeo(&["copy", "-q", "--all", &fixture::place(), &to]);
        let printed = receiver.import(&archive, args);
        assert_eq!(printed, format!("{name}@{}\n", fixture::index_digest()));
    }
}

#[test]
fn archives_of_podman_are_imported_in_both_forms_and_with_several_images() {
    let (receiver, podman) = (Receiver::new(), Podman::new());
    for archive in receiver.two_images() {
        podman.podman(&["load", "-q", "-i", &archive]).run().ok();
    }
    let save = |name: &str, args: &[&str]| {
        let archive = receiver.path(name);
        podman.podman(&[&["save", "-q", "-o", &archive], args].concat()).run().ok();
        archive
    };
    receiver.import(&save("docker.tar", &["-m", HERE, THERE]), &[]);
    receiver.expect_both();
    let archive = save("oci.tar", &["--format=oci-archive", HERE]);
    let printed = receiver.import(&archive, &[]);
    // podman has made a manifest and a config of its own for that form.
    let raw = Tool::new("skopeo", receiver.windlass.home.path())
        .args(&["inspect", "--raw", &format!("oci-archive:{archive}")])
        .run()
        .ok();
    assert_eq!(printed, format!("{HERE}@{}\n", sha256(&raw.stdout)));
}

#[test]
fn archives_of_docker_are_imported_with_images_that_have_no_name() {
    let (receiver, docker) = (Receiver::new(), Docker::start());
    for archive in receiver.two_images() {
        docker.docker(&["load", "-i", &archive]).run().ok();
    }
    let save = |name: &str, images: &[&str]| {
        let archive = receiver.path(name);
        docker.docker(&[&["save", "-o", &archive], images].concat()).run().ok();
        archive
    };
    receiver.import(&save("docker.tar", &[HERE, THERE]), &[]);
    receiver.expect_both();
    let id = child(other_architecture()).blobs()[0].clone();
    let archive = save("nameless.tar", &[HERE, &id]);
    receiver.windlass.run(&["import", &archive]).exits(2).says("without a name");
    receiver.import(&archive, &["--name", "h.io/nameless:3"]);
    assert_eq!(receiver.id("h.io/nameless:3"), id);
}

#[test]
fn archives_of_containerd_keep_every_digest() {
    let (receiver, containerd) = (Receiver::new(), Containerd::start());
    let archive = receiver.path("oci.tar");
    let to = format!("oci-archive:{archive}:h.io/all:1");
    receiver.skopeo(&["copy", "-q", "--all", &fixture::place(), &to]);
    let import = ["images", "import", "--all-platforms", "--no-unpack", "--base-name=h.io/all"];
    containerd.ctr(&[&import[..], &[&archive]].concat()).run().ok();
    let listed = containerd.ctr(&["images", "list", "-q"]).run().ok().text();
    let name = listed.lines().find(|line| line.starts_with("h.io/all")).unwrap().to_owned();
    let exported = receiver.path("ctr.tar");
    containerd.ctr(&["images", "export", "--all-platforms", &exported, &name]).run().ok();
    let printed = receiver.import(&exported, &[]);
    assert!(printed.ends_with(&format!("@{}\n", fixture::index_digest())), "{printed}");
    let exported = receiver.path("one.tar");
    let platform = format!("linux/{}", host_architecture());
    containerd.ctr(&["images", "export", "--platform", &platform, &exported, &name]).run().ok();
    receiver.windlass.run(&["import", &exported]).ok();
    receiver.windlass.run(&["verify"]).ok();
}

#[test]
fn platforms_that_containerd_never_pulled_are_left_out() {
    let (receiver, containerd) = (Receiver::new(), Containerd::start());
    let registry = Registry::open().filled();
    let name = busybox(&registry.host);
    let pull = ["images", "pull", "--plain-http", "--snapshotter=native", &name];
    containerd.ctr(&pull).run().ok();
    let archive = receiver.path("ctr.tar");
    containerd.ctr(&["images", "export", &archive, &name]).run().ok();
    let imported = receiver.windlass.run(&["import", &archive]).ok();
    let there = child(host_architecture());
    let imported = imported.says(other_architecture()).says("is left out");
    imported.prints(&format!("{name}@{}\n", there.digest()));
    receiver.windlass.run(&["verify"]).ok();
    let missing = child(other_architecture());
    let verified = receiver.windlass.run(&["verify", "--archive", &archive]).exits(7);
    assert!(verified.text().contains(&missing.digest().replace(':', "/")), "{}", verified.text());
}

#[test]
fn layouts_of_umoci_are_imported_as_folder_and_as_tar() {
    let receiver = Receiver::new();
    let layout = receiver.path("layout");
    let to = format!("oci:{layout}:3.20");
    receiver.skopeo(&[
        "--override-arch",
        host_architecture(),
        "copy",
        "-q",
        &fixture::place(),
        &to,
    ]);
    let image = format!("{layout}:3.20");
    let umoci = Tool::new("umoci", receiver.windlass.home.path());
    umoci.args(&["config", "--image", &image, "--config.user", "me"]).run().ok();
    let archive = receiver.path("layout.tar");
    let tar = Tool::new("tar", receiver.windlass.home.path());
    tar.args(&["-C", &layout, "-cf", &archive, "."]).run().ok();
    let printed = receiver.import(&archive, &["--name", "h.io/umoci"]);
    let raw = Tool::new("skopeo", receiver.windlass.home.path())
        .args(&["inspect", "--raw", &format!("oci:{image}")])
        .run()
        .ok();
    assert_eq!(printed, format!("h.io/umoci:3.20@{}\n", sha256(&raw.stdout)));
    let folder = receiver.windlass.run(&["import", "-q", "--name", "h.io/umoci", &layout]).ok();
    folder.prints(&printed);
}
