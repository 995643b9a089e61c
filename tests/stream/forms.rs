//! What tools write.

use windlass::stream::tar::Time;

use super::{Kind, names, only, read};
use crate::support::{Header, Tar};

fn long(length: usize) -> String {
    "folder/abc".repeat(length / 10 + 1)[..length].to_owned()
}

#[test]
fn every_kind_is_read_from_every_form() {
    let forms = [Header::new("x", b'0'), Header::gnu("x", b'0'), Header::old("x", b'0')];
    for form in forms {
        for (type_flag, kind) in [
            (0, Kind::File),
            (b'0', Kind::File),
            (b'7', Kind::File),
            (b'1', Kind::HardLink),
            (b'2', Kind::SymbolicLink),
            (b'3', Kind::CharacterDevice),
            (b'4', Kind::BlockDevice),
            (b'5', Kind::Folder),
            (b'6', Kind::Fifo),
        ] {
            let header = form.clone().field(Header::TYPE, [type_flag]).device(8, 1).link("target");
            let member = only(&Tar::new().header(&header).end());
            assert_eq!(member.kind, kind);
            let is_link = matches!(kind, Kind::HardLink | Kind::SymbolicLink);
            assert_eq!(member.link, if is_link { &b"target"[..] } else { b"" });
            let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
            let has_device = is_device && form.bytes()[Header::MAGIC] != [0; 8];
            assert_eq!(member.device, if has_device { (8, 1) } else { (0, 0) });
        }
    }
}

#[test]
fn files_without_a_type_are_folders_if_their_names_end_in_a_slash() {
    for header in [Header::old("a/", 0), Header::new("a/", 0), Header::gnu("a/", 0)] {
        assert_eq!(only(&Tar::new().header(&header).end()).kind, Kind::Folder);
    }
    let long = Tar::new().long_name("a/").header(&Header::gnu("a", 0)).end();
    assert_eq!(only(&long).kind, Kind::Folder);
    for type_flag in [b'0', b'7'] {
        assert_eq!(only(&Tar::new().header(&Header::new("a/", type_flag)).end()).kind, Kind::File);
    }
}

#[test]
fn names_of_the_header_end_at_a_nul_or_at_the_end_of_the_field() {
    let full = long(100);
    let member = only(&Tar::new().header(&Header::new(&full, b'2').link(&full)).end());
    assert_eq!((member.path, member.link), (full.clone().into_bytes(), full.into_bytes()));
    let junk = Header::new("name\0junk", b'2').link("link\0junk");
    let member = only(&Tar::new().header(&junk).end());
    assert_eq!((&member.path[..], &member.link[..]), (&b"name"[..], &b"link"[..]));
}

#[test]
fn only_posix_headers_have_a_prefix() {
    let (prefix, name) = (long(155), long(100));
    let posix = Header::new(&name, b'0').prefix(&prefix);
    let member = only(&Tar::new().header(&posix).end());
    assert_eq!(member.path, format!("{prefix}/{name}").into_bytes());
    for other in [Header::gnu("name", b'0'), Header::old("name", b'0')] {
        // Where GNU has times, when it is told to keep them.
        let member = only(&Tar::new().header(&other.prefix("14733216044")).end());
        assert_eq!(member.path, b"name");
    }
}

#[test]
fn long_names_of_gnu_are_taken_in_any_order() {
    let (name, link) = (long(5000), long(3000));
    let header = Header::gnu(&name[..100], b'2').link(&link[..100]);
    let tars = [
        Tar::new().long_name(&name).long_link(&link),
        Tar::new().long_link(&link).long_name(&name),
    ];
    for tar in tars {
        let member = only(&tar.header(&header).end());
        assert_eq!((member.path, member.link), (name.clone().into(), link.clone().into()));
    }
}

