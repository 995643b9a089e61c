//! That the support is as it says: the other side of every test must not be guesswork.

mod faults;
mod gate;
mod harness;
mod push;
