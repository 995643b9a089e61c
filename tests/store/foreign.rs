use std::fs;
use std::time::Duration;

use windlass::error::{Error, ErrorKind};
use windlass::image::Platform;
use windlass::store::{Collection, Durability, Store};
use windlass::transfer::{Interrupt, Platforms, Retry, Transfer};

use super::{Filled, lines, snapshot, two_images};
use crate::support::{Image, IndexBuilder};

const NAME: &str = "org.opencontainers.image.ref.name";

/// A layout as other tools write it: no private folder, their own names and fields.
fn layout(images: &[(&str, &Image)]) -> Filled {
    let filled = Filled::empty();
    filled.scratch.write("store/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut entries = Vec::new();
    for (name, image) in images {
        for piece in image.blobs.iter().chain(&image.manifests) {
            let path = format!("store/blobs/sha256/{}", &piece.digest[7..]);
            filled.scratch.write(&path, piece.content.to_vec());
        }
        let mut entry = image.root().descriptor();
        entry["annotations"] = serde_json::json!({ "other": "kept" });
        if !name.is_empty() {
            entry["annotations"][NAME] = (*name).into();
        }
        entries.push(entry.to_string());
    }
    let manifests = entries.join(", ");
    filled.write_index(&format!(
        r#"{{"odd": [1,  2], "manifests": [{manifests}], "schemaVersion": 2}}"#
    ));
    filled
}

#[test]
fn layout_of_another_tool_is_a_store() {
    let (one, two) = two_images();
    let filled = layout(&[("latest", &one), ("", &two)]);
    assert_eq!(filled.names(), ["latest", ""]);
    assert_eq!(filled.check().blobs, 7);
    assert!(!filled.path().join(".windlass").exists(), "reading makes nothing");
    let entry = filled.open().tag("latest", &"mine:1".parse().unwrap()).unwrap();
    assert_eq!(entry.descriptor.annotations["other"], "kept");
    let index = filled.index();
    assert!(index.starts_with(r#"{"odd":[1,  2],"manifests":[{"#), "{index}");
    filled.open().collect(&Collection::default()).unwrap();
    assert_eq!(lines(&filled.check().findings), [""; 0]);
    assert_eq!(filled.names(), ["docker.io/library/mine:1", "latest", ""]);
    filled.open().remove(&["latest", &two.digest]).unwrap();
    assert_eq!(filled.names(), ["docker.io/library/mine:1"]);
    assert_eq!(filled.open().collect(&Collection::default()).unwrap().blobs.count, 3);
    assert_eq!(lines(&filled.check().findings), [""; 0]);
}

#[test]
fn repeated_names_are_all_removed_and_all_needed() {
    let (one, two) = two_images();
    let filled = layout(&[("box", &one), ("box", &two)]);
    assert_eq!(filled.open().find("box").unwrap().descriptor.digest.to_string(), two.digest);
    assert_eq!(filled.open().collect(&Collection::default()).unwrap().blobs.count, 0);
    filled.open().remove(&["box"]).unwrap();
    assert_eq!(filled.names(), [""; 0]);
    assert!(filled.index().contains(r#""manifests":[]"#));
}

#[test]
fn gc_spares_what_entries_of_unknown_kinds_lead_to() {
    let (one, two) = two_images();
    let filled = layout(&[("one", &one), ("two", &two)]);
    let artifact = format!(
        r#"{{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{}]}}"#,
        two.root().descriptor()
    );
    let digest = crate::support::Content::from(artifact.as_bytes()).digest();
    filled.scratch.write(&format!("store/blobs/sha256/{}", &digest[7..]), &artifact);
    let size = artifact.len();
    let known = one.root().descriptor();
    let collect = |entry: &str| {
        filled.write_index(&format!(r#"{{"schemaVersion":2,"manifests":[{known},{entry}]}}"#));
        filled.open().collect(&Collection { dry_run: true, partials: None })
    };
    let kind = r#""mediaType":"application/vnd.oci.artifact.manifest.v1+json""#;
    let entry = format!(r#"{{{kind},"digest":"{digest}","size":{size}}}"#);
    assert_eq!(collect(&entry).unwrap().blobs.count, 0);
    let not_a_descriptor = format!(r#"{{"digest":"{digest}","size":"many"}}"#);
    assert_eq!(collect(&not_a_descriptor).unwrap().blobs.count, 0);
    assert_eq!(collect(r#"{"odd":true},7"#).unwrap().blobs.count, 4);
    let error = collect(r#"{"digest":"blake3:00","size":1}"#).unwrap_err();
    assert!(error.to_string().contains("cannot be understood"), "{error}");
}

#[test]
fn gc_removes_nothing_if_what_is_of_an_unknown_kind_cannot_be_read() {
    let (one, two) = two_images();
    let filled = layout(&[("one", &one)]);
    let artifact = format!(r#"{{"blobs":[{}]}}"#, two.root().descriptor());
    let digest = crate::support::Content::from(artifact.as_bytes()).digest();
    let path = format!("store/blobs/sha256/{}", &digest[7..]);
    let (kind, size) = ("application/vnd.oci.artifact.manifest.v1+json", artifact.len());
    filled.write_index(&format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}]}}"#
    ));
    let before = snapshot(&filled.path().join("blobs"));
    for damage in [Some(&artifact[..50]), Some(&artifact.replace("blobs", "BLOBS")), None] {
        if let Some(bytes) = damage {
            filled.scratch.write(&path, bytes);
        }
        let error = filled.open().collect(&Collection::default()).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Content(_) | ErrorKind::Digest { .. } | ErrorKind::Size { .. }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(&digest), "{error}");
        let _ = fs::remove_file(filled.scratch.join(&path));
        assert_eq!(snapshot(&filled.path().join("blobs")), before);
    }
}

#[test]
fn layout_without_index_and_without_blobs_is_filled() {
    let filled = Filled::empty();
    filled.scratch.write("store/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let (one, _) = two_images();
    filled.put("box:1", &one);
    assert_eq!(filled.names(), ["docker.io/library/box:1"]);
    assert_eq!(lines(&filled.check().findings), [""; 0]);
}

#[test]
fn files_that_are_no_blobs_stay() {
    let index = IndexBuilder::platforms(&["linux/amd64"]);
    let filled = layout(&[("one", &index)]);
    for path in ["blobs/sha256/x.tmp", "blobs/blake3/00", "notes.txt", "blobs/sha256/ABC"] {
        filled.scratch.write(&format!("store/{path}"), "theirs");
    }
    filled.open().remove(&["one"]).unwrap();
    assert_eq!(filled.open().collect(&Collection::default()).unwrap().blobs.count, 4);
    for path in ["blobs/sha256/x.tmp", "blobs/blake3/00", "notes.txt", "blobs/sha256/ABC"] {
        assert_eq!(fs::read(filled.path().join(path)).unwrap(), b"theirs");
    }
}

#[test]
fn transfer_takes_an_image_from_one_layout_to_another_under_any_name() {
    let (index, (two, _)) =
        (IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]), two_images());
    let (from, to) = (layout(&[("V 1", &index)]), layout(&[("two", &two)]));
    let before = snapshot(&from.path());
    let source = Store::existing_layout(&from.path(), Durability::Unsynced).unwrap();
    let sink = Store::layout(&to.path(), Durability::Unsynced).unwrap();
    let transfer = Transfer {
        source: &source,
        sink: &sink,
        jobs: 2,
        retry: Retry::default(),
        stall_timeout: Duration::from_secs(1),
        observer: &(),
        interrupt: &Interrupt::new(),
    };
    let root = source.find("V 1").unwrap().descriptor;
    let copy = |name: &str, platforms: &Platforms| {
        let plan = transfer.plan_of(name, &root, platforms).unwrap();
        transfer.run_as(name, &plan).unwrap();
        to.open().find(name).unwrap()
    };
    let all = copy("All of it!", &Platforms::All);
    assert_eq!(all.descriptor.digest.to_string(), index.digest);
    let only = Platforms::Only(vec![Platform::new("linux", "arm64", None)]);
    let one = copy("arm", &only);
    assert_eq!(one.descriptor.digest.to_string(), index.manifests[1].digest);
    assert_eq!((one.resolved().to_string(), one.origin()), (index.digest, None));
    assert_eq!(to.names(), ["All of it!", "arm", "two"]);
    assert_eq!(lines(&to.check().findings), [""; 0]);
    assert_eq!(snapshot(&from.path()), before, "the source is as it was");
}

#[test]
fn folder_is_a_layout_only_if_it_has_an_index() {
    let filled = Filled::empty();
    let kind = |opened: Result<Store, Error>| match opened.unwrap_err().kind() {
        ErrorKind::Io(error) => error.kind().to_string(),
        ErrorKind::Content(_) => "content".into(),
        ErrorKind::Local(_) => "local".into(),
        other => format!("{other:?}"),
    };
    let existing = || Store::existing_layout(&filled.path(), Durability::Unsynced);
    let any = || Store::layout(&filled.path(), Durability::Unsynced);
    assert_eq!(kind(existing()), "entity not found");
    any().unwrap();
    fs::create_dir(filled.path()).unwrap();
    assert_eq!(kind(existing()), "content");
    any().unwrap();
    fs::create_dir(filled.path().join(".windlass")).unwrap();
    any().expect("one that was begun and not finished");
    filled.scratch.write("store/notes", "theirs");
    assert_eq!(kind(any()), "local");
    filled.write_index(r#"{"manifests":[]}"#);
    existing().unwrap();
    any().unwrap();
}
