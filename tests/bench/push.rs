//! Pushes to docker-registry on loopback, beside skopeo from the same layout.

use std::fs;
use std::path::Path;

use crate::contest::Contest;
use crate::costs::{Cost, bytes};
use crate::rows::{Bounds, MEMORY, MIB, pair};
use crate::server::Server;
use crate::support::{Push, Registry};
use crate::table::{Line, mebibytes};

/// For one layer the server, which hashes and writes alone, sets the pace.
pub(crate) fn gigabyte(contest: &Contest<'_>) -> Vec<Line> {
    let bounds = Bounds { wall: Some(1.0), cpu: Some(0.8) };
    beside_skopeo(contest, "push 1 GiB in one layer", &[1024 * MIB], bounds)
}

pub(crate) fn layers(contest: &Contest<'_>) -> Vec<Line> {
    let sizes = [3, 61, 12, 44, 7, 38, 24, 41].map(|size| size * MIB);
    let bounds = Bounds { wall: Some(0.75), cpu: Some(0.8) };
    beside_skopeo(contest, "push 8 layers, 230 MiB in all", &sizes, bounds)
}

/// Peak memory of pushes to a server that keeps nothing.
pub(crate) fn memory(contest: &Contest<'_>) -> Vec<Line> {
    let registry = Registry::start();
    registry.takes(Push { discards: true, ..Push::default() });
    let mut lines = Vec::new();
    let mut peaks = Vec::new();
    for size in [1, 1024] {
        let stocked = Stocked::with(contest, &[size * MIB]);
        let to = registry.name(&format!("memory-{size}:1"));
        let peak = bytes(stocked.windlass(contest, &to).memory);
        let what = format!("peak memory, push of a {size} MiB layer");
        lines.push(Line::absolute(&what, mebibytes, peak, MEMORY));
        peaks.push(peak);
    }
    let apart = (peaks[0] - peaks[1]).abs();
    lines.push(Line::absolute("these, from each other", mebibytes, apart, bytes(2 * MIB)));
    lines
}

fn beside_skopeo(contest: &Contest<'_>, what: &str, sizes: &[u64], bounds: Bounds) -> Vec<Line> {
    let stocked = Stocked::with(contest, sizes);
    let folder = contest.path("push-target");
    fs::create_dir_all(&folder).unwrap();
    let target = Server::start(&folder);
    let to = format!("{}/pushed:1", target.host);
    let windlass = || {
        target.empty();
        rustix::fs::sync();
        let cost = stocked.windlass(contest, &to);
        assert!(target.has("pushed", "1"), "nothing has arrived");
        cost
    };
    let skopeo = || {
        target.empty();
        rustix::fs::sync();
        let cost = stocked.skopeo(contest, &to);
        assert!(target.has("pushed", "1"), "nothing has arrived");
        cost
    };
    pair(contest, what, &windlass, ("skopeo", &skopeo), bounds)
}

/// A store that has one image.
struct Stocked {
    store: String,
    name: String,
}

impl Stocked {
    fn with(contest: &Contest<'_>, sizes: &[u64]) -> Stocked {
        let repository = format!("push-{}-{}", sizes.len(), sizes[0]);
        contest.server.put(&repository, sizes);
        let name = format!("{}/{repository}:1", contest.server.host);
        let path = contest.path(&format!("store-{repository}"));
        let store = path.to_str().unwrap().to_owned();
        let args = ["--store", &store, "--quiet", "pull", "--no-sync", &name];
        contest.run(&contest.options.windlass, &args);
        Stocked { store, name }
    }

    fn windlass(&self, contest: &Contest<'_>, to: &str) -> Cost {
        let args = ["--store", &self.store, "--quiet", "push", &self.name, to];
        contest.run(&contest.options.windlass, &args)
    }

    fn skopeo(&self, contest: &Contest<'_>, to: &str) -> Cost {
        let from = format!("oci:{}:{}", self.store, self.name);
        let to = format!("docker://{to}");
        let args = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &from, &to];
        contest.run(Path::new("skopeo"), &args)
    }
}
