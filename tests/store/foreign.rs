use std::fs;

use windlass::store::Collection;

use super::{Filled, lines, two_images};
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
