use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use windlass::endpoint::{Sink, Source};
use windlass::error::{Error, ErrorKind};
use windlass::image::Descriptor;
use windlass::reference::Reference;
use windlass::store::{Durability, Store};
use windlass::transfer::{Interrupt, Platforms, Retry, Transfer};

use super::{Filled, descriptor, digest, lines, two_images};
use crate::support::image::Piece;
use crate::support::{Image, IndexBuilder};

/// What can become of a blob's file, and how the finding begins.
type Harm = (&'static str, fn(&Filled, &Piece));

const HARMS: [Harm; 8] = [
    ("it is missing", |filled, piece| fs::remove_file(filled.blob(piece)).unwrap()),
    ("expected", |filled, piece| filled.spoil(piece, b"")),
    ("expected", |filled, piece| {
        filled.spoil(piece, &[&piece.content.to_vec()[..], b"more"].concat());
    }),
    ("its content is sha256:", |filled, piece| {
        let mut bytes = piece.content.to_vec();
        bytes[3] ^= 0x40;
        filled.spoil(piece, &bytes);
    }),
    ("it is not a regular file", |filled, piece| {
        fs::remove_file(filled.blob(piece)).unwrap();
        symlink("/etc/passwd", filled.blob(piece)).unwrap();
    }),
    ("it is not a regular file", |filled, piece| {
        fs::remove_file(filled.blob(piece)).unwrap();
        fs::create_dir(filled.blob(piece)).unwrap();
    }),
    ("it is not a regular file", |filled, piece| {
        fs::remove_file(filled.blob(piece)).unwrap();
        assert!(Command::new("mkfifo").arg(filled.blob(piece)).status().unwrap().success());
    }),
    ("it is not a regular file", |filled, piece| {
        fs::remove_file(filled.blob(piece)).unwrap();
        symlink(filled.blob(piece), filled.blob(piece)).unwrap();
    }),
];

#[test]
fn check_of_a_whole_store_finds_nothing() {
    let (one, two) = two_images();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let filled = Filled::with(&[("one:1", &one), ("two:1", &two), ("index:1", &index)]);
    filled.open().remove(&["two:1"]).unwrap();
    let read = AtomicU64::new(0);
    let observe = |checked: &windlass::store::Checked| {
        assert!(checked.done <= checked.total);
        read.fetch_max(checked.done, Ordering::Relaxed);
        Ok(())
    };
    let report = filled.open().check(&[], &observe).unwrap();
    assert_eq!((report.names, report.findings.len()), (2, 0));
    assert_eq!(report.blobs, 7 + 7, "what no name leads to is read too");
    assert!(read.into_inner() > 0);
    assert_eq!(filled.open().check(&["one:1"], &|_| Ok(())).unwrap().blobs, 4);
    let empty = Filled::empty();
    assert_eq!(empty.check().names, 0);
    assert!(!empty.path().exists());
}

#[test]
fn check_names_every_kind_of_damage() {
    let (one, two) = two_images();
    for (problem, harm) in HARMS {
        for piece in one.blobs.iter().chain(&one.manifests) {
            let filled = Filled::with(&[("one:1", &one), ("two:1", &two)]);
            harm(&filled, piece);
            let findings = lines(&filled.check().findings);
            let start = format!("{} {problem}", piece.digest);
            assert_eq!(
                findings.iter().filter(|it| it.starts_with(&start)).count(),
                1,
                "{findings:?}"
            );
            let shared = piece.digest == one.layers()[0].digest;
            let names = match shared {
                true => "[docker.io/library/one:1 docker.io/library/two:1]",
                false => "[docker.io/library/one:1]",
            };
            assert!(findings[0].ends_with(names), "{findings:?}");
            assert_eq!(findings.len(), 1, "{findings:?}");
            let of_two = filled.open().check(&["two:1"], &|_| Ok(())).unwrap().findings;
            assert_eq!(of_two.len(), usize::from(shared));
        }
    }
}

#[test]
fn check_finds_a_rotten_blob_that_no_name_leads_to_and_gc_takes_it() {
    let (one, two) = two_images();
    for (problem, harm) in HARMS.into_iter().skip(3) {
        let filled = Filled::with(&[("one:1", &one), ("two:1", &two)]);
        filled.open().remove(&["two:1"]).unwrap();
        let own = &two.layers()[1];
        harm(&filled, own);
        let findings = lines(&filled.check().findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with(&format!("{} {problem}", own.digest)), "{findings:?}");
        assert!(findings[0].ends_with("[]"), "{findings:?}");
        let bad = [digest(own)].into_iter().collect();
        filled.open().discard(&bad).unwrap();
        assert_eq!(filled.check().findings.len(), 0);
        assert!(filled.blob(two.root()).exists(), "only that one");
    }
}

#[test]
fn observer_ends_a_check() {
    let filled = Filled::with(&[("one:1", &Image::small())]);
    let stop = |_: &windlass::store::Checked| Err(Error::from(ErrorKind::Interrupted));
    let error = filled.open().check(&[], &stop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted));
    let error = filled.open().check(&["two"], &|_| Ok(())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFound(_)));
}

