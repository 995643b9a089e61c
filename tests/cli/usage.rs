use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Image, Registry, Windlass};

/// Exit 2, nothing on stdout, one line that begins so, and what helps.
#[track_caller]
fn refuse(args: &[&str], message: &str) {
    let output = Windlass::new().run(args).exits(2).prints("");
    let mut lines = output.stderr.lines();
    let (first, second) = (lines.next().unwrap(), lines.next().unwrap_or_default());
    assert!(first.starts_with(&format!("windlass: {message}")), "{output}");
    assert!(second.starts_with("help: ") && lines.next().is_none(), "{output}");
}

#[test]
fn wrong_usage_is_told_in_one_line_with_help() {
    refuse(&["frobnicate"], "unknown command `frobnicate`");
    refuse(&["send", "a"], "unknown command `send`");
    refuse(&["pull"], "expected an image, got none");
    refuse(&["pull", "Alpine"], "invalid image name `Alpine`: expected");
    refuse(&["pull", "a", "--frob"], "unknown option --frob");
    refuse(&["pull", "a", "--jobs"], "--jobs needs a value");
    for jobs in ["0", "-1", "65", "abc", "", "1.5", "99999999999999999999"] {
        refuse(&["pull", "a", "--jobs", jobs], &format!("--jobs: invalid value `{jobs}`"));
    }
    refuse(&["pull", "a", "-j", "0"], "--jobs: invalid value `0`");
    refuse(&["pull", "a", "--retries=0"], "--retries: invalid value `0`");
    refuse(&["pull", "a", "--retry-max-wait=x"], "--retry-max-wait: invalid value `x`");
    refuse(&["pull", "a", "--stall-timeout=0"], "--stall-timeout: expected more");
    refuse(&["pull", "a", "--progress=bar"], "--progress: invalid value `bar`");
    refuse(&["pull", "a", "--platform", "linux"], "--platform: invalid platform `linux`");
    refuse(
        &["pull", "a", "--platform", "linux/arm64", "--all-platforms"],
        "--platform and --all-platforms exclude each other",
    );
    refuse(&["pull", "a", "--cert-file", "x"], "--cert-file needs --key-file");
    refuse(&["pull", "a", "--anonymous", "--authfile", "x"], "--anonymous and --authfile");
    refuse(&["pull", "-f", "-", "--creds-stdin"], "expected one use of stdin, got several");
    refuse(&["pull", "a", "b.io/a", "--creds-stdin"], "--creds-stdin: expected images of one");
    refuse(&["pull", "a", "-qv"], "--quiet and --verbose exclude each other");
    refuse(&["pull", "a", "--mirror", "x"], "--mirror: expected HOST=URL");
    refuse(&["pull", "a", "--digestfile", ""], "--digestfile: expected a file");
    refuse(&["list", "a"], "unexpected argument `a`");
    refuse(&["list", "--jobs", "2"], "`windlass list` takes no --jobs");
    refuse(&["digest"], "IMAGE is missing");
    refuse(&["digest", "a", "b"], "unexpected argument `b`");
    refuse(&["digest", "a", "--platform", "linux/arm64"], "`windlass digest` takes no --platform");
    refuse(&["tags", "a:1"], "`a:1` is one image");
    refuse(&["tags", "a", "--filter", "("], "--filter: invalid regular expression `(`");
    refuse(&["inspect", "a", "--raw", "--config"], "--raw and --config exclude each other");
    refuse(&["--json=yes", "list"], "--json takes no value");
}

#[test]
fn nearest_names_are_suggested() {
    Windlass::new().run(&["pul", "a"]).exits(2).says("did you mean pull?");
    Windlass::new().run(&["pull", "a", "--plattform", "b"]).exits(2).says("--platform?");
}

#[test]
fn argument_that_is_no_text_is_refused() {
    let args = [OsStr::new("pull"), OsStr::from_bytes(b"a\xff")];
    Windlass::new().run(&args).exits(2).says("windlass: expected UTF-8");
}

#[test]
fn values_of_secrets_are_not_repeated() {
    for args in [
        &["pull", "a", "--password=hunter2"][..],
        &["pull", "a", "--mirror", "https://me:hunter2@m.io"],
        &["pull", "a", "--mirror=a.io=ftp://me:hunter2@m.io"],
    ] {
        Windlass::new().run(args).exits(2).never_says("hunter2");
    }
    let args = ["digest", "a.io/a", "--creds-stdin"];
    Windlass::new().command(&args).stdin("hunter2\n").run().exits(2).never_says("hunter2");
}

#[test]
fn environment_that_makes_no_sense_is_refused() {
    let windlass = Windlass::new();
    let run = windlass.command(&["pull", "a"]).env("WINDLASS_JOBS", "many");
    run.run().exits(2).says("WINDLASS_JOBS: invalid value `many`");
    let run = windlass.command(&["digest", "a.io/a"]).env("HTTPS_PROXY", "socks5://me:hunter2@p");
    run.run().exits(2).says("HTTPS_PROXY").never_says("hunter2");
    let mut run = windlass.command(&["list"]);
    for name in ["WINDLASS_STORE", "HOME", "XDG_DATA_HOME"] {
        run.command.env_remove(name);
    }
    if !rustix::process::geteuid().is_root() {
        run.run().exits(2).says("HOME is not set").says("help: say where with --store DIR");
    }
}

#[test]
fn options_stand_anywhere() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    let answer = windlass.run(&["pull", &name]).success().stdout();
    let store = format!("--store={}", windlass.store().display());
    for args in [
        &["--jobs", "2", "pull", &name, "-q"][..],
        &["-qj2", "--json", "--retries=3", "pull", "--", &name],
        &[&store, "pull", "--all-platforms", &name, "--no-sync", "--plain-http"],
    ] {
        let output = windlass.run(args).success();
        assert!(output.stdout().contains(&name), "{output}");
    }
    windlass.run(&["pull", &name, "--jobs=1"]).success().prints(&answer);
}
