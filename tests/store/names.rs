use std::thread;

use windlass::endpoint::{Guard, Origin, Receipt, Sink};
use windlass::error::{ErrorKind, Result};
use windlass::image::{Descriptor, Digest, Manifest};
use windlass::reference::Reference;
use windlass::store::Durability;

use super::{Filled, put, two_images};
use crate::support::Image;

const ONE: &str = "docker.io/library/one:1";

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn tag_gives_a_second_name_that_knows_where_it_came_from() {
    let image = Image::small();
    let filled = Filled::with(&[("quay.io/a/one:1", &image)]);
    let entry = filled.open().tag("quay.io/a/one:1", &reference("mine")).unwrap();
    assert_eq!(entry.name, "docker.io/library/mine:latest");
    assert_eq!(entry.origin(), Some("quay.io/a/one"));
    assert_eq!(entry.resolved().to_string(), image.digest);
    assert_eq!(filled.names(), ["docker.io/library/mine:latest", "quay.io/a/one:1"]);
    let before = filled.index();
    filled.open().tag("mine", &reference("mine")).unwrap();
    filled.open().tag(&image.digest, &reference("mine")).unwrap();
    assert_eq!(filled.index(), before, "nothing changes");
}

#[test]
fn tag_of_what_is_not_there_makes_nothing() {
    let filled = Filled::empty();
    let error = filled.open().tag("one", &reference("two")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotFound(_)), "{error}");
    assert!(!filled.path().exists());
    let filled = Filled::with(&[(ONE, &Image::small())]);
    let new = reference("two").with_digest(Image::small().digest.parse().unwrap());
    let error = filled.open().tag("one:1", &new).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
}

#[test]
fn remove_takes_what_is_there_and_names_the_rest() {
    let (one, two) = two_images();
    let filled = Filled::with(&[("one:1", &one), ("one:2", &one), ("two:1", &two)]);
    let removal = filled.open().remove(&["two:1", "three:1", "one:1", "one:1"]).unwrap();
    let removed: Vec<_> = removal.removed.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(removed, ["docker.io/library/two:1", ONE]);
    assert_eq!(removal.missing.len(), 1);
    let (text, error) = &removal.missing[0];
    assert!(text == "three:1" && error.to_string().contains("three:1"), "{error}");
    assert_eq!(filled.names(), ["docker.io/library/one:2"]);
}

#[test]
fn remove_by_digest_takes_every_name_of_it_and_only_with_that_digest() {
    let (one, two) = two_images();
    let all = [("one:1", &one), ("quay.io/b/one:2", &one), ("two:1", &two)];
    let filled = Filled::with(&all);
    let wrong = format!("one:1@{}", two.digest);
    let short = format!("one:1@{}", &one.digest[..20]);
    let removal = filled.open().remove(&[&wrong, &short, "@", ""]).unwrap();
    assert_eq!((removal.removed.len(), removal.missing.len()), (0, 4));
    assert_eq!(filled.names().len(), 3);

    filled.open().remove(&[&one.digest]).unwrap();
    assert_eq!(filled.names(), ["docker.io/library/two:1"]);

    let filled = Filled::with(&all);
    filled.open().remove(&[&format!("one:1@{}", one.digest)]).unwrap();
    assert_eq!(filled.names(), ["docker.io/library/two:1", "quay.io/b/one:2"]);
    filled.open().remove(&[&format!("quay.io/b/one@{}", one.digest)]).unwrap();
    assert_eq!(filled.names(), ["docker.io/library/two:1"]);
}

#[test]
fn removing_from_a_store_that_is_not_there_makes_none() {
    let filled = Filled::empty();
    assert_eq!(filled.open().remove(&["one"]).unwrap().missing.len(), 1);
    assert!(!filled.path().exists());
}

