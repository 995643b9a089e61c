use tar::{EntryType, Header};

/// Tar counts in blocks of so many bytes.
pub(super) const BLOCK: u64 = 512;

/// What ends an archive: two empty blocks.
pub(super) const END: [u8; 1024] = [0; 1024];

/// Most bytes of a name in a header of its own.
const NAME_LIMIT: usize = 100;

/// The header of a file or, if the path ends in `/`, of a folder: the same for the same path and
/// size on any day, and nobody's.
pub(super) fn header(path: &str, size: u64) -> Vec<u8> {
    let is_folder = path.ends_with('/');
    let (mode, kind) =
        if is_folder { (0o755, EntryType::Directory) } else { (0o644, EntryType::Regular) };
    let mut bytes = Vec::new();
    if path.len() > NAME_LIMIT {
        // The name as it is and a zero, as the content of a member before.
        let size = u64::try_from(path.len()).unwrap_or(u64::MAX) + 1;
        bytes.extend(one("././@LongLink", size, 0o644, EntryType::GNULongName));
        bytes.extend(path.as_bytes());
        bytes.resize(bytes.len() + 1, 0);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend(one(path, size, mode, kind));
    bytes
}

fn one(path: &str, size: u64, mode: u32, kind: EntryType) -> [u8; 512] {
    let mut header = Header::new_gnu();
    let name = &path.as_bytes()[..path.len().min(NAME_LIMIT)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    *header.as_bytes()
}

/// What must follow on `size` bytes of content, so that the next header begins on a block.
pub(super) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, size: u64) {
        let bytes = header(path, size);
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path_bytes(), path.as_bytes());
        assert_eq!(entry.header().size().unwrap(), size);
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(header.mtime().unwrap(), 0);
    }

    #[test]
    fn header_holds_every_path_and_size() {
        check("oci-layout", 30);
        check("blobs/", 0);
        check(&format!("blobs/sha256/{}", "a".repeat(64)), (1 << 33) - 1);
        check(&format!("blobs/sha256/{}", "a".repeat(64)), 1 << 33);
        check(&format!("blobs/sha512/{}", "a".repeat(128)), u64::MAX >> 1);
    }

    #[test]
    fn padding_fills_the_last_block() {
        for (size, expected) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(size), expected);
        }
    }
}
