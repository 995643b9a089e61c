//! Tars that end too early.

use windlass::error::ErrorKind;

use super::{list, read};
use crate::support::{Header, Tar};

/// Where the tar may end: after these offsets everything there is has been understood.
fn tar() -> (Vec<u8>, Vec<usize>) {
    let members: [fn(Tar) -> Tar; 6] = [
        |tar| tar.file("etc/a", [1; 700]),
        |tar| tar.long_name("etc/b").long_link("c").header(&Header::gnu("b", b'2')),
        |tar| tar.pax(&[("path", "etc/c"), ("mtime", "1.5")]).file("c", "hello"),
        |tar| tar.folder("etc/d/"),
        |tar| tar.global(&[("comment", "x")]).file("etc/e", [2; 512]),
        |tar| tar.raw([0; 1024]),
    ];
    let mut tar = Tar::new();
    let mut ends = vec![0];
    for member in members {
        tar = member(tar);
        ends.push(tar.clone().cut().len());
    }
    let end = ends[5];
    // A global header is about no member in particular, and one block of zeros is an end.
    ends.push(ends[4] + 1024);
    ends.extend(end + 512..end + 1024);
    (tar.cut(), ends)
}

#[test]
fn a_cut_anywhere_else_than_between_members_is_an_error_that_says_where() {
    let (tar, ends) = tar();
    let whole = read(&tar).unwrap();
    // Around every block, and in the middle of it.
    for len in (0..=tar.len()).filter(|len| matches!(len % 512, 0 | 1 | 148 | 511)) {
        let cut = &tar[..len];
        if ends.contains(&len) {
            let members = read(cut).unwrap();
            assert_eq!(members, whole[..members.len()]);
            assert_eq!(list(cut).unwrap().len(), members.len());
            continue;
        }
        for error in [read(cut).unwrap_err(), list(cut).unwrap_err()] {
            assert!(matches!(error.kind(), ErrorKind::Content(_)), "{len}: {error}");
            let text = error.to_string();
            let says = text.contains("the archive ends") || text.contains("no member follows");
            assert!(says && text.contains("at offset"), "{len}: {text}");
        }
    }
}

#[test]
fn a_cut_in_a_members_content_names_it() {
    let (tar, _) = tar();
    for len in [513, 1024, 1100, 1535] {
        for error in [read(&tar[..len]).unwrap_err(), list(&tar[..len]).unwrap_err()] {
            let text = error.to_string();
            assert!(
                text.starts_with("reading member `etc/a` at offset 0: the archive ends"),
                "{text}"
            );
        }
    }
}
