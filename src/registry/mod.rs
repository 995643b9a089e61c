//! A client of the [distribution-spec][spec]: one function, one request.
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md

mod challenge;
mod host;
mod message;
mod secret;
mod url;

pub use secret::Secret;
