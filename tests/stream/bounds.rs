//! Headers that promise gigabytes, and how much is read and kept for them.

use std::cell::Cell;
use std::io::{self, Read};

use windlass::stream::tar::Reader;

use crate::support::{Header, Tar};

/// Gives a head and then no end of one byte, and counts.
struct Endless<'a> {
    head: &'a [u8],
    read: &'a Cell<usize>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = match self.head.read(buf)? {
            0 => {
                buf.fill(b'a');
                buf.len()
            }
            len => len,
        };
        self.read.set(self.read.get() + len);
        Ok(len)
    }
}

/// The error of a tar with that header and content without end, and how much of it was read.
fn endless(header: &Header) -> (String, usize) {
    let head = Tar::new().file("first", "hello").header(header).cut();
    let read = Cell::new(0);
    let mut reader = Reader::new(Endless { head: &head, read: &read });
    reader.next_member().unwrap();
    let error = reader.next_member().unwrap_err();
    (error.to_string(), read.get())
}

const LIMITS: [(u8, u64); 4] = [(b'L', 1 << 16), (b'K', 1 << 16), (b'x', 1 << 20), (b'g', 1 << 20)];

#[test]
fn headers_that_promise_a_gigabyte_are_refused_unread() {
    for (type_flag, limit) in LIMITS {
        for size in [limit + 1, 1 << 30, 1 << 62] {
            let (error, read) = endless(&Header::gnu("x", type_flag).size(size));
            assert_eq!(
                error,
                format!(
                    "reading the extended header at offset 1024: expected at most {limit} bytes, got {size}"
                )
            );
            assert_eq!(read, 1536);
        }
    }
}

#[test]
fn headers_at_the_limit_are_read_and_no_further() {
    for (type_flag, limit) in LIMITS {
        let (_, read) = endless(&Header::gnu("x", type_flag).size(limit));
        let limit = usize::try_from(limit).unwrap();
        assert!(read <= 1536 + limit + 512, "{read}");
    }
    let name = "n".repeat((1 << 16) - 1);
    let member = super::only(&Tar::new().long_name(&name).file("a", "").end());
    assert_eq!(member.path, name.into_bytes());
}

#[test]
fn pax_headers_have_1024_records_at_the_most() {
    let records = vec![("comment", "x"); 1025];
    super::only(&Tar::new().pax(&records[1..]).file("a", "").end());
    super::refused(
        &Tar::new().pax(&records).file("a", "").end(),
        "reading the extended header at offset 0: more than 1024 records",
    );
}
