//! Writing. What an archive will hold is known before its first byte, so every member has its
//! place: blobs can be written at their offsets by several threads, or in order into a pipe.

mod contents;
mod documents;
mod file;
mod header;
mod new_file;
mod sequence;

pub use contents::{Contents, Image};
pub use file::FileWriter;
pub use new_file::{Leftover, NewFile};