#[test]
fn pax_headers_say_everything_about_the_next_member_and_nothing_about_others() {
    let name = long(5000);
    let records = [
        ("path", &name[..]),
        ("size", "5"),
        ("uid", "3000000000"),
        ("gid", "3000000001"),
        ("mtime", "1700000000.25"),
        ("atime", "1"),
        ("ctime", "1"),
        ("uname", "me"),
        ("SCHILY.xattr.user.b", "2"),
        ("SCHILY.xattr.user.a", "1"),
        ("comment", "hello"),
    ];
    let own = Header::new("own", b'0').uid(1).gid(2).mtime(3).size(0);
    let tar = Tar::new().pax(&records).header(&own).raw(b"hello").raw([0; 507]);
    let tar = tar.member(&own, b"other").end();
    let members = read(&tar).unwrap();
    let (first, content) = &members[0];
    assert_eq!(content, b"hello");
    assert_eq!(first.path, name.into_bytes());
    assert_eq!((first.uid, first.gid), (3_000_000_000, 3_000_000_001));
    assert_eq!(first.mtime, Time { seconds: 1_700_000_000, nanos: 250_000_000 });
    let xattr = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    assert_eq!(first.xattrs, [xattr("user.b", "2"), xattr("user.a", "1")]);
    let (second, content) = &members[1];
    assert_eq!(content, b"other");
    assert_eq!((&second.path[..], second.uid, second.gid), (&b"own"[..], 1, 2));
    assert_eq!((second.mtime.seconds, second.xattrs.len()), (3, 0));
}

#[test]
fn pax_headers_and_gnu_names_go_together() {
    let (name, link) = (long(300), long(200));
    for tar in [
        Tar::new().pax(&[("mtime", "7"), ("linkpath", &link)]).long_name(&name),
        Tar::new().long_name(&name).pax(&[("mtime", "7"), ("linkpath", &link)]),
    ] {
        let member = only(&tar.header(&Header::gnu("short", b'2')).end());
        assert_eq!((member.path, member.link), (name.clone().into(), link.clone().into()));
        assert_eq!(member.mtime.seconds, 7);
    }
}

#[test]
fn global_headers_hold_for_all_that_say_nothing_else() {
    let tar = Tar::new()
        .file("before", "")
        .global(&[("uid", "7"), ("gid", "8"), ("mtime", "9.5"), ("comment", "of git")])
        .file("global", "")
        .pax(&[("uid", "1")])
        .file("own", "")
        .pax(&[("uid", "")])
        .file("taken-back", "")
        .global(&[("gid", ""), ("mtime", "10")])
        .file("changed", "")
        .end();
    let members = read(&tar).unwrap();
    let seen: Vec<_> =
        members.iter().map(|(member, _)| (member.uid, member.gid, member.mtime.seconds)).collect();
    assert_eq!(seen, [(0, 0, 0), (7, 8, 9), (1, 8, 9), (0, 8, 9), (7, 0, 10)]);
}

#[test]
fn numbers_may_be_in_base_256() {
    let header = Header::gnu("a", b'0').uid(4_294_967_294).gid(1 << 40).mtime(-5);
    let member = only(&Tar::new().header(&header).end());
    assert_eq!((member.uid, member.gid, member.mtime.seconds), (4_294_967_294, 1 << 40, -5));
    let size = Header::gnu("a", b'0').field(Header::SIZE, b"\x80\0\0\0\0\0\0\0\0\0\0\x05");
    let member = only(&Tar::new().header(&size).raw(b"hello").raw([0; 507]).end());
    assert_eq!(member.size, 5);
}

#[test]
fn modes_are_permissions_only() {
    let member = only(&Tar::new().header(&Header::new("a", b'0').mode(0o104_755)).end());
    assert_eq!(member.mode, 0o4755);
}

#[test]
fn the_oldest_form_has_no_device_numbers() {
    let header = Header::old("a", b'3').device(8, 1);
    assert_eq!(only(&Tar::new().header(&header).end()).device, (0, 0));
}

#[test]
fn checksums_of_signed_bytes_are_accepted() {
    let mut header = Header::old("n\u{e9}", b'0').bytes();
    header[Header::CHECKSUM].fill(b' ');
    let sum: i32 = header.iter().map(|&byte| i32::from(byte.cast_signed())).sum();
    header[Header::CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let member = only(&Tar::new().raw(header).end());
    assert_eq!(member.path, "n\u{e9}".as_bytes());
}

#[test]
fn links_folders_and_devices_have_no_content_whatever_they_state() {
    for type_flag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let header = Header::new("a", type_flag).size(1 << 40);
        let by_pax = Tar::new().pax(&[("size", "512")]).header(&Header::new("a", type_flag));
        for tar in [Tar::new().header(&header), by_pax] {
            let members = super::list(&tar.file("b", "hello").end()).unwrap();
            assert_eq!(names(&members), ["a", "b"]);
            assert_eq!((members[0].size, members[1].size), (0, 5));
        }
    }
}
