//! Images in one file: what any tool writes, read where it lies or from a pipe.
//!
//! Nothing that comes from an archive is trusted, and nothing of it is ever a path.

mod read;

pub use read::{Archive, Finding, Found, Image, Name, Problem, Report, check};
