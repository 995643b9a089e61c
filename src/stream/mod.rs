//! Adapters over [`Read`](std::io::Read) and [`Write`](std::io::Write), named for what they do to
//! the bytes; and where a blob that comes in pieces is put together in a file.

mod assembly;
pub mod compression;
mod hashing;
pub(crate) mod ranges;
pub mod tar;
mod verify;

pub(crate) use assembly::Assembly;
pub use verify::Verify;
