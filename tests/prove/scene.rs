//! The stores that are tried, and what must hold of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{Image, ImageBuilder, Registry, Scratch};

/// A registry, and one store for each command to begin with.
pub(crate) struct Scene {
    pub(crate) registry: Registry,
    pub(crate) image: Image,
    /// Of that image.
    pub(crate) name: String,
    /// Of images that were in the store before.
    pub(crate) kept: Vec<String>,
    /// What pull, tag, remove, gc and verify are to do.
    pub(crate) deeds: Vec<Deed>,
    scratch: Scratch,
}

/// A command, and the store that it is given.
#[derive(Clone)]
pub(crate) struct Deed {
    pub(crate) title: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) template: PathBuf,
    /// Names that must be there once it has ended well.
    pub(crate) names: Vec<String>,
    /// A name that is there before or after, and may be either if it was killed.
    pub(crate) changed: String,
    /// Whether it works on several threads.
    pub(crate) threads: bool,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let registry = Registry::start();
        let mut builder = ImageBuilder::new().layer_random(1, 1_500_000).layer_random(2, 600_000);
        for seed in 3..11 {
            builder = builder.layer_random(seed, 1000 * seed);
        }
        let image = builder.build();
        let name = registry.push(&image, "box:1");
        let small = Image::small();
        let kept = vec![registry.push(&small, "keep:1"), registry.push(&small, "keep:2")];
        let scratch = Scratch::new();
        let scene = Scene { registry, image, name, kept, deeds: Vec::new(), scratch };
        Scene { deeds: scene.make_deeds(), ..scene }
    }

    fn make_deeds(&self) -> Vec<Deed> {
        let pull = || self.pull(&self.name, "-j1");
        let empty = self.scratch.join("empty");
        let kept = self.scratch.join("kept");
        self.kept.iter().for_each(|name| self.must(&kept, &self.pull(name, "-j1")));
        let whole = self.copy(&kept, "whole");
        self.must(&whole, &pull());
        // All is there but the manifest and the name: the rest happens on one thread.
        let nearly = self.copy(&whole, "nearly");
        self.must(&nearly, &["remove".into(), self.name.clone()]);
        fs::remove_file(blob(&nearly, &self.image.digest)).unwrap();
        let begun = self.scratch.join("begun");
        fs::create_dir_all(begun.join("blobs/sha256")).unwrap();
        let unsynced = [pull(), vec!["--no-sync".into()]].concat();
        let left = self.copy(&whole, "left");
        self.must(&left, &["remove".into(), self.name.clone()]);
        for name in ["tmp/99-1", "lock/lease/99-2"] {
            fs::write(left.join(".windlass").join(name), "left behind").unwrap();
        }
        let partial = format!(".windlass/partial/sha256-{}", "ab".repeat(32));
        fs::write(left.join(&partial), "some of it").unwrap();
        fs::write(left.join(partial + ".json"), r#"{"size":20,"ranges":[[0,10]]}"#).unwrap();
        let rotten = self.copy(&whole, "rotten");
        let layer = blob(&rotten, &self.image.layers()[1].digest);
        let bytes: Vec<u8> = fs::read(&layer).unwrap().iter().map(|byte| !byte).collect();
        fs::remove_file(&layer).unwrap();
        fs::write(&layer, bytes).unwrap();

        // Read where it lies, and in one pass.
        let [plain, compressed] = ["images.tar", "images.tar.gz"].map(|name| {
            let path = self.scratch.join(name).display().to_string();
            let how = if name.ends_with("gz") { &["--compress=gzip"][..] } else { &[] };
            let export = ["export", "-o", &path, &self.name];
            let args: Vec<String> = export.iter().chain(how).map(|it| (*it).into()).collect();
            self.must(&whole, &args);
            vec!["import".to_owned(), path]
        });
        let with = |name: &str| [&self.kept[..], &[name.to_owned()]].concat();
        let deed =
            |title, args: Vec<String>, template: &Path, names, changed: &str, threads| Deed {
                title,
                args,
                template: template.to_owned(),
                names,
                changed: changed.to_owned(),
                threads,
            };
        let new = "docker.io/library/new:1";
        let tag = vec!["tag".into(), self.name.clone(), new.to_owned()];
        let remove = vec!["remove".into(), self.name.clone()];
        let collect = vec!["gc".to_owned(), "--partials=0".into()];
        let only = vec![self.name.clone()];
        let repair: Vec<String> =
            ["verify", "--repair", "--plain-http", "-j1"].map(Into::into).into();
        vec![
            deed("pull into no store", pull(), &empty, only.clone(), &self.name, false),
            deed(
                "pull into folders of a killed run",
                pull(),
                &begun,
                only.clone(),
                &self.name,
                false,
            ),
            deed("pull beside others", pull(), &kept, with(&self.name), &self.name, true),
            deed("pull --no-sync", unsynced, &kept, with(&self.name), &self.name, false),
            deed(
                "pull, only the name is missing",
                pull(),
                &nearly,
                with(&self.name),
                &self.name,
                false,
            ),
            deed("import", plain, &kept, with(&self.name), &self.name, true),
            deed("import in one pass", compressed, &kept, with(&self.name), &self.name, true),
            deed("tag", tag, &whole, [with(&self.name), vec![new.into()]].concat(), new, false),
            deed("remove", remove, &whole, self.kept.clone(), &self.name, false),
            deed("gc --partials 0", collect, &left, self.kept.clone(), "", false),
            deed("verify --repair", repair, &rotten, with(&self.name), "", true),
        ]
    }

    pub(crate) fn pull(&self, name: &str, jobs: &str) -> Vec<String> {
        ["pull", "--plain-http", jobs, name].map(Into::into).into()
    }

    fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.scratch.join(name);
        copy_folder(from, &to);
        to
    }

    fn must(&self, store: &Path, args: &[String]) {
        let output = windlass(store).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A store of one's own, in memory if there is room, as `template` is.
    pub(crate) fn fresh(template: &Path) -> (tempfile::TempDir, PathBuf) {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let store = folder.path().join("store");
        copy_folder(template, &store);
        (folder, store)
    }
}

