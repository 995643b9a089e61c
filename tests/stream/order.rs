//! Where a tar begins, goes on and ends.

use std::io::{Cursor, Read};

use windlass::stream::tar::Reader;

use super::{list, names, read};
use crate::support::{Header, Tar};

fn is_ended(tar: &[u8]) -> bool {
    let (mut by_reading, mut by_seeking) = (Reader::new(tar), Reader::seeking(Cursor::new(tar)));
    while by_reading.next_member().unwrap().is_some() {
        by_seeking.next_member().unwrap().unwrap();
    }
    assert!(by_seeking.next_member().unwrap().is_none());
    assert_eq!(by_reading.is_ended(), by_seeking.is_ended());
    by_reading.is_ended()
}

#[test]
fn tar_ends_at_two_blocks_of_zeros_or_where_it_stops_between_members() {
    let tar = Tar::new().file("a", "hello").file("b", "");
    for (tar, expected) in [
        (tar.clone().end(), true),
        (tar.clone().cut(), false),
        (tar.clone().raw([0; 512]).cut(), false),
        (Tar::new().end(), true),
        (Vec::new(), false),
    ] {
        assert_eq!(is_ended(&tar), expected);
    }
    assert_eq!(names(&list(&tar.cut()).unwrap()), ["a", "b"]);
}

#[test]
fn what_follows_the_end_is_no_member_and_is_counted() {
    let tar = Tar::new().file("a", "hello");
    let after = Tar::new().file("b", "after").end();
    for tar in [tar.clone().raw([0; 512]).raw(&after).cut(), tar.raw([0; 1024]).raw(&after).cut()] {
        assert_eq!(names(&list(&tar).unwrap()), ["a"]);
        for mut reader in [Reader::new(Cursor::new(&tar)), Reader::seeking(Cursor::new(&tar))] {
            while reader.next_member().unwrap().is_some() {}
            assert_eq!(reader.finish().unwrap(), tar.len() as u64);
        }
    }
}

#[test]
fn everything_is_read_also_when_the_rest_of_the_members_is_not_wanted() {
    let tar = Tar::new().file("a", [1; 5000]).file("b", "hello").end();
    let mut reader = Reader::new(&tar[..]);
    reader.next_member().unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    assert_eq!(reader.finish().unwrap(), tar.len() as u64);
}

#[test]
fn the_size_of_a_pax_header_counts_before_the_members_own() {
    // What a reader of the smaller size takes for a member is content.
    let hidden = Tar::new().file("hidden", "").cut();
    let size = hidden.len().to_string();
    let own = Header::new("a", b'0').size(0);
    let tar = Tar::new().pax(&[("size", &size)]).header(&own).raw(&hidden).file("b", "").end();
    let members = read(&tar).unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(members[0].1, hidden);
    assert_eq!(members[1].0.path, b"b");
}

#[test]
fn the_size_of_a_pax_header_is_not_that_of_a_long_name() {
    let tar = Tar::new()
        .pax(&[("size", "5")])
        .long_name("name")
        .header(&Header::gnu("a", b'0'))
        .raw(b"hello")
        .raw([0; 507])
        .file("b", "")
        .end();
    let members = read(&tar).unwrap();
    assert_eq!((&members[0].0.path[..], &members[0].1[..]), (&b"name"[..], &b"hello"[..]));
    assert_eq!(members[1].0.path, b"b");
}
