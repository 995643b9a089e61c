//! Images on their way to a registry: through the binary, with what was asked of whom, and how
//! often.

mod chunks;
mod denied;
mod faults;
mod images;
mod kills;
mod lists;
mod manifests;
mod mounts;
mod places;

use crate::support::{Image, Output, Registry, Run, Windlass};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Requests for blobs to be sent.
const POST: &str = "POST /v2/box/blobs/uploads/*";
const PUT: &str = "PUT /v2/box/blobs/uploads/*";
const PATCH: &str = "PATCH /v2/box/blobs/uploads/*";

/// An image in the store of a user, and a registry that it is to go to.
struct Scene {
    registry: Registry,
    image: Image,
    /// Of the image in the store.
    name: String,
    /// Of the image in the registry.
    to: String,
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
        let source = Registry::start();
        let name = source.push(&image, "origin:1");
        let windlass = Windlass::new();
        windlass.run(&["pull", &name, "--all-platforms", "--no-sync", "-q"]).success();
        let to = registry.name("box:1");
        Scene { registry, image, name, to, windlass }
    }

    fn command(&self, args: &[&str]) -> Run {
        self.windlass.command(&[&["push", &self.name, &self.to], args].concat())
    }

    #[track_caller]
    fn push(&self, args: &[&str]) -> Output {
        self.command(args).run()
    }

    /// It arrives, every byte of it.
    #[track_caller]
    fn succeeds(&self, args: &[&str]) -> Output {
        let output = self.push(args).success();
        let output = output.prints(&format!("{}@{}\n", self.to, self.image.digest));
        self.arrived();
        output
    }

    #[track_caller]
    fn arrived(&self) {
        assert!(self.registry.holds("box", &self.image), "{}", self.story());
        assert_eq!(self.registry.tags("box").get("1"), Some(&self.image.digest));
    }

    /// It does not arrive, with that exit code and message.
    #[track_caller]
    fn fails(&self, status: i32, message: &str, args: &[&str]) -> Output {
        let output = self.push(args).exits(status).prints("");
        let output = output.says(&format!("to {}: ", self.to)).says(message);
        assert!(self.registry.tags("box").is_empty(), "a tag without its content\n{output}");
        output
    }

    /// Bytes of blobs that were sent.
    fn sent(&self) -> u64 {
        let requests = self.registry.requests_for("*/blobs/uploads/*");
        requests.iter().map(|request| request.received).sum()
    }

    /// Bytes of config and layers.
    fn size(&self) -> u64 {
        self.image.blobs.iter().map(|blob| blob.size()).sum()
    }

    /// What was asked, to read.
    fn story(&self) -> String {
        let line = |it: &crate::support::Request| {
            let (head, query) = (&it.head, &it.head.query);
            format!("\n{} {}?{query}: {} after {}", head.method, head.path, it.status, it.received)
        };
        self.registry.requests().iter().map(line).collect()
    }
}
