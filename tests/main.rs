//! The suite.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod architecture;
mod archive;
mod cli;
mod faults;
mod fuzz;
mod import;
mod registry;
mod store;
mod stream;
#[expect(dead_code, reason = "not every test needs everything")]
mod support;
mod threats;
mod transfer;
