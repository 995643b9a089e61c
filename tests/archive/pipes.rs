use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;

use super::{Tar, bytes, files, with};
use crate::support::{Image, ImageBuilder, Windlass};

const MIB: u64 = 1024 * 1024;

fn piped(windlass: &Windlass, stdout: impl Into<Stdio>) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.args(["export", "-o", "-", "box:1", "--store"]).arg(windlass.store());
    command.stdout(stdout).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn reader_that_goes_away_and_a_full_disk_are_exit_8() {
    let image = ImageBuilder::new().layer_random(1, MIB).build();
    let windlass = with(&[("box:1", &image)]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    for (output, says) in [
        (
            piped(&windlass, writer),
            "windlass: exporting docker.io/library/box:1: writing stdout: broken pipe\n",
        ),
        (
            piped(&windlass, full),
            "windlass: exporting docker.io/library/box:1: writing stdout: no space left on device\n",
        ),
    ] {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn reader_that_goes_away_in_the_middle_ends_it() {
    let image = ImageBuilder::new().layer_random(1, 16 * MIB).build();
    let windlass = with(&[("box:1", &image)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(["export", "-o", "-", "box:1", "--store"])
        .arg(windlass.store())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut vec![0; 1 << 20]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn fifo_gets_the_archive_and_stays_a_fifo() {
    let image = ImageBuilder::new().layer_random(1, MIB).build();
    let windlass = with(&[("box:1", &image)]);
    let expected = bytes(&windlass, &["box:1"]);
    let path = windlass.scratch.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let reader = thread::spawn({
        let path = path.clone();
        move || fs::read(path).unwrap()
    });
    let output = windlass.run(&["export", "-o", "fifo", "box:1"]).success();
    output.prints(&format!("docker.io/library/box:1@{}\n", image.digest));
    let got = reader.join().unwrap();
    assert!(got == expected);
    Tar::read(&got).holds(&image);
    assert_eq!(files(&windlass), ["a.tar", "fifo"]);
    windlass.run(&["export", "-o", "/dev/null", "box:1"]).success();
    assert!(!fs::metadata("/dev/null").unwrap().is_file(), "devices stay devices");
}

#[test]
fn terminal_is_no_place_for_an_archive() {
    let windlass = with(&[("box:1", &Image::small())]);
    let line = format!(
        "{} --store {} export -o - box:1",
        env!("CARGO_BIN_EXE_windlass"),
        windlass.store().display()
    );
    let mut command = Command::new("script");
    let output = command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("expected a file or a pipe, stdout is a terminal"), "{said}");
}

#[test]
fn compressed_archive_is_the_same_inside_and_the_same_any_time() {
    let image = ImageBuilder::new().layer_random(1, MIB).layer_files(&[("a", "b")]).build();
    let windlass = with(&[("box:1", &image)]);
    let plain = bytes(&windlass, &["box:1"]);
    for how in ["gzip", "zstd"] {
        let compressed = bytes(&windlass, &["--compress", how, "box:1"]);
        assert!(compressed != plain && compressed.len() < plain.len() + 1000);
        let piped = windlass.run(&["export", "-o", "-", "box:1", "--compress", how]).success();
        assert!(piped.stdout_bytes == compressed, "{how}: one way gives the same as the other");
        let mut inside = Vec::new();
        let mut reader =
            windlass::stream::compression::Decompress::new(compressed.as_slice()).unwrap();
        reader.read_to_end(&mut inside).unwrap();
        assert!(inside == plain, "{how}");
    }
    assert_eq!(files(&windlass), ["a.tar"]);
    let output = windlass.run(&["export", "-o", "b.tar", "--compress", "xz", "box:1"]).exits(2);
    output.says("--compress: invalid value `xz`: expected gzip or zstd");
}
