//! The client of registries, driven as a library against a registry with faults.

mod blobs;
mod hops;
mod login;
mod manifests;
mod tags;
mod tls;

use std::io::Read;
use std::time::Duration;

use windlass::error::{Error, ErrorKind, Fault as NetworkFault, Result};
use windlass::image::{Descriptor, MediaType};
use windlass::reference::Reference;
use windlass::registry::{Options, Registry as Client, Remote};

use crate::support::{Content, Registry};

/// The repository `box` at `registry`, with a stall timeout that tests can wait for.
fn remote(registry: &Registry) -> Remote {
    remote_with(registry, |_| {})
}

fn remote_with(registry: &Registry, change: impl FnOnce(&mut Options)) -> Remote {
    client_with(registry, change).repository(name(registry, "box:1").repository())
}

fn client_with(registry: &Registry, change: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options { stall_timeout: Duration::from_millis(300), ..Options::default() };
    change(&mut options);
    Client::new(&registry.host(), options).unwrap()
}

fn name(registry: &Registry, rest: &str) -> Reference {
    registry.name(rest).parse().unwrap()
}

/// A blob in the repository `box`.
fn blob(registry: &Registry, size: u64) -> (Descriptor, Vec<u8>) {
    let content = Content::random(size, size);
    let digest = registry.put_blob("box", content.clone());
    let media_type = MediaType::new("application/octet-stream");
    (Descriptor::new(media_type, digest.parse().unwrap(), size), content.to_vec())
}

fn read_all(opened: Result<Box<dyn Read + Send>>) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    opened?.read_to_end(&mut content)?;
    Ok(content)
}

#[track_caller]
fn network<T>(outcome: Result<T>, expected: NetworkFault) -> Error {
    let error = outcome.err().unwrap();
    let matches = matches!(error.kind(), ErrorKind::Network { fault, .. } if *fault == expected);
    assert!(matches, "{error:?}");
    error
}

/// The error has a kind of this form.
macro_rules! assert_kind {
    ($outcome:expr, $kind:pat) => {
        match $outcome {
            Err(error) => assert!(matches!(error.kind(), $kind), "{error:?}"),
            Ok(_) => panic!("expected an error"),
        }
    };
}
use assert_kind;
