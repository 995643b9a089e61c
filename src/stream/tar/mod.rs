//! Tars that others have made, read with bounds.
//!
//! Memory does not grow with what a header promises: a long name has 64 KiB, an extended header
//! 1 MiB and 1,024 records. Where other programs see different members in the same bytes the tar
//! is refused, or read as most of them read it:
//!
//! - The size of a PAX header counts before that of the member's own, and a name in it before the
//!   one that the member's header has. Two extended headers in a row, two long names, and a
//!   global header or nothing where the member should follow, are errors.
//! - Owner, group and time of a global PAX header hold for all members that follow, unless they
//!   say something else themselves, as POSIX has it. A name, link target, size or attribute for
//!   all members is refused.
//! - An empty value in a PAX header takes back what was said before it.
//! - Sparse files and types that are not known are refused.
//! - Links, devices, named pipes and folders have no content, whatever size they state.
//! - A file without a type is a folder if its name ends in a slash; one with the type of files is a
//!   file, as for Go and Python, and not a folder, as for GNU tar.
//! - A block of zeros ends the tar, also when it stands alone, as for GNU tar and Python.

mod block;
mod extended;
mod member;
mod number;
mod pax;
mod reader;
mod xattr;

pub use member::{Kind, Member, Time};
pub use reader::Reader;
