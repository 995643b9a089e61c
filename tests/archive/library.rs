use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windlass::archive::{self, Contents, FileWriter};
use windlass::endpoint::{Durability, Sink, Source};
use windlass::error::{Error, ErrorKind, Fault, Result};
use windlass::image::{Descriptor, Manifest, Platform};
use windlass::reference::Reference;
use windlass::registry::{Options, Registry, Remote};
use windlass::transfer::{Interrupt, Plan, Platforms, Retry, Transfer};

use super::Tar;
use crate::support::{self, Image, ImageBuilder, IndexBuilder, Scratch};

const MIB: u64 = 1024 * 1024;

fn transfer<'a>(source: &'a dyn Source, interrupt: &'a Interrupt) -> Transfer<'a> {
    Transfer {
        source,
        sink: &(),
        jobs: 4,
        retry: Retry { base: Duration::from_millis(1), ..Retry::default() },
        stall_timeout: Duration::from_secs(5),
        observer: &(),
        interrupt,
    }
}

fn remote(name: &Reference) -> Remote {
    let host = name.repository().host();
    Registry::new(host, Options::default()).unwrap().repository(name.repository())
}

fn contents(name: &Reference, plan: &Plan) -> Contents {
    let image = archive::Image {
        name,
        target: plan.target(),
        manifests: plan.manifests(),
        blobs: plan.blobs(),
    };
    Contents::of(&[image], &[Platform::host()]).unwrap()
}

#[test]
fn registry_is_copied_straight_into_an_archive() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = ImageBuilder::new().layer_random(1, 3 * MIB).layer_random(2, 10).build();
    let index = IndexBuilder::new().child(&image).attestation(&image).build();
    let name = registry.push(&index, "box:1");
    registry.fail_once("GET */blobs/*", support::Fault::CutFin(1000));
    let name: Reference = name.parse().unwrap();
    let (source, interrupt) = (remote(&name), Interrupt::new());
    let transfer = transfer(&source, &interrupt);
    let plan = transfer.plan(&name, &Platforms::All).unwrap();
    let file = FileWriter::create(&scratch.join("a.tar"), contents(&name, &plan)).unwrap();
    Transfer { sink: &file, ..transfer }.run(&name, &plan).unwrap();
    file.commit(Durability::Synced).unwrap();
    Tar::read(&scratch.read("a.tar")).holds(&index);
    assert_eq!(scratch.files("."), ["a.tar"]);
}

#[test]
fn archive_is_not_committed_before_all_is_there_nor_after_it_was_removed() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = Image::small();
    let name: Reference = registry.push(&image, "box:1").parse().unwrap();
    let (source, interrupt) = (remote(&name), Interrupt::new());
    let transfer = transfer(&source, &interrupt);
    let plan = transfer.plan(&name, &Platforms::All).unwrap();
    let create = || FileWriter::create(&scratch.join("a.tar"), contents(&name, &plan)).unwrap();
    let error = create().commit(Durability::Unsynced).unwrap_err();
    assert!(error.to_string().contains("has not come"), "{error}");
    drop(create());
    assert!(scratch.files(".").is_empty(), "nothing is left");

    let file = create();
    let other = Image::of_size(5);
    let layer: Descriptor = serde_json::from_value(other.layers()[0].descriptor()).unwrap();
    assert!(file.receive(&layer).is_err(), "what is not planned has no place");
    Transfer { sink: &file, ..transfer }.run(&name, &plan).unwrap();
    file.leftover().remove();
    let error = file.commit(Durability::Unsynced).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted), "{error}");
    assert!(scratch.files(".").is_empty());
}

