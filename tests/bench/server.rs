//! Debian's docker-registry, with images laid into its storage as it would do it itself.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::image::Piece;
use crate::support::{Content, Image, ImageBuilder};
use crate::tool::{Process, Tool};

/// A running registry, ended when dropped.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    storage: PathBuf,
    _process: Process,
}

impl Server {
    /// Plain HTTP, with everything in `folder`.
    pub(crate) fn start(folder: &Path) -> Server {
        let storage = folder.join("storage");
        let config = json!({
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": storage}},
            "http": {"addr": "127.0.0.1:0"},
        });
        let path = folder.join("config.yml"); // JSON is YAML
        fs::write(&path, config.to_string()).unwrap();
        let mut process = Tool::new("docker-registry", folder)
            .arg("serve")
            .arg(path)
            .start(&folder.join("registry.log"));
        let port = process.wait_for(|log| {
            let rest = log.split("listening on 127.0.0.1:").nth(1)?;
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            Some(rest[..end].to_owned())
        });
        let port = port.unwrap_or_else(|| panic!("docker-registry ended:\n{}", process.said()));
        let storage = storage.join("docker/registry/v2");
        Server { host: format!("127.0.0.1:{port}"), storage, _process: process }
    }

    /// An image with a layer of about each of these sizes, as `NAME:1`. Its content is not kept
    /// in memory.
    ///
    /// The layers are random bytes in real gzip, so that no program wants to compress them.
    pub(crate) fn put(&self, name: &str, sizes: &[u64]) -> Image {
        let mut builder = ImageBuilder::new();
        for (seed, size) in (1..).zip(sizes) {
            let layer = self.put_layer(&Content::random(seed, *size));
            let diff_id = layer.digest.clone();
            builder = builder.layer(layer, &diff_id);
        }
        let image = builder.build();
        let config = image.config();
        self.write_blob(&config.digest, |file| file.write_all(&config.content.to_vec()));
        let manifest = image.root();
        self.write_blob(&manifest.digest, |file| file.write_all(&manifest.content.to_vec()));
        let repository = self.storage.join("repositories").join(name);
        for blob in &image.blobs {
            link(&repository.join("_layers"), &blob.digest);
        }
        let manifests = repository.join("_manifests");
        link(&manifests.join("revisions"), &image.digest);
        link(&manifests.join("tags/1/index"), &image.digest);
        write(&manifests.join("tags/1/current/link"), &image.digest);
        image
    }

    /// Forgets all that was put or pushed. It looks for everything on the disk each time.
    pub(crate) fn empty(&self) {
        if self.storage.is_dir() {
            fs::remove_dir_all(&self.storage).unwrap();
        }
    }

    /// Whether there is such a tag.
    pub(crate) fn has(&self, repository: &str, tag: &str) -> bool {
        let tags = self.storage.join("repositories").join(repository).join("_manifests/tags");
        tags.join(tag).join("current/link").is_file()
    }

    fn put_layer(&self, content: &Content) -> Piece {
        let temporary = self.storage.with_file_name("layer");
        fs::create_dir_all(temporary.parent().unwrap()).unwrap();
        let file = BufWriter::with_capacity(1 << 20, File::create(&temporary).unwrap());
        let output = Hashed { file, hasher: Sha256::new(), size: 0 };
        let mut encoder = GzEncoder::new(output, Compression::none());
        let mut offset = 0;
        while offset < content.size() {
            let end = content.size().min(offset + (1 << 20));
            encoder.write_all(&content.range(offset..end)).unwrap();
            offset = end;
        }
        let mut output = encoder.finish().unwrap();
        output.flush().unwrap();
        let digest = format!("sha256:{}", hex::encode(output.hasher.finalize()));
        let data = self.data(&digest);
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        fs::rename(&temporary, data).unwrap();
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
        Piece { digest, media_type, content: Content::discarded(output.size) }
    }

    fn write_blob(&self, digest: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) {
        let data = self.data(digest);
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        fill(&mut File::create(data).unwrap()).unwrap();
    }

    fn data(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.storage.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

fn link(folder: &Path, digest: &str) {
    write(&folder.join(digest.replace(':', "/")).join("link"), digest);
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A file that knows the digest of what is written to it.
struct Hashed {
    file: BufWriter<File>,
    hasher: Sha256,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
