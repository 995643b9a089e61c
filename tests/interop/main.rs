//! Windlass beside the programs that people have: a real registry, nginx, skopeo, umoci, and
//! who loads archives: docker, podman and containerd.
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

mod archive;
mod credentials;
mod fixture;
mod import;
mod loaders;
mod nginx;
mod places;
mod proxied;
mod pull;
mod questions;
mod registry;
mod resume;
mod shared;
mod static_binary;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "little of it is needed beside real programs")]
mod support;
mod tars;
mod tls;
mod tool;
mod windlass;
