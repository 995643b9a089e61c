use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use windlass::stream::compression::Decompress;

use super::{Tar, exported, files, stored, with};
use crate::support::{Image, ImageBuilder, Output, Windlass};

const MIB: u64 = 1024 * 1024;

/// Lets a blob that is in the store be written to.
fn unprotect(windlass: &Windlass, piece: &crate::support::image::Piece) -> File {
    let path = stored(windlass, piece);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    File::options().write(true).open(path).unwrap()
}

fn flip(windlass: &Windlass, piece: &crate::support::image::Piece, at: u64) {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    let content = fs::read(stored(windlass, piece)).unwrap();
    byte[0] = content[usize::try_from(at).unwrap()] ^ 1;
    unprotect(windlass, piece).write_all_at(&byte, at).unwrap();
}

/// To a file that is there already, and to a pipe: what is wrong is told, the file is as it was,
/// and no reader takes what went into the pipe for an archive.
#[track_caller]
fn refused(windlass: &Windlass, says: &str) -> Output {
    windlass.scratch.write("a.tar", "old");
    let output = windlass.run(&["export", "-o", "a.tar", "box:1"]).exits(7).prints("").says(says);
    assert_eq!(windlass.scratch.read("a.tar"), b"old");
    assert_eq!(files(windlass), ["a.tar"], "nothing is left");
    let piped = windlass.run(&["export", "-o", "-", "box:1"]).exits(7).says(says);
    assert!(!reads_to_its_end(&piped.stdout_bytes), "no reader takes it for complete");
    for how in ["gzip", "zstd"] {
        let args = ["export", "-o", "a.tar", "box:1", "--compress", how];
        windlass.run(&args).exits(7).says(says);
        assert_eq!(windlass.scratch.read("a.tar"), b"old");
        let piped = windlass.run(&["export", "-o-", "box:1", "--compress", how]).exits(7);
        let inside = Decompress::new(piped.stdout_bytes.as_slice());
        let read = inside.and_then(|mut it| Ok(it.read_to_end(&mut Vec::new())?));
        assert!(read.is_err() || piped.stdout_bytes.is_empty(), "{how} has no end");
    }
    assert_eq!(files(windlass), ["a.tar"], "nothing is left");
    output
}

fn reads_to_its_end(bytes: &[u8]) -> bool {
    let mut archive = tar::Archive::new(bytes);
    let Ok(entries) = archive.entries() else { return false };
    let mut count = 0;
    for entry in entries {
        let copied = entry.and_then(|mut entry| std::io::copy(&mut entry, &mut std::io::sink()));
        if copied.is_err() {
            return false;
        }
        count += 1;
    }
    count > 0
}

#[test]
fn rotten_store_never_makes_a_good_looking_archive() {
    let image = ImageBuilder::new().layer_random(1, 3 * MIB).layer_random(2, 100).build();
    for (piece, at) in [
        (&image.blobs[0], 3),
        (&image.blobs[1], 0),
        (&image.blobs[1], 3 * MIB - 1),
        (&image.blobs[2], 99),
    ] {
        let windlass = with(&[("box:1", &image)]);
        flip(&windlass, piece, at);
        refused(&windlass, &piece.digest).says("moving blob ").says("expected sha256:");
    }
    let windlass = with(&[("box:1", &image)]);
    flip(&windlass, image.root(), 0);
    refused(&windlass, &image.digest);
}

#[test]
fn blob_that_is_missing_shorter_or_longer_is_told_of() {
    let image = ImageBuilder::new().layer_random(1, 3 * MIB).build();
    let layer = &image.layers()[0];
    for size in [0, MIB, 3 * MIB - 1, 3 * MIB + 1] {
        let windlass = with(&[("box:1", &image)]);
        unprotect(&windlass, layer).set_len(size).unwrap();
        refused(&windlass, &layer.digest).says(&format!("expected {} bytes, got {size}", 3 * MIB));
    }
    let windlass = with(&[("box:1", &image)]);
    fs::remove_file(stored(&windlass, layer)).unwrap();
    refused(&windlass, "is missing: the store is not complete");
}

