//! Adapters over [`Read`](std::io::Read), named for what they do to the bytes.

mod verify;

pub use verify::Verify;
