//! Images in one file. Written as one tar that every loader takes: an OCI image layout with docker's
//! `manifest.json` beside it. Read in any form that a tool writes, where it lies or from a pipe.
//!
//! Nothing that comes from an archive is trusted, and no name in it is ever a path.

mod read;
mod write;

pub use read::{Archive, Finding, Found, Listed, Name, Problem, Report, check};
pub use write::{Contents, FileWriter, Image, Leftover, NewFile};
