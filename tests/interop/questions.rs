//! Asking the store and the registry.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixture::{TAG, blob, child, host_architecture, index_digest};
use crate::registry::{Registry, busybox};
use crate::windlass::Windlass;

#[test]
fn list_says_what_is_stored_and_what_it_was() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["list", "--json"]).ok().prints("");
    windlass.run(&["pull", &name]).ok();

    let text = windlass.run(&["list", "--json"]).ok().text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [entry] = &lines[..] else { panic!("one object a line: {text}") };
    let child = child(host_architecture());
    assert_eq!(entry["name"], name);
    assert_eq!(entry["digest"], index_digest());
    assert_eq!(entry["stored"], child.digest());
    let layers = child.json["layers"].as_array().unwrap().iter();
    let blobs = layers.chain([&child.json["config"], &child.descriptor]);
    let size: u64 = blobs.map(|part| part["size"].as_u64().unwrap()).sum();
    assert_eq!(entry["size"], size, "manifest, config and layers");
    assert_eq!(entry["created"], "2026-05-07T20:33:00Z");

    let table = windlass.run(&["list"]).ok().text();
    assert!(table.contains(&name), "{table}");
    assert!(table.contains(&format!("linux/{}", host_architecture())), "{table}");
}

#[test]
fn inspect_shows_manifest_and_config_as_they_came() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    windlass.run(&["pull", &name]).ok();
    let child = child(host_architecture());
    let blobs = child.blobs();

    assert_eq!(windlass.run(&["inspect", "--raw", &name]).ok().stdout, child.bytes);
    assert_eq!(windlass.run(&["inspect", "--config", &name]).ok().stdout, blob(&blobs[0]));
    let text = windlass.run(&["inspect", &name]).ok().text();
    for digest in &blobs {
        assert!(text.contains(digest.as_str()), "{digest} in full: {text}");
    }
    let json = windlass.run(&["inspect", "--json", &name]).ok();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["name"], name);
}

#[test]
fn what_pull_prints_can_be_given_to_other_commands() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let printed = windlass.run(&["pull", &busybox(&registry.host)]).ok().text();
    let printed = printed.trim_end();
    let child = child(host_architecture());
    assert_eq!(windlass.run(&["inspect", "--raw", printed]).ok().stdout, child.bytes);
    windlass.run(&["digest", printed]).ok().prints(&format!("{}\n", index_digest()));
}

#[test]
fn digest_and_manifest_ask_the_registry_and_store_nothing() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let name = busybox(&registry.host);
    let child = child("arm64");
    windlass.run(&["digest", &name]).ok().prints(&format!("{}\n", index_digest()));
    assert_eq!(windlass.run(&["manifest", &name]).ok().stdout, registry.raw(&name));
    let by_digest = format!("{}/library/busybox@{}", registry.host, child.digest());
    assert_eq!(windlass.run(&["manifest", &by_digest]).ok().stdout, child.bytes);
    assert!(!windlass.store().exists(), "a store that is not needed is not made");

    windlass.run(&["digest", &format!("{}/none/there:1", registry.host)]).exits(3).prints("");
}

/// docker-registry 2.8 sends all tags at once, whatever `n` asks for, and in no order.
#[test]
fn tags_lists_each_of_many_tags_once() {
    let (registry, windlass) = (Registry::open().filled(), Windlass::new());
    let many: Vec<String> = (0..2500).map(|number| format!("build-{number}")).collect();
    registry.tag_many("library/busybox", &index_digest(), &many);
    let repository = format!("{}/library/busybox", registry.host);

    let text = windlass.run(&["tags", &repository]).ok().text();
    let tags: BTreeSet<&str> = text.lines().collect();
    assert_eq!(text.lines().count(), 2501, "no tag twice");
    assert_eq!(tags, many.iter().map(String::as_str).chain([TAG]).collect());

    windlass.run(&["tags", "--filter", "^1[.]", &repository]).ok().prints(&format!("{TAG}\n"));
    let json = windlass.run(&["tags", "--json", "--filter", "^1[.]", &repository]).ok();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json, serde_json::json!({"tag": TAG}));
    windlass.run(&["tags", &format!("{}/none/there", registry.host)]).exits(3).prints("");
}
