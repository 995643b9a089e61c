//! A client of the [distribution-spec][spec]: one function, one request.
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md

mod authority;
mod challenge;
mod credentials;
mod host;
mod message;
mod problem;
mod proxy;
mod secret;
mod token;
mod url;

pub use credentials::{Credential, Credentials};
pub use proxy::Proxies;
pub use secret::Secret;
