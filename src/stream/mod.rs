//! Adapters over [`Read`](std::io::Read), named for what they do to the bytes.

pub mod tar;
mod verify;

pub use verify::Verify;
