//! The binary as its users see it: stdout, stderr, exit codes.

mod ask;
mod broken;
mod carry;
mod copy;
mod delete;
mod errors;
mod help;
mod keep;
mod login;
mod lost;
mod odd;
mod places;
mod pull;
mod signals;
mod store;
mod story;
mod usage;
