//! Images made in code: the same calls give the same bytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::content::Content;

/// Content with its digest and media type.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) content: Content,
}

impl Piece {
    pub(crate) fn new(media_type: &str, content: impl Into<Content>) -> Piece {
        let content = content.into();
        Piece { digest: content.digest(), media_type: media_type.to_owned(), content }
    }

    pub(crate) fn size(&self) -> u64 {
        self.content.size()
    }

    /// Media type, digest and size, as a manifest has them.
    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size() })
    }
}

/// An image or index with all it leads to.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Of the manifest or index itself.
    pub(crate) digest: String,
    /// `linux/amd64` or such; empty for an index.
    pub(crate) platform: String,
    /// Config and layers of every image in it.
    pub(crate) blobs: Vec<Piece>,
    /// Children before the index that lists them; the last one is the image itself.
    pub(crate) manifests: Vec<Piece>,
    /// Digests of the uncompressed layers; empty for an index.
    pub(crate) diff_ids: Vec<String>,
}

impl Image {
    /// OCI, linux/amd64, one layer with one small file.
    pub(crate) fn small() -> Image {
        ImageBuilder::new().layer_files(&[("etc/motd", "hello\n")]).build()
    }

    /// OCI, linux/amd64, one layer of that many random bytes.
    pub(crate) fn of_size(size: u64) -> Image {
        ImageBuilder::new().layer_random(1, size).build()
    }

    /// The manifest or index itself.
    pub(crate) fn root(&self) -> &Piece {
        self.manifests.last().expect("there is one")
    }

    /// Of an image without children.
    pub(crate) fn config(&self) -> &Piece {
        &self.blobs[0]
    }

    /// Of an image without children, lowest first.
    pub(crate) fn layers(&self) -> &[Piece] {
        &self.blobs[1..]
    }

    /// Bytes of everything.
    pub(crate) fn size(&self) -> u64 {
        self.blobs.iter().chain(&self.manifests).map(Piece::size).sum()
    }
}

/// Builds an image of one platform.
#[derive(Clone)]
pub(crate) struct ImageBuilder {
    docker: bool,
    platform: String,
    config: Value,
    manifest: Value,
    layers: Vec<(Piece, String)>,
}

impl ImageBuilder {
    /// OCI, linux/amd64, no layers.
    pub(crate) fn new() -> ImageBuilder {
        ImageBuilder {
            docker: false,
            platform: "linux/amd64".to_owned(),
            config: json!({}),
            manifest: json!({}),
            layers: Vec::new(),
        }
    }

    /// With Docker's media types. Call it before adding layers.
    pub(crate) fn docker(mut self) -> ImageBuilder {
        self.docker = true;
        self
    }

    /// `os/architecture` or `os/architecture/variant`.
    pub(crate) fn platform(mut self, platform: &str) -> ImageBuilder {
        platform.clone_into(&mut self.platform);
        self
    }

    /// Sets a field of the config document.
    pub(crate) fn config(mut self, key: &str, value: Value) -> ImageBuilder {
        self.config[key] = value;
        self
    }

    /// Sets a field of the manifest document, such as `annotations` or `subject`.
    pub(crate) fn manifest(mut self, key: &str, value: Value) -> ImageBuilder {
        self.manifest[key] = value;
        self
    }

    /// A gzip layer with these files.
    pub(crate) fn layer_files(self, files: &[(&str, &str)]) -> ImageBuilder {
        self.layer_tar(&tar_of(files))
    }

    /// A gzip layer with this tar.
    pub(crate) fn layer_tar(self, tar: &[u8]) -> ImageBuilder {
        let media_type = match self.docker {
            true => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            false => "application/vnd.oci.image.layer.v1.tar+gzip",
        };
        let diff_id = Content::from(tar).digest();
        self.layer(Piece::new(media_type, gzip(tar)), &diff_id)
    }

    /// An uncompressed layer of random bytes, of any size: no tar, but nobody looks.
    pub(crate) fn layer_random(self, seed: u64, size: u64) -> ImageBuilder {
        let media_type = match self.docker {
            true => "application/vnd.docker.image.rootfs.diff.tar",
            false => "application/vnd.oci.image.layer.v1.tar",
        };
        let layer = Piece::new(media_type, Content::random(seed, size));
        let diff_id = layer.digest.clone();
        self.layer(layer, &diff_id)
    }

    /// A layer of any kind.
    pub(crate) fn layer(mut self, layer: Piece, diff_id: &str) -> ImageBuilder {
        self.layers.push((layer, diff_id.to_owned()));
        self
    }

