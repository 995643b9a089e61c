//! What tests stand on: a registry with faults, images made in code, and a way to run the binary.
//!
//! Nothing in here knows the library: it is the other side.

pub(crate) mod archives;
pub(crate) mod client;
pub(crate) mod content;
pub(crate) mod image;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod random_tar;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod scratch;
mod selftest;
pub(crate) mod tar;
pub(crate) mod tls;

pub(crate) use self::content::Content;
pub(crate) use self::image::{Image, ImageBuilder, IndexBuilder};
pub(crate) use self::proxy::Proxy;
pub(crate) use self::registry::{Auth, Bearer, Fault, Location, Push, Registry, Request, Rule};
pub(crate) use self::run::{Output, Run, Running, Windlass};
pub(crate) use self::scratch::Scratch;
pub(crate) use self::tar::{Header, Tar};
pub(crate) use self::tls::Tls;
