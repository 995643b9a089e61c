//! The suite.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod architecture;
mod archive;
mod cli;
mod faults;
mod registry;
mod store;
#[expect(dead_code, reason = "not every test needs everything")]
mod support;
mod threats;
mod transfer;
