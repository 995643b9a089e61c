//! The faults really happen on the wire.

use super::client::{Client, Ending, Seen};
use super::*;

const BLOB: &str =
    "/v2/box/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn box_with_hello() -> Registry {
    let registry = Registry::start();
    assert!(BLOB.ends_with(&registry.put_blob("box", "hello")));
    registry
}

fn get(registry: &Registry, path: &str) -> Seen {
    Client::connect(registry.address()).get(path)
}

#[test]
fn rules_cut_the_body_where_they_say() {
    for bytes in [0, 1, 4, 5] {
        for (fault, ending) in
            [(Fault::CutFin(bytes), Ending::Fin), (Fault::CutRst(bytes), Ending::Rst)]
        {
            let registry = box_with_hello();
            registry.fail_once(BLOB, fault);
            let seen = get(&registry, BLOB);
            assert_eq!(seen.body, &b"hello"[..usize::try_from(bytes).unwrap()]);
            assert!(bytes == 5 || seen.ending == ending);
            assert_eq!(get(&registry, BLOB).body, b"hello", "only once");
        }
    }
}
