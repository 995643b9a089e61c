//! Tars that mean harm, or that programs understand in different ways.

use super::refused;
use crate::support::{Header, Tar};

#[test]
fn checksum_must_match() {
    let mut tar = Tar::new().file("a", "hello").file("b", "").end();
    tar[1024] = b'c';
    refused(&tar, "reading the header at offset 1024, after member `a`: its checksum is wrong");
    refused(&[b'x'; 512], "reading the header at offset 0: its checksum is wrong");
    let none = Header::new("a", b'0').field(Header::CHECKSUM, b"").bytes();
    let mut none = none.to_vec();
    none[148..156].fill(0);
    refused(&none, "reading the header at offset 0: its checksum is wrong");
}

#[test]
fn names_in_errors_move_no_terminal() {
    let header = Header::new("\x1b]0;x\x07\u{202e}", b'0').field(Header::UID, b"x");
    refused(
        &Tar::new().header(&header).end(),
        r"reading member `\x1b]0;x\x07\u{202e}` at offset 0: malformed owner",
    );
}

#[test]
fn numbers_that_are_none_are_refused_and_named() {
    for (field, what) in [
        (Header::MODE, "mode"),
        (Header::UID, "owner"),
        (Header::GID, "group"),
        (Header::SIZE, "size"),
        (Header::MTIME, "time"),
        (Header::MAJOR, "device number"),
        (Header::MINOR, "device number"),
    ] {
        for value in [&b"9"[..], b"0x1", b"\x00000001", b"\x81\0\0\0\0\0\0\x01"] {
            let header = Header::new("dev/a", b'3').field(field.clone(), value);
            let tar = Tar::new().file("x", "").header(&header).end();
            refused(&tar, &format!("reading member `dev/a` at offset 512: malformed {what}"));
        }
    }
    for field in [Header::MODE, Header::UID, Header::GID, Header::SIZE] {
        let negative = Header::new("a", b'0').number(field, -1);
        assert!(super::read(&Tar::new().header(&negative).end()).is_err());
    }
}

#[test]
fn sizes_beyond_all_files_are_refused() {
    let max = i64::MAX as u64;
    for size in [max, max - 511, max - 1024] {
        let tar = Tar::new().file("b", "").header(&Header::new("a", b'0').size(size)).end();
        let what =
            format!("reading member `a` at offset 512: {size} bytes are more than any file has");
        refused(&tar, &what);
    }
    for size in [max + 1, u64::MAX] {
        let tar = Tar::new().header(&Header::new("a", b'0').size(size)).end();
        refused(&tar, "reading member `a` at offset 0: malformed size");
    }
}

#[test]
fn terabytes_that_are_not_there_are_truncation() {
    let tar = Tar::new().header(&Header::new("a", b'0').size(1 << 42)).end();
    for error in [super::read(&tar).unwrap_err(), super::list(&tar).unwrap_err()] {
        let text = error.to_string();
        assert!(text.starts_with("reading member `a` at offset 0: the archive ends"), "{text}");
    }
}

#[test]
fn sparse_files_are_refused() {
    let gnu = Tar::new().member(&Header::gnu("a", b'S'), "hello").end();
    refused(&gnu, "reading member `a` at offset 0: a sparse file");
    for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.realsize", "GNU.sparse.name"] {
        let pax = Tar::new().file("b", "").pax(&[(key, "1")]).file("a", "hello").end();
        refused(&pax, "reading the extended header at offset 512: a sparse file");
        let global = Tar::new().global(&[(key, "1")]).file("a", "hello").end();
        refused(&global, "reading the extended header at offset 0: a sparse file");
    }
}

#[test]
fn types_that_are_not_known_are_refused() {
    for type_flag in [b'A', b'D', b'M', b'N', b'V', b'X', b'8', b'9', 0xff] {
        let tar = Tar::new().member(&Header::new("a", type_flag), "hello").end();
        refused(&tar, "reading member `a` at offset 0: a type of member that is not known");
    }
}

#[test]
fn folders_with_content_that_others_read_as_files_are_refused() {
    for header in [Header::old("a/", 0), Header::new("a/", 0)] {
        let tar = Tar::new().member(&header, "hello").end();
        refused(&tar, "reading member `a/` at offset 0: a folder with content");
    }
}

#[test]
fn headers_that_say_something_twice_are_refused() {
    let at = "reading the extended header at offset";
    let twice = Tar::new().pax(&[("uid", "1")]).pax(&[("gid", "1")]).file("a", "").end();
    refused(&twice, &format!("{at} 1024: a second one in a row"));
    let names = Tar::new().long_name("b").long_name("c").file("a", "").end();
    refused(&names, &format!("{at} 1024: a second long name"));
    let links = Tar::new().long_link("b").long_link("c").symbolic_link("a", "").end();
    refused(&links, &format!("{at} 1024: a second long name"));
    let both = Tar::new().long_name("b").pax(&[("path", "c")]).file("a", "").end();
    refused(&both, "reading member `c` at offset 2048: it has two long names");
    let both = Tar::new().pax(&[("linkpath", "c")]).long_link("b").symbolic_link("a", "").end();
    refused(&both, "reading member `a` at offset 2048: it has two long link targets");
}

#[test]
fn global_headers_between_others_and_their_member_are_refused() {
    for tar in
        [Tar::new().pax(&[("uid", "1")]), Tar::new().long_name("a"), Tar::new().long_link("a")]
    {
        let tar = tar.global(&[("gid", "1")]).file("a", "").end();
        let what = "it stands between another and its member";
        refused(&tar, &format!("reading the extended header at offset 1024: {what}"));
    }
}

#[test]
fn headers_about_no_member_are_refused() {
    for tar in
        [Tar::new().pax(&[("uid", "1")]), Tar::new().long_name("a"), Tar::new().long_link("a")]
    {
        for end in [tar.clone().end(), tar.cut()] {
            let what = "reading the header at offset 1024: no member follows an extended header";
            refused(&end, what);
        }
    }
}

#[test]
fn long_names_that_say_nothing_are_refused() {
    let what = "reading the extended header at offset 0: an empty long name";
    for tar in [Tar::new().long_name(""), Tar::new().long_name("\0a"), Tar::new().long_link("")] {
        refused(&tar.file("a", "").end(), what);
    }
    refused(&Tar::new().header(&Header::gnu("a", b'L')).file("a", "").end(), what);
}

#[test]
fn names_and_sizes_for_all_members_are_refused() {
    for key in ["path", "linkpath", "size", "SCHILY.xattr.user.a"] {
        let tar = Tar::new().file("b", "").global(&[(key, "1")]).file("a", "").end();
        let what =
            "reading the extended header at offset 512: a name, size or attribute for all members";
        refused(&tar, what);
    }
}

#[test]
fn malformed_pax_headers_are_refused() {
    let header = Header::new("PaxHeaders/a", b'x');
    for records in [&b"hello"[..], b"9 uid=1\n", b"7 uid=1\n", b"12 uid=1\n1 a\n", b"8 uid=1\n\0"] {
        let tar = Tar::new().member(&header, records).file("a", "").end();
        let error = super::read(&tar).unwrap_err().to_string();
        let what = "reading the extended header at offset 0: malformed record";
        assert!(error.starts_with(what), "{error}");
    }
    for (key, value) in
        [("size", "-1"), ("size", "1e3"), ("uid", "0x1"), ("mtime", "now"), ("path", "a\0b")]
    {
        let tar = Tar::new().pax(&[(key, value)]).file("a", "").end();
        refused(&tar, &format!("reading the extended header at offset 0: malformed `{key}`"));
    }
}
