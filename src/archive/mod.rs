//! Images in one tar file, which every loader takes: an OCI image layout with docker's
//! `manifest.json` beside it.

mod write;

pub use write::{Contents, FileWriter, Image, Leftover, NewFile};