/// A store whose layer is so large, and sparse. Its digest is wrong, which shows in the end only.
fn sparse(size: u64) -> Windlass {
    let image = Image::of_size(MIB);
    let windlass = with(&[("box:1", &image)]);
    let (layer, root) = (&image.layers()[0], image.root());
    unprotect(&windlass, layer).set_len(size).unwrap();
    let manifest = String::from_utf8(root.content.to_vec()).unwrap();
    let manifest = manifest.replace(&format!("\"size\":{MIB}"), &format!("\"size\":{size}"));
    let manifest = crate::support::image::Piece::new(&root.media_type, manifest);
    windlass
        .scratch
        .write(stored(&windlass, &manifest).to_str().unwrap(), manifest.content.to_vec());
    let index = fs::read_to_string(windlass.store().join("index.json")).unwrap();
    let index = index.replace(&root.digest, &manifest.digest);
    let (old, new) = (root.size(), manifest.size());
    let index = index.replace(&format!("\"size\":{old}"), &format!("\"size\":{new}"));
    windlass.scratch.write("store/index.json", index);
    windlass
}

#[test]
fn room_is_asked_for_before_the_first_byte() {
    let windlass = sparse(1 << 43);
    let began = Instant::now();
    let output = windlass.run(&["export", "-o", "a.tar", "box:1"]).exits(8).prints("");
    output.says("creating `a.tar`: expected room for 8796").says("are lacking");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(files(&windlass).is_empty());
}

#[test]
fn signal_leaves_nothing_beside_the_target() {
    let windlass = sparse(4 << 30);
    for (signal, code) in
        [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)]
    {
        let running = windlass.spawn(&["export", "-o", "a.tar", "--no-sync", "box:1"]);
        let hidden = windlass.scratch.join(".a.tar.windlass-0");
        let began = Instant::now();
        while fs::metadata(&hidden).map_or(0, |it| it.len()) < MIB {
            assert!(began.elapsed() < Duration::from_secs(20), "it writes");
            std::thread::yield_now();
        }
        running.signal(signal);
        running.wait().exits(code).prints("").says("interrupted");
        assert!(files(&windlass).is_empty());
    }
}

#[test]
fn what_a_killed_export_left_is_removed_by_the_next() {
    let image = Image::small();
    let windlass = with(&[("box:1", &image)]);
    windlass.scratch.write(".a.tar.windlass-0", "left by one that was killed");
    windlass.scratch.write(".b.tar.windlass-0", "of another");
    exported(&windlass, &["box:1"]).holds(&image);
    assert_eq!(files(&windlass), [".b.tar.windlass-0", "a.tar"]);
    let live = windlass.scratch.write(".a.tar.windlass-0", "of one that lives");
    let live = File::open(live).unwrap();
    live.lock().unwrap();
    exported(&windlass, &["box:1"]).holds(&image);
    assert_eq!(files(&windlass), [".a.tar.windlass-0", ".b.tar.windlass-0", "a.tar"]);
}

#[test]
fn exports_to_one_file_at_once_give_one_whole_archive() {
    let image = ImageBuilder::new().layer_random(1, 8 * MIB).build();
    let windlass = with(&[("box:1", &image)]);
    let runs: Vec<_> =
        (0..4).map(|_| windlass.spawn(&["export", "-o", "a.tar", "--no-sync", "box:1"])).collect();
    runs.into_iter().for_each(|run| drop(run.wait().success()));
    Tar::read(&windlass.scratch.read("a.tar")).holds(&image);
    assert_eq!(files(&windlass), ["a.tar"]);
}

#[test]
fn file_that_may_not_grow_is_exit_8_and_leaves_nothing() {
    let image = ImageBuilder::new().layer_random(1, 8 * MIB).build();
    let windlass = with(&[("box:1", &image)]);
    let run = windlass.command(&["export", "-o", "a.tar", "box:1"]);
    let output = crate::faults::machine::after(run, "ulimit -f 4096").run().exits(8).prints("");
    output.says("a.tar.windlass-0`: ");
    assert!(files(&windlass).is_empty());
}
