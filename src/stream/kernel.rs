use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How many bytes are copied at a time where the kernel does not.
const BUFFER: usize = 64 * 1024;

/// Copies `len` bytes from one file, at an offset, to another, and says how many there were: fewer
/// if the first one ends before. The kernel copies, by reference where the file system can; where
/// it refuses, they are read and written.
pub(super) fn copy(from: (&File, u64), to: (&File, u64), len: u64) -> io::Result<u64> {
    let ((from, mut from_at), (to, mut to_at)) = (from, to);
    let mut left = len;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX);
        // It moves the offsets on by what it has copied. Whatever is the matter, reading and
        // writing says it better.
        match rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), part) {
            Ok(0) | Err(_) => break,
            Ok(copied) => left = left.saturating_sub(u64::try_from(copied).unwrap_or(u64::MAX)),
        }
    }
    let mut buffer = Vec::new();
    while left > 0 {
        buffer.resize(BUFFER, 0);
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
        let read = from.read_at(&mut buffer[..part], from_at)?;
        if read == 0 {
            break;
        }
        to.write_all_at(&buffer[..read], to_at)?;
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        (from_at, to_at, left) = (from_at + read, to_at + read, left - read);
    }
    Ok(len - left)
}
