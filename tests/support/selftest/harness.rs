//! What a run of the binary shows.

use std::time::Duration;

use crate::support::*;

#[test]
fn run_has_a_home_and_a_store_of_its_own() {
    let windlass = Windlass::new();
    let output = windlass.run(&["--version"]);
    assert!(output.took < Duration::from_secs(30));
    assert!(windlass.store().starts_with(windlass.scratch.path()));
}

#[test]
fn scratch_lists_files_below_a_folder() {
    let scratch = Scratch::new();
    scratch.write("a/b/c", "1");
    scratch.write("a/d", "2");
    assert_eq!(scratch.files("a"), ["b/c", "d"]);
    let path = scratch.path().to_owned();
    drop(scratch);
    assert!(!path.exists());
}

#[test]
#[should_panic(expected = "expected status 77")]
fn wrong_claims_show_everything() {
    Windlass::new().run(&["--version"]).exits(77);
}
