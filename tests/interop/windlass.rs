//! The command under test.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::tool::{Ran, Tool, sha256};

/// Windlass with a home and a store of its own.
pub(crate) struct Windlass {
    pub(crate) home: TempDir,
}

impl Windlass {
    pub(crate) fn new() -> Windlass {
        Windlass { home: TempDir::new().unwrap() }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    pub(crate) fn tool(&self, args: &[&str]) -> Tool {
        Tool::new(env!("CARGO_BIN_EXE_windlass"), self.home.path())
            .arg("--store")
            .arg(self.store())
            .args(args)
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.tool(args).run()
    }

    /// What skopeo calls the image `name` of the store.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("oci:{}:{name}", self.store().display())
    }

    /// The manifest of `name` in the store, as skopeo reads it.
    #[track_caller]
    pub(crate) fn stored(&self, name: &str) -> Vec<u8> {
        let place = self.place(name);
        Tool::new("skopeo", self.home.path()).args(&["inspect", "--raw", &place]).run().ok().stdout
    }

    /// Has skopeo copy `name` out of the store, which verifies every blob of it.
    #[track_caller]
    pub(crate) fn copied(&self, name: &str) {
        let target = TempDir::new().unwrap();
        let to = format!("dir:{}", target.path().display());
        Tool::new("skopeo", self.home.path())
            .args(&["--insecure-policy", "copy", "--all", "--preserve-digests"])
            .args(&[&self.place(name), &to])
            .run()
            .ok();
        let manifest = std::fs::read(target.path().join("manifest.json")).unwrap();
        assert_eq!(sha256(&manifest), sha256(&self.stored(name)));
    }
}
