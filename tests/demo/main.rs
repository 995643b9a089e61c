//! `make demo`: the main job for real, without the internet.
#![expect(clippy::unwrap_used, reason = "a demonstration that does not work should say where")]
#![expect(clippy::print_stdout, reason = "it shows what it does")]

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a demonstration needs little of it")]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use support::{Registry, Scratch};

fn main() -> ExitCode {
    let registry = Registry::start();
    let name = serve(&registry, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/image"));
    let scratch = Scratch::new();
    let store = scratch.path().join("store");
    println!("a registry on {} serves {name}: busybox for two platforms\n", registry.host());

    let pulled = show(&store, &["pull", &name]);
    show(&store, &["list"]);
    show(&store, &["inspect", &name]);

    let digest = pulled.trim().rsplit_once('@').unwrap().1.to_owned();
    let served = registry.tags("busybox")["1.35"].clone();
    let said = show(&store, &["digest", &name]);
    println!("pulled   {digest}\nserved   {served}");
    let blobs = store.join("blobs/sha256");
    let mut count = 0;
    for entry in std::fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let hex = sha256sum(&path);
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), hex, "a blob is named by its hash");
        count += 1;
    }
    println!("sha256sum agrees with the names of all {count} blobs in the store");
    if digest == served && said.trim() == served {
        println!("\nthe digest is the same everywhere: what was served is what is stored");
        ExitCode::SUCCESS
    } else {
        println!("\nthe digests differ");
        ExitCode::FAILURE
    }
}

/// Puts the fixture, an image layout, into the registry, and says its name there.
fn serve(registry: &Registry, layout: &Path) -> String {
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let blob = |digest: &str| read(layout.join("blobs").join(digest.replace(':', "/")));
    let index: serde_json::Value =
        serde_json::from_slice(&read(layout.join("index.json"))).unwrap();
    let mut waiting = index["manifests"].as_array().unwrap().clone();
    let root = waiting[0]["digest"].as_str().unwrap().to_owned();
    while let Some(descriptor) = waiting.pop() {
        let digest = descriptor["digest"].as_str().unwrap();
        let media_type = descriptor["mediaType"].as_str().unwrap();
        if !media_type.contains("manifest") && !media_type.contains("index") {
            registry.put_blob("busybox", blob(digest));
            continue;
        }
        let manifest: serde_json::Value = serde_json::from_slice(&blob(digest)).unwrap();
        for list in ["manifests", "layers"] {
            waiting.extend(manifest[list].as_array().cloned().unwrap_or_default());
        }
        waiting.extend(manifest.get("config").cloned());
        registry.put_manifest("busybox", media_type, blob(digest));
    }
    registry.put_tag("busybox", "1.35", &root);
    registry.name("busybox:1.35")
}

/// Runs windlass as a user would, shows command and answer, and gives the answer.
fn show(store: &Path, args: &[&str]) -> String {
    let windlass = env!("CARGO_BIN_EXE_windlass");
    println!("$ windlass {}", args.join(" "));
    let output = Command::new(windlass)
        .args(["--store", store.to_str().unwrap()])
        .args(args)
        .output()
        .unwrap();
    let (answer, story) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    let answer = String::from_utf8(answer).unwrap();
    print!("{story}{answer}");
    println!();
    assert!(output.status.success(), "it ended with {}", output.status);
    answer
}

fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}