/// The binary, with `store` and nothing of this process's environment.
pub(crate) fn windlass(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    clean(&mut command, store);
    command
}

pub(crate) fn clean(command: &mut Command, store: &Path) {
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command.env("WINDLASS_STORE", store).stdin(std::process::Stdio::null());
}

pub(crate) fn blob(store: &Path, digest: &str) -> PathBuf {
    store.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

fn copy_folder(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// What is wrong in a store, found without windlass: blobs that are not what they are called, an
/// index that does not parse, names that lead to something that is not there.
pub(crate) fn damage(store: &Path) -> Vec<String> {
    let mut damage = Vec::new();
    for entry in fs::read_dir(store.join("blobs/sha256")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if hex::encode(Sha256::digest(fs::read(&path).unwrap())) != name {
            damage.push(format!("blob {name} is corrupt"));
        }
    }
    match index(store) {
        Err(error) => damage.push(error),
        Ok(index) => {
            for entry in index["manifests"].as_array().into_iter().flatten() {
                incomplete(store, entry, &mut damage);
            }
        }
    }
    damage
}

fn incomplete(store: &Path, descriptor: &Value, damage: &mut Vec<String>) {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    let Ok(bytes) = fs::read(blob(store, digest)) else {
        damage.push(format!("{digest} is missing"));
        return;
    };
    if let Ok(manifest) = serde_json::from_slice::<Value>(&bytes) {
        let lists = ["manifests", "layers"].map(|key| manifest[key].as_array().cloned());
        let config = manifest.get("config").filter(|it| it.get("digest").is_some()).cloned();
        for child in lists.into_iter().flatten().flatten().chain(config) {
            incomplete(store, &child, damage);
        }
    }
}

/// The index; one that is not there is empty.
fn index(store: &Path) -> Result<Value, String> {
    match fs::read(store.join("index.json")) {
        Err(_) => Ok(Value::Null),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| format!("the index does not parse: {error}")),
    }
}

pub(crate) fn names(store: &Path) -> BTreeSet<String> {
    let index = index(store).unwrap_or_default();
    let name = |entry: &Value| {
        entry["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned)
    };
    index["manifests"].as_array().into_iter().flatten().filter_map(name).collect()
}

/// What is left that no process owns.
pub(crate) fn litter(store: &Path) -> Vec<String> {
    let mut litter = Vec::new();
    for folder in ["tmp", "lock/lease", "partial"] {
        for entry in fs::read_dir(store.join(".windlass").join(folder)).into_iter().flatten() {
            litter.push(format!("{folder}/{} is left", entry.unwrap().file_name().display()));
        }
    }
    litter
}
