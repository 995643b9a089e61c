use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use windlass::endpoint::{Draft, Receipt, Sink};
use windlass::image::Descriptor;
use windlass::store::Store;

use super::{Filled, descriptor, fill};
use crate::support::Image;

const SIZE: u64 = 2_000_000;

struct Begun {
    filled: Filled,
    image: Image,
    blob: Descriptor,
}

/// A store in which half of a blob has come.
fn begun() -> Begun {
    let image = Image::of_size(SIZE);
    let blob = descriptor(&image.layers()[0]);
    let filled = Filled::empty();
    let store = filled.open();
    drop(store.protect(&[blob.digest]).unwrap());
    let draft = draft(store.receive(&blob).unwrap());
    draft.write_at(0, &image.layers()[0].content.to_vec()[..1_000_000]).unwrap();
    drop(draft);
    Begun { filled, image, blob }
}

impl Begun {
    fn path(&self) -> PathBuf {
        let name = self.blob.digest.to_string().replace(':', "-");
        self.filled.path().join(".windlass/partial").join(name)
    }

    fn overwrite(&self, path: &Path, content: &[u8]) {
        self.filled.scratch.write(path.to_str().unwrap(), content);
    }

    fn missing(&self, store: &Store) -> u64 {
        missing(draft(store.receive(&self.blob).unwrap()).as_ref())
    }

    fn finish(&self, draft: Box<dyn Draft>) {
        fill(draft.as_ref(), &self.image.layers()[0].content);
        draft.commit().unwrap();
        assert_eq!(self.filled.check().findings.len(), 0);
        assert!(self.filled.open().contains(&self.blob).unwrap());
    }
}

fn missing(draft: &dyn Draft) -> u64 {
    draft.missing().iter().map(|range| range.end - range.start).sum()
}

fn draft(receipt: Receipt) -> Box<dyn Draft> {
    match receipt {
        Receipt::Draft(draft) => draft,
        Receipt::Present => panic!("it is there"),
        Receipt::Busy(_) => panic!("somebody is at it"),
        Receipt::Upload(_) => panic!("a store takes content at any offset"),
    }
}

#[test]
fn blob_that_lost_its_permissions_before_its_name_is_continued() {
    let begun = begun();
    fs::set_permissions(begun.path(), fs::Permissions::from_mode(0o444)).unwrap();
    let store = begun.filled.open();
    assert_eq!(begun.missing(&store), SIZE - 1_000_000);
    begun.finish(draft(store.receive(&begun.blob).unwrap()));
    assert_eq!(begun.filled.scratch.files("store/.windlass/partial"), [""; 0]);
}

#[test]
fn whatever_is_in_place_of_a_partial_file_is_in_nobodys_way() {
    let outside = Filled::empty();
    outside.scratch.write("victim", "untouched");
    for record in [false, true] {
        let begun = begun();
        let path = if record { begun.path().with_extension("json") } else { begun.path() };
        fs::remove_file(&path).unwrap();
        symlink(outside.scratch.join("victim"), &path).unwrap();
        let store = begun.filled.open();
        assert_eq!(begun.missing(&store), SIZE);
        begun.finish(draft(store.receive(&begun.blob).unwrap()));
        assert_eq!(outside.scratch.read("victim"), b"untouched");
    }
}

#[test]
fn record_that_promises_more_than_there_is_is_not_believed() {
    for record in ["", "{", "{\"size\":2000000,\"ranges\":[[0,2000000]]}", "[]", "\0\0\0"] {
        let begun = begun();
        begun.overwrite(&begun.path().with_extension("json"), record.as_bytes());
        let store = begun.filled.open();
        assert_eq!(begun.missing(&store), SIZE, "{record:?}");
        begun.finish(draft(store.receive(&begun.blob).unwrap()));
    }
}

#[test]
fn somebody_who_is_stuck_is_overtaken_with_what_he_has_got() {
    let begun = begun();
    let (stuck, other) = (begun.filled.open(), begun.filled.open());
    let theirs = draft(stuck.receive(&begun.blob).unwrap());
    let Receipt::Busy(_) = other.receive(&begun.blob).unwrap() else { panic!("it is held") };
    let ours = draft(other.receive_alone(&begun.blob).unwrap());
    assert_eq!(missing(ours.as_ref()), SIZE - 1_000_000);
    begun.finish(ours);
    begun.finish(theirs);
    assert_eq!(begun.filled.scratch.files("store/.windlass/tmp"), [""; 0]);
}

#[test]
fn what_is_taken_over_and_wrong_is_not_taken_twice() {
    let begun = begun();
    let (stuck, other) = (begun.filled.open(), begun.filled.open());
    begun.overwrite(&begun.path(), &vec![0; 1_000_000]);
    let _theirs = draft(stuck.receive(&begun.blob).unwrap());
    let ours = draft(other.receive_alone(&begun.blob).unwrap());
    fill(ours.as_ref(), &begun.image.layers()[0].content);
    assert!(ours.commit().is_err());
    let again = draft(other.receive_alone(&begun.blob).unwrap());
    assert_eq!(missing(again.as_ref()), SIZE);
    begun.finish(again);
}

#[test]
fn progress_of_another_shows_before_it_is_recorded() {
    let begun = begun();
    let (holder, other) = (begun.filled.open(), begun.filled.open());
    let theirs = draft(holder.receive(&begun.blob).unwrap());
    let sign = || match other.receive(&begun.blob).unwrap() {
        Receipt::Busy(sign) => sign,
        _ => panic!("somebody is at it"),
    };
    let before = sign();
    assert_eq!(sign(), before);
    let content = begun.image.layers()[0].content.to_vec();
    let mut at = 1_000_000;
    // The kernel's clock for files may take some milliseconds to move on.
    while sign() == before && at < content.len() {
        theirs.write_at(at as u64, &content[at..=at]).unwrap();
        at += 1;
    }
    assert!(at < 1_000_000 + 256 * 1024, "one record would have been written by now");
}

#[test]
fn blobs_are_complete_before_they_are_visible_and_nobody_writes_to_them() {
    let begun = begun();
    let store = begun.filled.open();
    let draft = draft(store.receive(&begun.blob).unwrap());
    assert!(!store.contains(&begun.blob).unwrap());
    begun.finish(draft);
    let path = begun.filled.blob(&begun.image.layers()[0]);
    let metadata = File::open(path).unwrap().metadata().unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.len()), (0o444, SIZE));
    let private = fs::metadata(begun.filled.path().join(".windlass")).unwrap();
    assert_eq!(private.mode() & 0o777, 0o700);
}