    pub(crate) fn build(self) -> Image {
        let diff_ids: Vec<String> = self.layers.iter().map(|(_, id)| id.clone()).collect();
        let mut parts = self.platform.split('/');
        let mut config = json!({
            "created": "2024-05-06T07:08:09Z",
            "os": parts.next(),
            "architecture": parts.next(),
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        if let Some(variant) = parts.next() {
            config["variant"] = json!(variant);
        }
        merge(&mut config, self.config);
        let (manifest_type, config_type) = match self.docker {
            true => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            ),
            false => (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
            ),
        };
        let config = Piece::new(config_type, config.to_string());
        let layers: Vec<Piece> = self.layers.into_iter().map(|(layer, _)| layer).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": layers.iter().map(Piece::descriptor).collect::<Vec<_>>(),
        });
        merge(&mut manifest, self.manifest);
        let manifest = Piece::new(manifest_type, manifest.to_string());
        let digest = manifest.digest.clone();
        let mut blobs = vec![config];
        blobs.extend(layers);
        Image { digest, platform: self.platform, blobs, manifests: vec![manifest], diff_ids }
    }
}

/// Builds an index.
#[derive(Clone)]
pub(crate) struct IndexBuilder {
    docker: bool,
    children: Vec<Value>,
    index: Value,
    blobs: Vec<Piece>,
    manifests: Vec<Piece>,
}

impl IndexBuilder {
    /// OCI, without children.
    pub(crate) fn new() -> IndexBuilder {
        IndexBuilder {
            docker: false,
            children: Vec::new(),
            index: json!({}),
            blobs: Vec::new(),
            manifests: Vec::new(),
        }
    }

    /// An OCI index of one small image for each platform.
    pub(crate) fn platforms(platforms: &[&str]) -> Image {
        let mut index = IndexBuilder::new();
        for platform in platforms {
            let files = [("etc/platform", *platform)];
            index =
                index.child(&ImageBuilder::new().platform(platform).layer_files(&files).build());
        }
        index.build()
    }

    /// With Docker's media type.
    pub(crate) fn docker(mut self) -> IndexBuilder {
        self.docker = true;
        self
    }

    /// Sets a field of the document, such as `annotations`.
    pub(crate) fn index(mut self, key: &str, value: Value) -> IndexBuilder {
        self.index[key] = value;
        self
    }

    /// An image with its platform, or an index without one.
    pub(crate) fn child(self, child: &Image) -> IndexBuilder {
        let mut descriptor = child.root().descriptor();
        let mut parts = child.platform.split('/');
        if !child.platform.is_empty() {
            descriptor["platform"] = json!({ "os": parts.next(), "architecture": parts.next() });
            if let Some(variant) = parts.next() {
                descriptor["platform"]["variant"] = json!(variant);
            }
        }
        self.child_as(child, descriptor)
    }

    /// An attestation for an image that is listed already, as buildx makes them.
    pub(crate) fn attestation(self, subject: &Image) -> IndexBuilder {
        let statement = Piece::new("application/vnd.in-toto+json", r#"{"_type":"statement"}"#);
        let diff_id = statement.digest.clone();
        let child = ImageBuilder::new().platform("unknown/unknown").layer(statement, &diff_id);
        let child = child.build();
        let mut descriptor = child.root().descriptor();
        descriptor["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
        descriptor["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject.digest,
        });
        self.child_as(&child, descriptor)
    }

    /// A child under any descriptor.
    pub(crate) fn child_as(mut self, child: &Image, descriptor: Value) -> IndexBuilder {
        self.children.push(descriptor);
        self.blobs.extend(child.blobs.iter().cloned());
        self.manifests.extend(child.manifests.iter().cloned());
        self
    }

    pub(crate) fn build(self) -> Image {
        let media_type = match self.docker {
            true => "application/vnd.docker.distribution.manifest.list.v2+json",
            false => "application/vnd.oci.image.index.v1+json",
        };
        let mut index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": self.children,
        });
        merge(&mut index, self.index);
        let index = Piece::new(media_type, index.to_string());
        let digest = index.digest.clone();
        let mut manifests = self.manifests;
        manifests.push(index);
        let diff_ids = Vec::new();
        Image { digest, platform: String::new(), blobs: self.blobs, manifests, diff_ids }
    }
}

fn merge(document: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        for (key, value) in more {
            document[key] = value;
        }
    }
}

/// A tar with these files, all of root, mode 0644 and from 1970.
pub(crate) fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Compressed, without a name or time.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
