//! Windlass beside the programs that people have: a real registry, nginx, skopeo and umoci.
//!
//! `tests/interop/install` installs them; one that is missing fails the tests that need it. Each
//! test starts its own servers on free ports of the loopback interface and ends them.
//!
//! Run by `cargo test --test interop`, not by `cargo test`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "writes configuration for servers that are not ours, and waits for them"
)]

mod credentials;
mod fixture;
mod nginx;
mod places;
mod proxied;
mod pull;
mod questions;
mod registry;
mod resume;
mod shared;
mod static_binary;
mod tls;
mod tool;
mod windlass;
