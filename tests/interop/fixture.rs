//! The image in `fixtures/image`, and what its parts are called.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// The image's name in its layout.
pub(crate) const TAG: &str = "1.35";

/// A manifest of the image: its bytes and what they say.
pub(crate) struct Child {
    /// How the index lists it.
    pub(crate) descriptor: Value,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Value,
}

impl Child {
    pub(crate) fn digest(&self) -> &str {
        self.descriptor["digest"].as_str().unwrap()
    }

    /// The config first, then the layers.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let layers = self.json["layers"].as_array().unwrap();
        let blobs = [&self.json["config"]].into_iter().chain(layers);
        blobs.map(|blob| blob["digest"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn layout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/image")
}

/// What skopeo calls the image.
pub(crate) fn place() -> String {
    format!("oci:{}:{TAG}", layout().display())
}

pub(crate) fn blob(digest: &str) -> Vec<u8> {
    fs::read(layout().join("blobs").join(digest.replace(':', "/"))).unwrap()
}

pub(crate) fn index_digest() -> String {
    let index = fs::read(layout().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// The manifest for linux on `architecture`.
pub(crate) fn child(architecture: &str) -> Child {
    let index: Value = serde_json::from_slice(&blob(&index_digest())).unwrap();
    let descriptor = index["manifests"].as_array().unwrap().iter();
    let mut descriptor = descriptor.filter(|one| one["platform"]["architecture"] == architecture);
    let descriptor = descriptor.next().unwrap().clone();
    let bytes = blob(descriptor["digest"].as_str().unwrap());
    Child { json: serde_json::from_slice(&bytes).unwrap(), bytes, descriptor }
}

/// What this machine's architecture is called in images. The fixture has these two.
pub(crate) fn host_architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("the fixture has no image for {other}"),
    }
}
