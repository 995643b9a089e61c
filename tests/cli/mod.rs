//! The binary as its users see it: stdout, stderr, exit codes.

mod ask;
mod broken;
mod carry;
mod copy;
mod errors;
mod help;
mod keep;
mod lost;
mod places;
mod pull;
mod signals;
mod store;
mod story;
mod usage;
