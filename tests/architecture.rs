//! The map of the code: which module may import which, and where which crate may be named.

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and the modules it may import. Listed bottom up.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("image", &[]),
    ("printable", &[]),
    ("reference", &["image"]),
    ("error", &["image", "reference"]),
    ("endpoint", &["image", "reference", "error"]),
    ("stream", &["image", "printable", "reference", "error", "endpoint"]),
    ("registry", &["image", "printable", "reference", "error", "endpoint", "stream"]),
    ("store", &["image", "printable", "reference", "error", "endpoint", "stream"]),
    ("archive", &["image", "printable", "reference", "error", "endpoint", "stream"]),
    ("transfer", &["image", "printable", "reference", "error", "endpoint", "stream"]),
    ("lib", &[]),
    // These two see the public library only.
    ("cli", &["cli"]),
    ("main", &["cli"]),
];

/// A crate, and the only places that may name it.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("ureq", &["registry/http/"]),
    ("rustls", &["registry/tls.rs", "registry/http/failure.rs"]),
    ("rayon", &["transfer/parallel.rs"]),
    ("argh", &["cli/", "main.rs"]),
    ("indicatif", &["cli/progress/", "cli/output.rs"]),
    ("env_logger", &["cli/"]),
    ("signal_hook", &["cli/"]),
    ("rustix", &["registry/http/failure.rs", "store/", "archive/", "cli/"]),
    ("nix", &["store/file.rs"]),
    ("sha2", &["image/digest.rs"]),
    ("tar", &["archive/"]),
    ("flate2", &["registry/", "stream/"]),
    ("base64", &["registry/", "stream/tar/xattr.rs"]),
    ("zstd", &["stream/compression/"]),
    ("regex_lite", &["cli/"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file below `src`: its path there, and its lines without tests and comments.
fn code() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let mut files = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\n").next().unwrap();
        let code = |line: &&str| !line.trim_start().starts_with("//");
        let lines = text.lines().filter(code).map(str::to_owned).collect();
        files.push((path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), lines));
    }
    assert!(files.len() > 20, "the sources are found");
    files
}

#[test]
fn modules_import_only_what_is_below_them() {
    for (place, lines) in code() {
        let module = place.split(['/', '.']).next().unwrap();
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let allowed = allowed.unwrap_or_else(|| panic!("`{module}` is not on the map")).1;
        for line in &lines {
            for (at, _) in line.match_indices("crate::") {
                let inside = line[..at].chars().next_back().is_some_and(char::is_alphanumeric);
                let imported = line[at + 7..].split(|c: char| !c.is_alphanumeric() && c != '_');
                let imported = imported.into_iter().next().unwrap();
                let fine = inside || imported == module || allowed.contains(&imported);
                assert!(fine, "{place}: `{module}` may not import `{imported}`: {line}");
            }
        }
    }
}

#[test]
fn crates_are_named_only_in_their_place() {
    for (place, lines) in code() {
        for (name, places) in MAY_NAME {
            let allowed = places.iter().any(|allowed| place.starts_with(allowed));
            let path = format!("{name}::");
            let named = lines.iter().find(|line| {
                line.match_indices(&path)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            if let (false, Some(line)) = (allowed, named) {
                panic!("{place} may not name `{name}`: {line}");
            }
        }
    }
}

/// Tables of cases may be longer; the code that they test may not.
#[test]
fn files_have_at_most_400_lines_without_their_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    sources(&root.join("src"), &mut paths);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.split("#[cfg(test)]\n").next().unwrap().lines().count();
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = include_str!("../Cargo.toml");
    let mut in_dependencies = false;
    let mut before = "";
    let mut count = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.contains(" = ") {
            assert!(before.starts_with("# "), "`{line}` has no reason above it");
            count += 1;
        }
        before = line;
    }
    assert!(count > 10, "the dependencies are found");
}

#[test]
fn changelog_knows_the_version() {
    let changelog = include_str!("../CHANGELOG.md");
    assert!(changelog.contains("## Unreleased"));
    assert!(changelog.contains(env!("CARGO_PKG_VERSION")));
}
