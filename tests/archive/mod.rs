//! Archives: what is in them, that nothing wrong ever looks complete, and what a failure leaves.

mod contents;
mod export;
mod failures;
mod library;
mod pipes;
mod roundtrip;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;
use windlass::store::{Durability, Store};

use crate::store::put;
use crate::support::image::Piece;
use crate::support::{Image, Windlass};

/// An archive as another program reads it.
pub(crate) struct Tar {
    /// In order.
    pub(crate) paths: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Tar {
    /// Fails where the archive is not complete: `tar` accepts one that ends between members.
    #[track_caller]
    pub(crate) fn read(bytes: &[u8]) -> Tar {
        assert_eq!(bytes.len() % 512, 0, "whole blocks");
        assert!(bytes.ends_with(&[0; 1024]), "two empty blocks");
        let (mut paths, mut files) = (Vec::new(), BTreeMap::new());
        let mut archive = tar::Archive::new(bytes);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
            assert_eq!(owner, (0, 0, 0));
            let is_folder = header.entry_type().is_dir();
            assert_eq!(header.mode().unwrap(), if is_folder { 0o755 } else { 0o644 });
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            paths.push(path.clone());
            assert!(files.insert(path.clone(), content).is_none(), "{path} is there twice");
        }
        Tar { paths, files }
    }

    #[track_caller]
    pub(crate) fn file(&self, path: &str) -> &[u8] {
        self.files.get(path).unwrap_or_else(|| panic!("{path} is not in {:?}", self.paths))
    }

    #[track_caller]
    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_slice(self.file(path)).unwrap()
    }

    /// All of `image` is there, byte for byte.
    #[track_caller]
    pub(crate) fn holds(&self, image: &Image) {
        for piece in image.blobs.iter().chain(&image.manifests) {
            assert!(self.file(&path(piece)) == piece.content.to_vec(), "{}", piece.digest);
        }
    }
}

/// Where a blob is in an archive.
pub(crate) fn path(piece: &Piece) -> String {
    format!("blobs/{}", piece.digest.replace(':', "/"))
}

/// A user whose store has these images.
pub(crate) fn with(images: &[(&str, &Image)]) -> Windlass {
    let windlass = Windlass::new();
    let store = Store::open(&windlass.store(), Durability::Unsynced).unwrap();
    images.iter().for_each(|(name, image)| put(&store, name, image).unwrap());
    windlass
}

/// The file of a blob in the store.
pub(crate) fn stored(windlass: &Windlass, piece: &Piece) -> PathBuf {
    windlass.store().join(path(piece))
}

/// Exports to a file and reads it.
#[track_caller]
pub(crate) fn exported(windlass: &Windlass, args: &[&str]) -> Tar {
    Tar::read(&bytes(windlass, args))
}

#[track_caller]
pub(crate) fn bytes(windlass: &Windlass, args: &[&str]) -> Vec<u8> {
    let mut all = vec!["export", "-o", "a.tar"];
    all.extend(args);
    windlass.run(&all).success();
    windlass.scratch.read("a.tar")
}

/// What is in the user's folder beside the store.
pub(crate) fn files(windlass: &Windlass) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(windlass.scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "store")
        .collect();
    names.sort();
    names
}
