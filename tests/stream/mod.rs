//! What is read in passing: tars and what they are compressed with.

mod bounds;
mod cuts;
mod forms;
mod hostile;
mod order;

use std::io::{Cursor, Read};

use windlass::error::{ErrorKind, Result};
use windlass::stream::tar::{Kind, Member, Reader};

/// All members with their contents, read in one pass.
fn read(tar: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
    let mut reader = Reader::new(tar);
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, member.size);
        members.push((member, content));
    }
    reader.finish()?;
    Ok(members)
}

/// All members, without their contents, of a file.
fn list(tar: &[u8]) -> Result<Vec<Member>> {
    let mut reader = Reader::seeking(Cursor::new(tar));
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        members.push(member);
    }
    reader.finish()?;
    Ok(members)
}

/// The only member, whichever way it is read.
#[track_caller]
fn only(tar: &[u8]) -> Member {
    let mut members = read(tar).unwrap();
    assert_eq!(members.len(), 1);
    let (member, content) = members.remove(0);
    assert_eq!(list(tar).unwrap(), std::slice::from_ref(&member));
    let offset = usize::try_from(member.offset).unwrap();
    assert_eq!(tar[offset..offset + content.len()], content);
    member
}

/// That it is refused as wrong content, whichever way it is read, with that error.
#[track_caller]
fn refused(tar: &[u8], expected: &str) {
    let errors = [read(tar).unwrap_err(), list(tar).unwrap_err()];
    for error in errors {
        assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error}");
        assert_eq!(error.to_string(), expected);
    }
}

fn names(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| std::str::from_utf8(&member.path).unwrap()).collect()
}