#[test]
fn whatever_is_in_place_of_a_blob_is_replaced_by_the_next_pull() {
    let image = Image::small();
    for (problem, harm) in HARMS {
        // A layer of the right size is taken for what it is called; that is what `check` is for.
        for piece in [image.config(), image.root(), &image.layers()[0]] {
            let filled = Filled::with(&[("one:1", &image)]);
            harm(&filled, piece);
            let same_size_layer =
                problem.starts_with("its content") && *piece.digest == image.layers()[0].digest;
            filled.put("one:1", &image);
            assert_eq!(filled.check().findings.len(), usize::from(same_size_layer), "{problem}");
        }
    }
}

#[test]
fn repair_fetches_again_only_what_is_bad() {
    let registry = crate::support::Registry::start();
    let (image, other) = two_images();
    let index = IndexBuilder::new().child(&image).child(&other).build();
    let name = registry.push(&index, "box:1");
    for (_, harm) in HARMS {
        for piece in index.blobs.iter().chain(&index.manifests) {
            let filled = Filled::empty();
            filled.put(&name, &index);
            harm(&filled, piece);
            let before = registry.count("GET *");
            repair(&filled, &name);
            assert_eq!(lines(&filled.check().findings), [""; 0]);
            assert_eq!(registry.count("GET *"), before + 1, "{}", piece.digest);
            assert_eq!(filled.names(), [name.as_str()]);
        }
    }
}

#[test]
fn repair_makes_a_narrowed_index_again() {
    let registry = crate::support::Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64", "linux/riscv64"]);
    let name = registry.push(&index, "box:1");
    let filled = Filled::empty();
    let wanted = ["linux/amd64", "linux/riscv64"].map(|it| it.parse().unwrap()).to_vec();
    with_remote(&name, &|remote| {
        let store = filled.open();
        let transfer = transfer(remote, &store);
        let reference: Reference = name.parse().unwrap();
        let plan = transfer.plan(&reference, &Platforms::Only(wanted.clone())).unwrap();
        transfer.run(&reference, &plan).unwrap();
    });
    let entry = filled.open().find(&name).unwrap();
    assert_ne!(entry.descriptor.digest, entry.resolved());
    let stored = filled.path().join("blobs/sha256").join(entry.descriptor.digest.hex());
    fs::remove_file(stored).unwrap();
    repair(&filled, &name);
    assert_eq!(lines(&filled.check().findings), [""; 0]);
    assert_eq!(filled.open().find(&name).unwrap(), entry);
}

fn with_remote(name: &str, act: &dyn Fn(&dyn Source)) {
    use windlass::registry::{Options, Registry};
    let reference: Reference = name.parse().unwrap();
    let registry = Registry::new(reference.repository().host(), Options::default()).unwrap();
    act(&registry.repository(reference.repository()));
}

fn transfer<'a, S: Sink>(source: &'a dyn Source, sink: &'a S) -> Transfer<'a> {
    static INTERRUPT: std::sync::LazyLock<Interrupt> = std::sync::LazyLock::new(Interrupt::new);
    Transfer {
        source,
        sink,
        jobs: 2,
        retry: Retry::default(),
        stall_timeout: Duration::from_secs(5),
        observer: &(),
        interrupt: &INTERRUPT,
    }
}

