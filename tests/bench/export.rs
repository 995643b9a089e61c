//! Writing archives, beside openssl, which only reads and hashes the same bytes, and skopeo.

use std::fs;
use std::path::PathBuf;

use crate::contest::Contest;
use crate::costs::{Cost, bytes};
use crate::rows::{Bounds, MEMORY, MIB, pair};
use crate::support::{Image, Registry};
use crate::table::{Line, mebibytes};

/// An image in a store, of which archives are written.
struct Stored<'a> {
    contest: &'a Contest<'a>,
    name: String,
    image: Image,
    store: PathBuf,
}

impl<'a> Stored<'a> {
    fn new(contest: &'a Contest<'a>, name: String, image: Image) -> Stored<'a> {
        let store = contest.path("store");
        let at = store.to_str().unwrap();
        contest.run(&contest.options.windlass, &["--store", at, "--quiet", "pull", &name]);
        Stored { contest, name, image, store }
    }

    fn windlass(&self, args: &[&str]) -> Cost {
        let target = self.contest.clean_target();
        let mut all = vec!["--store", self.store.to_str().unwrap(), "--quiet", "export"];
        all.extend(["-o", target.to_str().unwrap()]);
        all.extend(args);
        all.push(&self.name);
        let cost = self.contest.run(&self.contest.options.windlass, &all);
        self.expect_archive(&target);
        cost
    }

    /// To an archive of that kind, from the same store.
    fn skopeo(&self, kind: &str) -> Cost {
        let target = self.contest.clean_target();
        let from = format!("oci:{}:{}", self.store.display(), self.name);
        let to = format!("{kind}:{}:bench:1", target.display());
        let args = ["--insecure-policy", "copy", "--quiet", &from, &to];
        let cost = self.contest.run("skopeo".as_ref(), &args);
        self.expect_archive(&target);
        cost
    }

    /// Hashes all layers.
    fn openssl(&self) -> Cost {
        let path = |digest: &str| self.store.join("blobs").join(digest.replace(':', "/"));
        let layers = self.image.layers().iter();
        let paths: Vec<String> =
            layers.map(|layer| path(&layer.digest).display().to_string()).collect();
        let mut args = vec!["dgst", "-sha256"];
        args.extend(paths.iter().map(String::as_str));
        self.contest.run("openssl".as_ref(), &args)
    }

    /// Otherwise no work was measured.
    #[track_caller]
    fn expect_archive(&self, path: &std::path::Path) {
        let size = fs::metadata(path).unwrap().len();
        // Docker's form has the layers without gzip, which here only costs.
        assert!(size > self.image.size() / 100 * 99, "{size} bytes for {}", self.image.size());
    }
}

impl Drop for Stored<'_> {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.store).unwrap();
    }
}

pub(crate) fn gigabyte(contest: &Contest<'_>) -> Vec<Line> {
    let image = contest.server.put("export-gigabyte", &[1024 * MIB]);
    let name = format!("{}/export-gigabyte:1", contest.server.host);
    let stored = Stored::new(contest, name, image);
    let bounds = Bounds { wall: Some(1.25), cpu: None };
    let mut lines = beside_openssl(&stored, "export 1 GiB in one layer, --no-sync", bounds);
    for kind in ["oci-archive", "docker-archive"] {
        lines.extend(pair(
            contest,
            &format!("export 1 GiB beside {kind}"),
            &|| stored.windlass(&[]),
            ("skopeo", &|| stored.skopeo(kind)),
            Bounds { wall: None, cpu: None },
        ));
    }
    lines
}

pub(crate) fn layers(contest: &Contest<'_>) -> Vec<Line> {
    let sizes = [3, 61, 12, 44, 7, 38, 24, 41].map(|size| size * MIB);
    let image = contest.server.put("export-layers", &sizes);
    let name = format!("{}/export-layers:1", contest.server.host);
    let stored = Stored::new(contest, name, image);
    let bounds = Bounds { wall: Some(0.8), cpu: None };
    beside_openssl(&stored, "export 8 layers, 230 MiB, --no-sync", bounds)
}

fn beside_openssl(stored: &Stored<'_>, what: &str, bounds: Bounds) -> Vec<Line> {
    let ours = || stored.windlass(&["--no-sync"]);
    pair(stored.contest, what, &ours, ("openssl", &|| stored.openssl()), bounds)
}

pub(crate) fn memory(contest: &Contest<'_>) -> Vec<Line> {
    let registry = Registry::start();
    let mut peaks = Vec::new();
    let mut lines = Vec::new();
    for (layer, size) in [("1 MiB", 1), ("256 MiB", 256), ("1 GiB", 1024), ("4 GiB", 4096)] {
        let image = Image::of_size(size * MIB);
        let name = registry.push(&image, "memory:1");
        let stored = Stored::new(contest, name, image);
        for (way, args) in [("", &["--no-sync"][..]), (", gzip", &["--no-sync", "--compress=gzip"])]
        {
            // Minutes of the same.
            if !way.is_empty() && size > 1024 {
                continue;
            }
            let what = format!("peak memory, export{way}, {layer} layer");
            let peak = bytes(stored.windlass(args).memory);
            lines.push(Line::absolute(&what, mebibytes, peak, MEMORY));
            if way.is_empty() {
                peaks.push(peak);
            }
        }
    }
    peaks.sort_by(f64::total_cmp);
    let apart = peaks[peaks.len() - 1] - peaks[0];
    lines.push(Line::absolute(
        "these plain ones, from each other",
        mebibytes,
        apart,
        bytes(2 * MIB),
    ));
    lines
}
