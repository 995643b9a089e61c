//! Adapters over [`Read`](std::io::Read), named for what they do to the bytes; and where a blob
//! that comes in pieces is put together in a file.

mod assembly;
mod hashing;
mod kernel;
pub(crate) mod ranges;
mod verify;

pub(crate) use assembly::Assembly;
pub use verify::Verify;
