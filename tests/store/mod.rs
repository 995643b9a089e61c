//! The store through the library: names, garbage, damage, unfinished blobs.

mod damage;
mod foreign;
mod garbage;
mod names;
mod partial;
mod processes;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use windlass::endpoint::{Draft, Origin, Receipt, Sink};
use windlass::error::{Error, ErrorKind, Result};
use windlass::image::{Descriptor, Digest, Manifest};
use windlass::reference::Reference;
use windlass::store::{Durability, Finding, Report, Store};

use crate::support::content::Content;
use crate::support::image::Piece;
use crate::support::{Image, ImageBuilder, Scratch};

/// A store with images that came from nowhere.
pub(crate) struct Filled {
    pub(crate) scratch: Scratch,
}

impl Filled {
    pub(crate) fn empty() -> Filled {
        Filled { scratch: Scratch::new() }
    }

    pub(crate) fn with(images: &[(&str, &Image)]) -> Filled {
        let filled = Filled::empty();
        images.iter().for_each(|(name, image)| filled.put(name, image));
        filled
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.join("store")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.path(), Durability::Unsynced).unwrap()
    }

    /// What a pull does, without a registry.
    pub(crate) fn put(&self, name: &str, image: &Image) {
        put(&self.open(), name, image).unwrap();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.open().entries().unwrap().into_iter().map(|entry| entry.name).collect()
    }

    pub(crate) fn blob(&self, piece: &Piece) -> PathBuf {
        self.path().join("blobs/sha256").join(piece.digest.strip_prefix("sha256:").unwrap())
    }

    pub(crate) fn index(&self) -> String {
        fs::read_to_string(self.path().join("index.json")).unwrap()
    }

    pub(crate) fn write_index(&self, text: &str) {
        self.scratch.write("store/index.json", text);
    }

    /// Overwrites a blob, whatever its permissions.
    pub(crate) fn spoil(&self, piece: &Piece, content: &[u8]) {
        let path = self.blob(piece);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self.scratch.write(path.to_str().unwrap(), content);
    }

    pub(crate) fn check(&self) -> Report {
        self.open().check(&[], &|_| Ok(())).unwrap()
    }
}

pub(crate) fn put(store: &Store, name: &str, image: &Image) -> Result<()> {
    let reference: Reference = name.parse().unwrap();
    let pieces = image.blobs.iter().chain(&image.manifests);
    let _guard = store.protect(&pieces.map(digest).collect::<Vec<_>>())?;
    for blob in &image.blobs {
        if !store.contains(&descriptor(blob))? {
            match store.receive(&descriptor(blob))? {
                Receipt::Draft(draft) => {
                    fill(draft.as_ref(), &blob.content);
                    draft.commit()?;
                }
                Receipt::Present => {}
                Receipt::Busy(_) | Receipt::Upload(_) => {
                    return Err(Error::new(ErrorKind::Other("busy".into())));
                }
            }
        }
    }
    for manifest in &image.manifests {
        store.put_manifest(&parsed(manifest))?;
    }
    let repository = Some(reference.repository().clone());
    let origin = Origin { resolved: digest(image.root()), repository };
    store.name(&reference, &parsed(image.root()).descriptor(), &origin)
}

pub(crate) fn fill(draft: &dyn Draft, content: &Content) {
    let bytes = content.to_vec();
    for range in draft.missing() {
        let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
        draft.write_at(range.start, &bytes[start.unwrap()..end.unwrap()]).unwrap();
    }
}

pub(crate) fn digest(piece: &Piece) -> Digest {
    piece.digest.parse().unwrap()
}

pub(crate) fn descriptor(piece: &Piece) -> Descriptor {
    serde_json::from_value(piece.descriptor()).unwrap()
}

pub(crate) fn parsed(piece: &Piece) -> Manifest {
    let descriptor = descriptor(piece);
    let algorithm = descriptor.digest.algorithm();
    Manifest::parse(piece.content.to_vec(), algorithm, Some(&descriptor.media_type)).unwrap()
}

/// The images of most tests: they share their first layer.
pub(crate) fn two_images() -> (Image, Image) {
    let base = ImageBuilder::new().layer_files(&[("base", "shared")]);
    let one = base.clone().layer_files(&[("one", "1")]).build();
    (one, base.layer_files(&[("two", "2")]).build())
}

/// Findings as lines of digest or `-`, problem, and names.
pub(crate) fn lines(findings: &[Finding]) -> Vec<String> {
    let line = |finding: &Finding| {
        let digest = finding.digest.map_or("-".into(), |digest| digest.to_string());
        let names: Vec<&str> = finding.entries.iter().map(|entry| entry.name.as_str()).collect();
        format!("{digest} {} [{}]", finding.problem, names.join(" "))
    };
    findings.iter().map(line).collect()
}

/// Everything below `path` but locks: names, and content or what else it is.
pub(crate) fn snapshot(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            match (kind.is_dir(), kind.is_file()) {
                (true, _) if entry.file_name() == "lock" => {}
                (true, _) => waiting.push(entry.path()),
                (_, true) => all.push((entry.path(), fs::read(entry.path()).unwrap())),
                _ => all.push((entry.path(), format!("{kind:?}").into_bytes())),
            }
        }
    }
    all.sort();
    all
}
