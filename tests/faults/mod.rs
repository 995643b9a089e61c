//! What a bad network, a bad registry and a bad machine do to a pull: through the binary, every
//! time with what the user is told, what was asked of the registry, and what is in the store.

mod connections;
mod cuts;
mod encodings;
mod kills;
mod logins;
pub(crate) mod machine;
mod manifests;
mod noise;
mod processes;
mod ranges;
mod redirects;
mod stalls;
mod statuses;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::support::{Content, Fault, Image, Output, Registry, Run, Windlass};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Bytes that may come twice after a cut: what one connection reads at a time, and then some.
const SLACK: u64 = 256 * KIB;

/// An image in a registry, and a user who wants it.
struct Scene {
    registry: Registry,
    image: Image,
    /// Of the image, for the user.
    name: String,
    windlass: Windlass,
}

impl Scene {
    /// An image of one layer of that many bytes.
    fn of_size(size: u64) -> Scene {
        Scene::of(Image::of_size(size))
    }

    fn of(image: Image) -> Scene {
        Scene::at(Registry::start(), image)
    }

    fn at(registry: Registry, image: Image) -> Scene {
        let name = registry.push(&image, "box:1");
        Scene { registry, image, name, windlass: Windlass::new() }
    }

    /// The same, with something going wrong with the first layer, once.
    fn once(size: u64, fault: Fault) -> Scene {
        let scene = Scene::of_size(size);
        scene.registry.fail_once(&scene.layer(), fault);
        scene
    }

    /// The pattern of requests for the first layer.
    fn layer(&self) -> String {
        format!("GET /v2/box/blobs/{}", self.image.layers()[0].digest)
    }

    fn manifest(&self) -> String {
        "GET /v2/box/manifests/1".to_owned()
    }

    fn command(&self, args: &[&str]) -> Run {
        let all = [&["pull", &self.name, "--no-sync"], args].concat();
        self.windlass.command(&all)
    }

    #[track_caller]
    fn pull(&self, args: &[&str]) -> Output {
        self.command(args).run()
    }

    /// It comes, and is there.
    #[track_caller]
    fn succeeds(&self, args: &[&str]) -> Output {
        let output = self.pull(args).success();
        let output = output.prints(&format!("{}@{}\n", self.name, self.image.digest));
        self.holds();
        output
    }

    /// It does not come, with that exit code and message, and nothing wrong is there.
    #[track_caller]
    fn fails(&self, status: i32, message: &str, args: &[&str]) -> Output {
        let output = self.pull(args).exits(status).prints("");
        let output = output.says(&format!("windlass: pulling {}: ", self.name)).says(message);
        self.is_whole();
        assert!(!self.is_named(), "a name without its content\n{output}");
        output
    }

    /// With the faults gone the same command succeeds; of the first layer at most that many
    /// bytes come again. By one stream: where several share a blob, one that is cut short for
    /// the others leaves bytes in the buffers of the kernel.
    #[track_caller]
    fn recovers(&self, at_most: u64) -> Output {
        self.registry.recover();
        self.registry.forget();
        let output = self.succeeds(&["--jobs=1"]);
        let sent = self.registry.bytes_sent(&self.layer());
        assert!(sent <= at_most, "{sent} bytes came, expected at most {at_most}\n{output}");
        output
    }

    /// So many requests for the first layer were made, and so many bytes sent beyond its size.
    #[track_caller]
    fn asked(&self, requests: usize, beyond: u64) {
        let asked = self.registry.count(&self.layer());
        assert_eq!(asked, requests, "requests for the layer: {}", self.story());
        let sent = self.registry.bytes_sent(&self.layer());
        let most = self.image.layers()[0].size() + beyond;
        assert!(sent <= most, "{sent} bytes were sent, expected at most {most}: {}", self.story());
    }

    /// What was asked for the first layer, to read.
    fn story(&self) -> String {
        let requests = self.registry.requests_for(&self.layer());
        let line = |it: &crate::support::Request| {
            format!("\n{:?} {:?}: {} with {} bytes", it.at, it.range(), it.status, it.sent)
        };
        requests.iter().map(line).collect()
    }

    /// Every blob in the store is what its name says.
    #[track_caller]
    fn is_whole(&self) {
        is_whole(&self.windlass.store());
    }

    fn is_named(&self) -> bool {
        let index = fs::read_to_string(self.windlass.store().join("index.json"));
        index.is_ok_and(|index| index.contains(&self.name))
    }

    /// The image is in the store, every byte of it, under its name, and nothing is left over.
    #[track_caller]
    fn holds(&self) {
        self.is_whole();
        for piece in self.image.blobs.iter().chain(&self.image.manifests) {
            let path = blob(&self.windlass.store(), &piece.digest);
            assert!(path.is_file(), "{} is there", piece.digest);
        }
        assert!(self.is_named(), "it has its name");
        let private = self.windlass.scratch.files("store/.windlass");
        let left: Vec<_> = private.iter().filter(|file| !file.starts_with("lock/")).collect();
        assert!(left.is_empty(), "left over: {left:?}");
    }

    /// How many bytes of the first layer are there of an attempt that failed.
    fn kept(&self) -> u64 {
        kept(&self.windlass.store(), &self.image.layers()[0].digest)
    }
}

fn blob(store: &Path, digest: &str) -> PathBuf {
    store.join("blobs").join(digest.replace(':', "/"))
}

fn kept(store: &Path, digest: &str) -> u64 {
    let record = format!(".windlass/partial/{}.json", digest.replace(':', "-"));
    let Ok(record) = fs::read(store.join(record)) else { return 0 };
    // It may be read before it is written for the first time.
    let Ok(record) = serde_json::from_slice::<serde_json::Value>(&record) else { return 0 };
    let ranges = record["ranges"].as_array().unwrap().iter();
    ranges.map(|range| range[1].as_u64().unwrap() - range[0].as_u64().unwrap()).sum()
}

#[track_caller]
fn is_whole(store: &Path) {
    for algorithm in ["sha256", "sha512"] {
        let Ok(entries) = fs::read_dir(store.join("blobs").join(algorithm)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let content = Content::from(fs::read(&path).unwrap());
            assert!(content.is(&format!("{algorithm}:{name}")), "{} is damaged", path.display());
        }
    }
    if let Ok(index) = fs::read(store.join("index.json")) {
        serde_json::from_slice::<serde_json::Value>(&index).expect("the index parses");
    }
}

/// Does `check` for all cases, some at once: most of their time is waiting.
fn each<C: Sync + std::fmt::Debug>(cases: &[C], check: impl Fn(&C) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case)));
            if checked.is_err() {
                failed.lock().unwrap().push(format!("{case:?}"));
            }
        }
    };
    thread::scope(|scope| (0..cases.len().min(12)).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases: {failed:#?}", failed.len(), cases.len());
}
