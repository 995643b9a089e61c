//! A store that skopeo and umoci write to as well.

use crate::fixture::{self, child};
use crate::registry::{Registry, busybox};
use crate::tool::Tool;
use crate::windlass::Windlass;

/// Has skopeo copy the fixture's image for linux/amd64 into the store.
fn skopeo_adds(windlass: &Windlass, name: &str) {
    Tool::new("skopeo", windlass.home.path())
        .args(&["--insecure-policy", "--override-arch=amd64", "copy"])
        .args(&[&fixture::place(), &windlass.place(name)])
        .run()
        .ok();
}

fn umoci(windlass: &Windlass, command: &str, name: &str, more: &[&str]) {
    let image = format!("{}:{name}", windlass.store().display());
    let tool = Tool::new("umoci", windlass.home.path());
    tool.args(&[command, "--image", &image]).args(more).run().ok();
}

#[track_caller]
fn names(windlass: &Windlass) -> Vec<String> {
    let listed = windlass.run(&["list"]).ok().text();
    listed.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn layout_that_skopeo_made_is_a_store_like_any_other() {
    let windlass = Windlass::new();
    skopeo_adds(&windlass, "theirs");
    assert_eq!(names(&windlass), ["theirs"]);
    windlass.run(&["verify"]).ok();
    windlass.run(&["tag", "theirs", "ours:1"]).ok();
    windlass.run(&["gc"]).ok();
    windlass.run(&["verify"]).ok();
    windlass.run(&["remove", "theirs"]).ok();
    windlass.copied("docker.io/library/ours:1");
    windlass.run(&["remove", child("amd64").digest()]).ok();
    windlass.run(&["gc"]).ok();
    assert_eq!(std::fs::read_dir(windlass.store().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn other_tools_write_in_between_and_nothing_is_lost() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["pull", "--platform=linux/amd64", &name]).ok();
    skopeo_adds(&windlass, "theirs");
    umoci(&windlass, "tag", "theirs", &["copied"]);
    windlass.run(&["tag", "copied", "ours:1"]).ok();
    umoci(&windlass, "rm", "theirs", &[]);
    assert_eq!(names(&windlass), [name.as_str(), "copied", "docker.io/library/ours:1"]);
    let layout = windlass.store();
    let tool = Tool::new("umoci", windlass.home.path());
    tool.args(&["gc", "--layout", layout.to_str().unwrap()]).run().ok();
    windlass.run(&["gc"]).ok();
    windlass.run(&["verify"]).ok();
    for name in [name.as_str(), "copied", "docker.io/library/ours:1"] {
        windlass.copied(name);
    }
}