#[test]
fn names_written_at_once_are_all_there() {
    let filled = Filled::with(&[("one:0", &Image::small())]);
    thread::scope(|scope| {
        for writer in 0..8 {
            let filled = &filled;
            scope.spawn(move || {
                for round in 0..10 {
                    let new = reference(&format!("box:{writer}-{round}"));
                    filled.open().tag("one:0", &new).unwrap();
                    if round % 2 == 1 {
                        filled.open().remove(&[&new.to_string()]).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(filled.names().len(), 1 + 8 * 5);
}

#[test]
fn list_of_many_names_reads_the_index_alone() {
    let (one, _) = two_images();
    let index = crate::support::IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]);
    let filled = Filled::with(&[("one:1", &one), ("index:1", &index)]);
    std::fs::remove_dir_all(filled.path().join("blobs/sha256")).unwrap();
    let store = filled.open();
    for entry in store.entries().unwrap() {
        let summary = store.summary(&entry).unwrap();
        let image = if entry.name.contains("index") { &index } else { &one };
        assert_eq!(summary.size, image.size());
        assert_eq!(summary.platforms.len(), if entry.name.contains("index") { 2 } else { 1 });
    }
    put(&store, "one:2", &one).unwrap();
}

/// Tells in which order a sink is asked.
struct Asked<'a>(&'a windlass::store::Store, std::sync::Mutex<Vec<&'static str>>);

impl Asked<'_> {
    fn note(&self, what: &'static str) {
        self.1.lock().unwrap().push(what);
    }
}

impl Sink for Asked<'_> {
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        self.note("protect");
        self.0.protect(content)
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        self.note("contains");
        self.0.contains(descriptor)
    }

    fn room(&self) -> Result<Option<u64>> {
        self.0.room()
    }

    fn partial_len(&self, blob: &Descriptor) -> Result<u64> {
        self.0.partial_len(blob)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        self.note("receive");
        self.0.receive(blob)
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.note("put manifest");
        self.0.put_manifest(manifest)
    }

    fn name(&self, reference: &Reference, target: &Descriptor, origin: &Origin) -> Result<()> {
        self.note("name");
        self.0.name(reference, target, origin)
    }
}

#[test]
fn transfer_announces_what_it_needs_before_it_asks_what_is_there() {
    let filled = Filled::with(&[("one:1", &Image::small())]);
    let (from, to) = (filled.open(), Filled::empty());
    let store = to.open();
    let sink = Asked(&store, std::sync::Mutex::default());
    let transfer = windlass::transfer::Transfer {
        source: &from,
        sink: &sink,
        jobs: 1,
        retry: windlass::transfer::Retry::default(),
        stall_timeout: std::time::Duration::from_secs(1),
        observer: &(),
        interrupt: &windlass::transfer::Interrupt::new(),
    };
    let plan = transfer.plan(&reference("one:1"), &windlass::transfer::Platforms::All).unwrap();
    transfer.run(&reference("one:1"), &plan).unwrap();
    let asked = sink.1.lock().unwrap();
    assert_eq!((asked[0], asked[1], asked.last()), ("protect", "contains", Some(&"name")));
}

#[test]
fn name_that_is_to_survive_waits_for_content_that_nobody_synced() {
    let image = Image::small();
    let filled = Filled::empty();
    let careful = windlass::store::Store::open(&filled.path(), Durability::Synced).unwrap();
    put(&careful, "one:1", &image).unwrap();
    let mark = filled.path().join(".windlass/lock/unsynced");
    assert!(!mark.exists());
    filled.put("one:2", &image);
    assert!(mark.exists());
    let careless = filled.open().protect(&[]).unwrap();
    careful.tag("one:2", &reference("one:3")).unwrap();
    assert!(mark.exists(), "there is more to come");
    drop(careless);
    careful.tag("one:2", &reference("one:4")).unwrap();
    assert!(!mark.exists());
    filled.open().collect(&windlass::store::Collection::default()).unwrap();
    assert!(!mark.exists());
}
