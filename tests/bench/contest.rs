//! The programs, each of which does the same work from the same start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::costs::Cost;
use crate::options::Options;
use crate::server::Server;
use crate::support::Image;
use crate::tool::Tool;

/// The programs, a server, and a folder for what they fetch.
pub(crate) struct Contest<'a> {
    pub(crate) options: &'a Options,
    pub(crate) server: Server,
    folder: TempDir,
}

impl Contest<'_> {
    pub(crate) fn new(options: &Options) -> Contest<'_> {
        let folder =
            tempfile::Builder::new().prefix("bench-").tempdir_in(&options.scratch).unwrap();
        Contest { options, server: Server::start(folder.path()), folder }
    }

    /// Pulls into a new store.
    pub(crate) fn windlass(&self, args: &[&str], name: &str, image: &Image) -> Cost {
        let store = self.clean_target();
        let mut all = vec!["--store", store.to_str().unwrap(), "--quiet", "pull"];
        all.extend(args);
        all.push(name);
        let cost = Cost::of(&self.options.windlass, &all, self.folder.path());
        expect_image(&store, image);
        cost
    }

    /// Imports into a new store.
    pub(crate) fn import(&self, args: &[&str], image: &Image) -> Cost {
        let store = self.clean_target();
        let mut all = vec!["--store", store.to_str().unwrap(), "--quiet", "import"];
        all.extend(args);
        let cost = Cost::of(&self.options.windlass, &all, self.folder.path());
        expect_image(&store, image);
        cost
    }

    /// Copies from a registry to a new `oci:` folder.
    pub(crate) fn skopeo(&self, name: &str, image: &Image) -> Cost {
        self.skopeo_from(&format!("docker://{name}"), image)
    }

    /// The same from any place.
    pub(crate) fn skopeo_from(&self, from: &str, image: &Image) -> Cost {
        let layout = self.clean_target();
        let to = format!("oci:{}:bench", layout.display());
        let args = ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", from, &to];
        let cost = Cost::of(Path::new("skopeo"), &args, self.folder.path());
        expect_image(&layout, image);
        cost
    }

    /// Fetches the layer of an image that has only one, verifying nothing.
    pub(crate) fn curl(&self, host: &str, repository: &str, image: &Image) -> Cost {
        let target = self.clean_target();
        let layer = &image.layers()[0];
        let url = format!("http://{host}/v2/{repository}/blobs/{}", layer.digest);
        let args = ["--fail", "--silent", "--show-error", "-o", target.to_str().unwrap(), &url];
        let cost = Cost::of(Path::new("curl"), &args, self.folder.path());
        assert_eq!(fs::metadata(&target).unwrap().len(), layer.size());
        cost
    }

    /// How long it takes to start and end, without GNU time between.
    pub(crate) fn start(&self, program: &Path, args: &[&str]) -> Duration {
        let mut command = Command::new(program);
        command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let start = Instant::now();
        let status = command.status().unwrap();
        let took = start.elapsed();
        assert!(status.success(), "{command:?}: {status}");
        took
    }

    /// What the numbers depend on.
    pub(crate) fn conditions(&self) -> String {
        let home = self.folder.path();
        let says = |program: &str, args: &[&str]| {
            let said = Tool::new(program, home).args(args).run().ok().text();
            said.lines().next().unwrap_or_default().to_owned()
        };
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processor.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown", |model| model.trim_matches([' ', '\t', ':']));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split(' ').take(3).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let disk = says("stat", &["-f", "-c", "%T", home.to_str().unwrap()]);
        let curl = says("curl", &["--version"]);
        [
            format!("{cores} x {model}, {disk}, load before the run: {}", load.join(" ")),
            says(self.options.windlass.to_str().unwrap(), &["--version"]),
            curl.split(" (").next().unwrap_or_default().to_owned(),
            says("skopeo", &["--version"]),
            says("docker-registry", &["--version"]),
        ]
        .join("\n")
    }

    /// Something in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, program: &Path, args: &[&str]) -> Cost {
        Cost::of(program, args, self.folder.path())
    }

    /// Nothing there, and nothing left for the disk to write.
    pub(crate) fn clean_target(&self) -> PathBuf {
        let target = self.folder.path().join("target");
        if target.is_dir() {
            fs::remove_dir_all(&target).unwrap();
        } else if target.exists() {
            fs::remove_file(&target).unwrap();
        }
        rustix::fs::sync();
        target
    }
}

/// Whether all of the image is in the layout, by the sizes. Otherwise no work was measured.
#[track_caller]
fn expect_image(layout: &Path, image: &Image) {
    for piece in image.blobs.iter().chain(&image.manifests) {
        let path = layout.join("blobs").join(piece.digest.replace(':', "/"));
        let size = fs::metadata(&path).map(|metadata| metadata.len());
        assert_eq!(size.ok(), Some(piece.size()), "size of {}", path.display());
    }
}