fn repair(filled: &Filled, name: &str) {
    let store = filled.open();
    let entry = store.find(name).unwrap();
    with_remote(name, &|remote| {
        let report = store.check(&[name], &|_| Ok(())).unwrap();
        let repair = store.repair(&entry, &report.findings, remote);
        let transfer = Transfer { source: &repair, ..transfer(remote, &repair) };
        let origin = entry.origin().unwrap();
        let reference: Reference = format!("{origin}@{}", entry.resolved()).parse().unwrap();
        let plan = transfer.plan(&reference, &Platforms::All).unwrap();
        transfer.run(&reference, &plan).unwrap();
    });
}

#[test]
fn store_that_is_something_else_is_refused_by_what_it_is() {
    let filled = Filled::with(&[("one:1", &Image::small())]);
    let refuse = |part: &str| {
        let error = Store::open(&filled.path(), Durability::Synced).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        error
    };
    filled.scratch.write("store/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    assert!(matches!(refuse("`2.0.0`").kind(), ErrorKind::Content(_)));
    filled.scratch.write("store/oci-layout", "");
    assert!(matches!(refuse("oci-layout").kind(), ErrorKind::Content(_)));
    for folder in ["blobs/sha256", ".windlass/tmp", ".windlass/lock/lease", ".windlass", "blobs"] {
        let filled = Filled::with(&[("one:1", &Image::small())]);
        let path = filled.path().join(folder);
        fs::rename(&path, filled.scratch.join("elsewhere")).unwrap();
        symlink(filled.scratch.join("elsewhere"), &path).unwrap();
        let error = Store::open(&filled.path(), Durability::Synced).unwrap_err();
        assert!(error.to_string().contains("is not a folder"), "{error}");
    }
    fs::remove_dir_all(filled.path()).unwrap();
    filled.scratch.write("store", "a file");
    assert!(matches!(refuse("not a folder").kind(), ErrorKind::Local(_)));
}

#[test]
fn folders_that_were_removed_by_hand_are_made_again() {
    let image = Image::small();
    for folder in [".windlass", ".windlass/tmp", ".windlass/partial", ".windlass/lock", "blobs"] {
        let filled = Filled::with(&[("one:1", &image)]);
        fs::remove_dir_all(filled.path().join(folder)).unwrap();
        filled.put("one:1", &image);
        assert_eq!(lines(&filled.check().findings), [""; 0], "{folder}");
    }
    let filled = Filled::with(&[("one:1", &image)]);
    fs::remove_file(filled.path().join("oci-layout")).unwrap();
    filled.put("one:2", &image);
    assert_eq!(filled.names().len(), 2);
}

#[test]
fn index_that_does_not_parse_is_never_overwritten() {
    for text in ["", "{", "[]", "null", "{\"manifests\":{}}", "\0\0\0\0"] {
        let filled = Filled::with(&[("one:1", &Image::small())]);
        filled.write_index(text);
        let new: Reference = "two".parse().unwrap();
        let store = filled.open();
        for result in [
            store.entries().map(drop),
            store.tag("one:1", &new).map(drop),
            store.remove(&["one:1"]).map(drop),
            store.check(&[], &|_| Ok(())).map(drop),
            super::put(&store, "one:1", &Image::small()),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error}");
            assert!(error.to_string().contains("index.json"), "{error}");
        }
        assert_eq!(filled.index(), text);
    }
}

#[test]
fn blob_that_rots_is_not_handed_out() {
    let image = Image::small();
    let filled = Filled::with(&[("one:1", &image)]);
    let layer = &image.layers()[0];
    let mut bytes = layer.content.to_vec();
    bytes[5] ^= 1;
    filled.spoil(layer, &bytes);
    let store = filled.open();
    let blob: Descriptor = descriptor(layer);
    let mut out = Vec::new();
    let read = std::io::Read::read_to_end(&mut store.open(&blob, 0).unwrap(), &mut out);
    assert!(read.unwrap_err().to_string().contains(&layer.digest));
}
