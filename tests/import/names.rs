//! How images are called, and what is said.

use serde_json::Value;

use super::{Carrier, WAYS, Way, two_images};
use crate::support::archives::{self, Annotated};
use crate::support::{Image, IndexBuilder};

#[test]
fn image_without_a_full_name_is_refused_saying_what_is_inside() {
    let (one, two) = two_images();
    for way in WAYS {
        let carrier = Carrier::new();
        let archive = archives::layout(&[(&one, &["x:3.20"])], Annotated::Tag);
        carrier
            .import(&archive, way, &[])
            .exits(2)
            .prints("")
            .says("the tag 3.20")
            .says(&one.digest)
            .says("--name NAME");
        let archive = archives::layout(&[(&one, &[]), (&two, &[])], Annotated::Nothing);
        for args in [&[][..], &["--name", "h.io/x"]] {
            carrier.import(&archive, way, args).exits(2).says(&one.digest).says(&two.digest);
        }
        assert!(carrier.names().is_empty());
    }
}

#[test]
fn given_name_takes_the_tag_of_the_archive_unless_it_has_one() {
    let (one, two) = two_images();
    let archive = archives::layout(&[(&one, &["x:3.19"]), (&two, &["x:3.20"])], Annotated::Tag);
    let carrier = Carrier::new();
    carrier.import(&archive, Way::File, &["--name=h.io/x"]).success();
    assert_eq!(carrier.names(), ["h.io/x:3.19", "h.io/x:3.20"]);
    carrier.import(&archive, Way::File, &["--name=h.io/x:1"]).exits(2).says("several images");
    let digest = format!("--name=h.io/x@{}", one.digest);
    carrier.import(&archive, Way::File, &[&digest]).exits(2).says("without a digest");
    carrier.import(&archive, Way::File, &["--name=A"]).exits(2).says("--name: invalid image name");
    let archive = archives::containerd(&[(&one, &["h.io/full:1"])], &[]);
    carrier.import(&archive, Way::File, &["--name=h.io/y"]).success().says("--name names nothing");
    assert!(carrier.names().contains(&"h.io/full:1".to_owned()));
}

#[test]
fn names_that_are_none_are_not_taken() {
    let (one, _) = two_images();
    for bad in ["../../x", "a\\nb/c", "-rf /", "x/\\u001b[31m"] {
        let text = archives::layout(&[(&one, &["NAME"])], Annotated::Reference);
        let archive = replaced(&text, "NAME", bad);
        let carrier = Carrier::new();
        let output = carrier.import(&archive, Way::File, &[]).exits(2);
        assert!(!output.stderr.contains('\x1b'), "{output}");
        carrier.import(&archive, Way::File, &["--name=h.io/x"]).success();
        assert_eq!(carrier.names(), ["h.io/x:latest"]);
    }
}

/// The archive with another text in its `index.json`.
fn replaced(archive: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut tar = crate::support::Tar::new();
    let mut reader = tar::Archive::new(archive);
    for entry in reader.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if name == "index.json" {
            bytes = String::from_utf8(bytes).unwrap().replace(from, to).into_bytes();
        }
        if !name.ends_with('/') {
            tar = tar.file(&name, bytes);
        }
    }
    tar.end()
}

#[test]
fn json_digestfile_and_dry_run_say_what_is_taken() {
    let (one, two) = two_images();
    let archive = archives::containerd(&[(&one, &["h.io/a:1"]), (&two, &["h.io/b:1"])], &[]);
    let carrier = Carrier::new();
    let dry = carrier.import(&archive, Way::File, &["--dry-run", "--digestfile=d"]).success();
    assert_eq!(dry.stdout().lines().count(), 2);
    dry.says("would import");
    assert!(!carrier.windlass.store().exists(), "a dry run makes nothing");
    assert!(!carrier.windlass.scratch.join("d").exists());
    carrier.import(&archive, Way::Pipe, &["--dry-run"]).exits(2).says("all else is read only once");
    let output = carrier.import(&archive, Way::Pipe, &["--json", "--digestfile=d"]).success();
    let objects: Vec<Value> =
        output.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["name"], "h.io/a:1");
    assert_eq!(objects[1]["stored"], two.digest.as_str());
    assert_eq!(objects[0]["size"], one.size());
    let digests = String::from_utf8(carrier.windlass.scratch.read("d")).unwrap();
    assert_eq!(digests, format!("{}\n{}\n", one.digest, two.digest));
}

#[test]
fn platform_narrows_what_is_taken() {
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64", "linux/s390x"]);
    let child = |at: usize| -> &str { &index.manifests[at].digest };
    let archive = archives::containerd(&[(&index, &["h.io/a:1"])], &[]);
    for way in WAYS {
        let carrier = Carrier::new();
        let line = format!("h.io/a:1@{}\n", child(2));
        carrier.import(&archive, way, &["--platform=linux/s390x"]).success().prints(&line);
        carrier.import(&archive, way, &["--platform=linux/riscv64"]).exits(3).says("linux/arm64");
        assert_eq!(carrier.stored(), [("h.io/a:1".to_owned(), child(2).to_owned())]);
        carrier.expect_whole();
    }
}

#[test]
fn file_that_is_not_there_is_the_machines_fault() {
    let carrier = Carrier::new();
    carrier.windlass.run(&["import", "nowhere.tar"]).exits(8).says("`nowhere.tar`");
    carrier.windlass.run(&["verify", "--archive", "nowhere.tar"]).exits(8).says("`nowhere.tar`");
    carrier.windlass.run(&["import"]).exits(2);
    let image = Image::small();
    let archive = archives::containerd(&[(&image, &["a:1"])], &[]);
    carrier.windlass.scratch.write("archive", archive);
    carrier.windlass.run(&["verify", "--archive", "archive", "a:1"]).exits(2);
    carrier.windlass.run(&["verify", "--archive", "archive", "--repair"]).exits(2);
}

#[test]
fn terminal_is_no_archive() {
    let carrier = Carrier::new();
    let program = env!("CARGO_BIN_EXE_windlass");
    for command in ["import -", "verify --archive -"] {
        let line = format!("{program} --store {} {command}", carrier.windlass.store().display());
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::null());
        let output = script.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("expected an archive on stdin, got a terminal"), "{said}");
    }
}