#[test]
fn pipe_goes_on_where_the_source_stopped() {
    let registry = support::Registry::start();
    let image = ImageBuilder::new().layer_random(1, 3 * MIB).build();
    let name: Reference = registry.push(&image, "box:1").parse().unwrap();
    let (source, interrupt) = (remote(&name), Interrupt::new());
    let transfer = transfer(&source, &interrupt);
    let plan = transfer.plan(&name, &Platforms::All).unwrap();
    let layer = format!("GET */blobs/{}", image.layers()[0].digest);
    registry.fail_once(&layer, support::Fault::CutFin(MIB));
    let mut out = Vec::new();
    let contents = contents(&name, &plan);
    contents.write(&mut out, "memory", |blob, out| transfer.send(&name.name(), blob, out)).unwrap();
    assert_eq!(u64::try_from(out.len()).unwrap(), contents.size());
    Tar::read(&out).holds(&image);
    assert_eq!(registry.count(&layer), 2);
}

/// A source whose content is wrong, or that never goes on.
struct Bad<'a> {
    good: &'a dyn Source,
    /// How often it was opened.
    opened: AtomicU32,
    cuts: bool,
}

impl Source for Bad<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Manifest> {
        self.good.resolve(reference)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        self.good.manifest(descriptor)
    }

    fn open(&self, blob: &Descriptor, _offset: u64) -> Result<Box<dyn Read + Send>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        match self.cuts {
            true => Err(Error::network(Fault::Cut, "cut")),
            false => Ok(Box::new(io::repeat(b'x').take(blob.size))),
        }
    }

    fn open_range(&self, _blob: &Descriptor, _range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        Err(ErrorKind::Range("no ranges".into()).into())
    }

    fn takes_ranges(&self, _blob: &Descriptor) -> bool {
        false
    }
}

#[test]
fn pipe_never_gets_all_of_what_is_wrong() {
    let registry = support::Registry::start();
    let image = ImageBuilder::new().layer_random(1, 200_000).build();
    let name: Reference = registry.push(&image, "box:1").parse().unwrap();
    let (good, interrupt) = (remote(&name), Interrupt::new());
    let plan = transfer(&good, &interrupt).plan(&name, &Platforms::All).unwrap();
    for (cuts, opened) in [(false, 1), (true, 8)] {
        let bad = Bad { good: &good, opened: AtomicU32::new(0), cuts };
        let transfer = transfer(&bad, &interrupt);
        for blob in plan.blobs() {
            bad.opened.store(0, Ordering::Relaxed);
            let mut out = Vec::new();
            let error = transfer.send(&name.name(), blob, &mut out).unwrap_err();
            assert!(error.to_string().contains(&blob.digest.to_string()), "{error}");
            assert!(u64::try_from(out.len()).unwrap() < blob.size);
            assert_eq!(bad.opened.load(Ordering::Relaxed), opened, "what went out stays out");
        }
    }
}

#[test]
fn places_of_huge_blobs_and_long_digests_are_known_beforehand() {
    let name: Reference = "box:1".parse().unwrap();
    let digest = |text: &str| text.parse().unwrap();
    let huge = Descriptor::new(
        windlass::image::MediaType::new("application/vnd.oci.image.layer.v1.tar"),
        digest(&format!("sha512:{}", "ab".repeat(64))),
        9 << 30,
    );
    let image = Image::small();
    let manifest = crate::store::parsed(image.root());
    let target = manifest.descriptor();
    let manifests = [manifest];
    let of = |blobs: &[Descriptor]| {
        let image = archive::Image { name: &name, target: &target, manifests: &manifests, blobs };
        Contents::of(&[image], &[])
    };
    let contents = of(std::slice::from_ref(&huge)).unwrap();
    assert!(contents.size() > 9 << 30 && contents.size() < (9 << 30) + 10_000);
    let other = Descriptor { size: 1, ..huge.clone() };
    let error = of(&[huge.clone(), other]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error}");
    let endless = Descriptor { size: i64::MAX.unsigned_abs(), ..huge };
    assert!(matches!(of(&[endless]).unwrap_err().kind(), ErrorKind::Local(_)));
}
