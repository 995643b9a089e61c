//! Adapters over [`Read`](std::io::Read) and [`Write`](std::io::Write), named for what they do to the bytes.

pub mod compression;
pub mod tar;
mod verify;

pub use verify::Verify;
