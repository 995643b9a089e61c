use std::path::{Path, PathBuf};

use crate::support::Windlass;

const COMMANDS: [&str; 14] = [
    "pull", "copy", "export", "import", "list", "inspect", "tag", "remove", "gc", "df", "verify",
    "digest", "manifest", "tags",
];

/// Whether `make golden` runs this, which writes what others compare.
#[expect(clippy::disallowed_methods, reason = "how a developer says that a change is meant")]
fn rewrites() -> bool {
    std::env::var_os("WINDLASS_GOLDEN").is_some_and(|value| value == "rewrite")
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "git has the text that it overwrites")]
fn check(args: &[&str], name: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/help").join(name);
    let shown = Windlass::new().run(args).success().stdout();
    if rewrites() {
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, expected, "{name} differs; if that is meant: make golden");
}

#[test]
fn help_texts_are_as_agreed() {
    check(&["--help"], "windlass.txt");
    for command in COMMANDS {
        check(&[command, "--help"], &format!("{command}.txt"));
    }
}

#[test]
fn help_is_found_wherever_it_is_sought() {
    let windlass = Windlass::new();
    let overview = windlass.run(&["--help"]).success().stdout();
    windlass.run(&["help"]).success().prints(&overview);
    windlass.run(&["-h"]).success().prints(&overview);
    let pull = windlass.run(&["pull", "--help"]).success().stdout();
    windlass.run(&["help", "pull"]).success().prints(&pull);
    windlass.run(&["-h", "--store", "x", "pull"]).success().prints(&pull);
    windlass.run(&["pull", "a", "-qh"]).success().prints(&pull);
    let nothing: [&str; 0] = [];
    let output = windlass.run(&nothing).exits(2).prints("");
    assert_eq!(output.stderr, overview);
}

#[test]
fn version_is_one_line() {
    let version = concat!("windlass ", env!("CARGO_PKG_VERSION"), "\n");
    Windlass::new().run(&["--version"]).success().prints(version);
    Windlass::new().run(&["pull", "--version"]).success().prints(version);
}
