//! An import from a pipe that takes its time, and what others do meanwhile.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Carrier, Way};
use crate::support::archives;
use crate::support::{Image, ImageBuilder};

const NAME: &str = "h.io/a:1";

/// Two layers of which one is hashed on another thread, and the archive of them.
fn big() -> (Image, Vec<u8>) {
    let image = ImageBuilder::new().layer_random(1, 3 << 20).layer_random(2, 3 << 20).build();
    let archive = archives::skopeo_docker(&[(&image, &[NAME])]);
    (image, archive)
}

/// An import that has taken in the first layer and part of the second.
fn halfway(carrier: &Carrier, archive: &[u8]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.args(["import", "--no-sync", "-"]).env_clear();
    command.env("WINDLASS_STORE", carrier.windlass.store());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&archive[..archive.len() * 3 / 4]).unwrap();
    let start = Instant::now();
    while carrier.files().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "the first layer does not come");
        std::thread::yield_now();
    }
    child
}

#[test]
fn garbage_collection_spares_what_a_pipe_has_brought() {
    let (_, archive) = big();
    let carrier = Carrier::new();
    let mut child = halfway(&carrier, &archive);
    let before = carrier.files();
    carrier.windlass.run(&["gc", "--partials=0"]).success();
    assert_eq!(carrier.files(), before);
    child.stdin.take().unwrap().write_all(&archive[archive.len() * 3 / 4..]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    carrier.expect_whole();
    assert_eq!(carrier.names(), [NAME]);
}

#[test]
fn import_that_is_killed_leaves_nothing_that_is_named_or_stays() {
    let (_, archive) = big();
    let carrier = Carrier::new();
    let mut child = halfway(&carrier, &archive);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(carrier.names().is_empty());
    carrier.import(&archive, Way::Pipe, &[]).success();
    carrier.expect_whole();
    carrier.windlass.run(&["remove", NAME]).success();
    carrier.windlass.run(&["gc", "--partials=0"]).success();
    assert!(carrier.files().is_empty());
    let left = carrier.windlass.scratch.files("store/.windlass/tmp");
    assert!(left.is_empty(), "{left:?}");
}
