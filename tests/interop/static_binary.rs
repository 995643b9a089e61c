//! The static binary needs nothing of the machine: no loader, no library, no file but itself.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fixture::{self, child, host_architecture};
use crate::registry::{Registry, busybox};
use crate::tls::Authority;
use crate::tool::{Tool, sha256};

/// The most bytes it may have.
const SIZE_LIMIT: u64 = 5 * 1024 * 1024;

/// Program headers that only a program with something to load at its start has.
/// They are `PT_DYNAMIC` and `PT_INTERP` in `elf(5)`.
const LOADED_AT_START: [u32; 2] = [2, 3];

#[test]
fn static_binary_asks_for_no_loader_and_no_library() {
    let elf = fs::read(binary()).unwrap();
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
    let number = |at: usize, length: usize| {
        let bytes = elf[at..at + length].iter().rev();
        bytes.fold(0, |number: usize, byte| number << 8 | usize::from(*byte))
    };
    let (start, length, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    assert!(count > 0, "it has program headers");
    for index in 0..count {
        let kind = u32::try_from(number(start + index * length, 4)).unwrap();
        assert!(!LOADED_AT_START.contains(&kind), "program header {index} is of type {kind}");
    }
}

#[test]
fn static_binary_is_small() {
    let size = fs::metadata(binary()).unwrap().len();
    assert!(size <= SIZE_LIMIT, "{size} bytes");
}

#[test]
fn static_binary_pulls_in_an_empty_root_by_address() {
    let (registry, root) = (Registry::open().filled(), Root::new());
    root.pull(&registry.host, &[]);
}

#[test]
fn static_binary_pulls_in_an_empty_root_by_a_name_in_etc_hosts() {
    let (registry, root) = (Registry::open().filled(), Root::new());
    let port = registry.host.rsplit_once(':').unwrap().1;
    root.pull(&format!("registry.test:{port}"), &["--plain-http"]);
}

#[test]
fn static_binary_speaks_tls_in_an_empty_root() {
    let authority = Authority::new();
    let (registry, root) = (Registry::with_tls(&authority).filled(), Root::new());
    fs::copy(authority.ca(), root.folder.path().join("ca.crt")).unwrap();
    root.pull(&registry.host, &["--ca-file", "/ca.crt"]);
}

/// A root directory with the binary, `/etc/hosts`, `/etc/resolv.conf` and nothing else.
struct Root {
    folder: TempDir,
}

impl Root {
    fn new() -> Root {
        let folder = TempDir::new().unwrap();
        fs::copy(binary(), folder.path().join("windlass")).unwrap();
        let etc = folder.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("hosts"), "127.0.0.1 localhost registry.test\n").unwrap();
        // Nobody answers there: what is not in `hosts` is not found.
        fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        Root { folder }
    }

    /// Pulls the fixture from the registry at `host`, and looks at what is in the store.
    #[track_caller]
    fn pull(&self, host: &str, args: &[&str]) {
        let name = busybox(host);
        // Only root may change its root; others become root of a namespace of their own.
        let inside = match rustix::process::geteuid().is_root() {
            true => Tool::new("chroot", Path::new("/")),
            false => Tool::new("unshare", Path::new("/")).args(&["-r", "chroot"]),
        };
        inside
            .arg(self.folder.path())
            .args(&["/windlass", "--store", "/store", "pull"])
            .args(args)
            .arg(&name)
            .run()
            .ok()
            .prints(&format!("{name}@{}\n", fixture::index_digest()));
        let child = child(host_architecture());
        for digest in child.blobs().iter().map(String::as_str).chain([child.digest()]) {
            let path = self.folder.path().join("store/blobs").join(digest.replace(':', "/"));
            assert_eq!(sha256(&fs::read(path).unwrap()), digest);
        }
    }
}

#[track_caller]
fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/windlass");
    assert!(path.is_file(), "{} is not there: run `make static`", path.display());
    path
}
