//! Archives that mean harm: exit 7, what of them is wrong, and a store as it was.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::json;

use super::{Carrier, WAYS, Way, two_images};
use crate::support::archives::{self, Annotated};
use crate::support::{Header, Image, Tar};

const NAME: &str = "h.io/a:1";

/// Every way, it is refused with those words, and no name is new.
#[track_caller]
fn refuse(archive: &[u8], texts: &[&str]) {
    for way in WAYS {
        let carrier = Carrier::new();
        let mut output = carrier.import(archive, way, &[]).exits(7).prints("");
        for text in texts {
            output = output.says(text);
        }
        assert!(carrier.names().is_empty(), "{way:?}");
        assert!(!output.stderr.contains('\x1b'), "{output}");
        let took = output.took;
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

/// A good archive without its end, to which something is added.
fn good() -> Tar {
    let (one, _) = two_images();
    let archive = archives::containerd(&[(&one, &[NAME])], &[]);
    Tar::new().raw(&archive[..archive.len() - 1024])
}

#[test]
fn archive_that_is_cut_off_is_refused_until_only_its_end_is_missing() {
    let image = Image::small();
    // Of both the last member is needed.
    let archives = [archives::crane(&[(&image, &[NAME])]), archives::regctl(&[(&image, &[NAME])])];
    for archive in archives {
        let content = archive.len() - 1024;
        for len in (0..content).step_by(512).chain([content - 1, 1, 511, 513]) {
            let carrier = Carrier::new();
            for way in [Way::File, Way::Pipe] {
                carrier.import(&archive[..len], way, &[]).exits(7).prints("");
                assert!(carrier.names().is_empty(), "{len} of {content} bytes");
            }
        }
        for len in [content, content + 512] {
            for way in WAYS {
                let carrier = Carrier::new();
                carrier.import(&archive[..len], way, &[]).success();
                carrier.expect_whole();
            }
        }
    }
}

#[test]
fn compressed_archive_that_is_cut_off_is_refused() {
    let image = Image::of_size(100_000);
    let archive = archives::layout(&[(&image, &[NAME])], Annotated::Reference);
    let gzip = crate::support::image::gzip(&archive);
    let zstd = archives::zstd(&archive);
    for whole in [gzip, zstd] {
        for len in [12, whole.len() / 2, whole.len() - 1] {
            let carrier = Carrier::new();
            for way in [Way::File, Way::Pipe] {
                carrier.import(&whole[..len], way, &[]).exits(7).prints("");
                assert!(carrier.names().is_empty());
            }
        }
    }
}

#[test]
fn member_that_is_there_twice_is_refused() {
    refuse(&good().file("x", "1").file("x", "1").end(), &["`x`", "twice"]);
    refuse(&good().file("x", "1").file("./x", "2").end(), &["`x`", "twice"]);
    refuse(&good().file("index.json", "{}").end(), &["`index.json`", "twice"]);
    refuse(&good().symbolic_link("manifest.json", "x").end(), &["`manifest.json`", "twice"]);
}

#[test]
fn names_that_lead_out_are_refused_by_their_names() {
    for name in ["../x", "/etc/passwd", "blobs/../../x", "a/../../b", "..", "/", "//x"] {
        refuse(&good().file(name, "x").end(), &["reading member `", name]);
    }
    refuse(&good().file("a/\x1b]0;x\x07/../b", "x").end(), &["\\x1b]0;x\\x07"]);
}

#[test]
fn links_that_lead_out_or_in_circles_are_refused() {
    refuse(&good().symbolic_link("a/b", "../../etc/passwd").end(), &["`a/b`", "leads out"]);
    refuse(&good().symbolic_link("x", "/etc/passwd").end(), &["`x`", "leads out"]);
    refuse(&good().hard_link("x", "../y").end(), &["`x`", "leads out"]);
    refuse(&good().hard_link("x", "/etc/shadow").end(), &["`x`", "leads out"]);
    refuse(&good().symbolic_link("x", "x").end(), &["`x`", "circles"]);
    let circle = good().symbolic_link("x", "y").hard_link("y", "z").symbolic_link("z", "x");
    refuse(&circle.end(), &["circles"]);
    let mut long = good();
    for index in 0..100 {
        long = long.symbolic_link(&format!("{index}"), &format!("{}", index + 1));
    }
    refuse(&long.end(), &["circles"]);
}

#[test]
fn hard_and_symbolic_links_are_followed_in_the_archive() {
    let (one, _) = two_images();
    let saved = json!([{ "Config": "c.json", "RepoTags": [NAME], "Layers": ["a/0", "a/1"] }]);
    let archive = Tar::new()
        .symbolic_link("a/0", "../b/hard")
        .symbolic_link("a/1", "1.tar")
        .file("config", one.config().content.to_vec())
        .hard_link("c.json", "./config")
        .file("0.tar", archives::unpacked(&one.layers()[0]))
        .hard_link("b/hard", "0.tar")
        .file("a/1.tar", archives::unpacked(&one.layers()[1]))
        .file("manifest.json", saved.to_string())
        .end();
    for way in WAYS {
        let carrier = Carrier::new();
        carrier.import(&archive, way, &[]).success();
        carrier.expect_whole();
    }
}

#[test]
fn promises_cost_nothing() {
    let terabyte = Header::new("blobs/big", b'0').size(1 << 40);
    refuse(&good().header(&terabyte).raw([1; 2048]).cut(), &["`blobs/big`"]);
    let absurd = Header::new("big", b'0').size(u64::MAX);
    refuse(&good().header(&absurd).cut(), &[]);
    let manifest = Header::new("manifest.json", b'0').size(1 << 40);
    refuse(&Tar::new().header(&manifest).raw([b' '; 2048]).cut(), &["`manifest.json`"]);
    for kind in [b'x', b'g', b'L', b'K'] {
        let header = Header::new("././@LongLink", kind).size(1 << 30);
        refuse(&good().header(&header).raw([b'a'; 4096]).cut(), &[]);
    }
    refuse(&good().member(&Header::gnu("s", b'S'), "x").end(), &[]);
    refuse(&good().pax(&[("GNU.sparse.size", "1000000000")]).file("s", "x").end(), &["sparse"]);
    let mut broken = Header::new("x", b'0').bytes();
    broken[0] = b'y';
    refuse(&good().raw(broken).end(), &["checksum"]);
}

#[test]
fn list_that_is_too_big_is_refused() {
    let big = format!("[{}1]", "1,".repeat(3 << 20));
    refuse(&Tar::new().file("manifest.json", &big).end(), &["`manifest.json`", "at most"]);
    refuse(&Tar::new().file("index.json", &big).end(), &["`index.json`", "at most"]);
    let (one, _) = two_images();
    let config = format!("{{\"a\":\"{}\"}}", "a".repeat(5 << 20));
    let saved = json!([{ "Config": "c.json", "RepoTags": [NAME], "Layers": [] }]).to_string();
    let archive = Tar::new().file("c.json", config).file("manifest.json", saved).end();
    refuse(&archive, &["`c.json`", "at most"]);
    let many = json!(vec![json!({ "Config": "c.json" }); 20_000]).to_string();
    let archive =
        Tar::new().file("c.json", one.config().content.to_vec()).file("manifest.json", many).end();
    refuse(&archive, &["`manifest.json`", "entries"]);
}

#[test]
fn json_of_all_kinds_is_refused() {
    let descriptor = |extra: &str| {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}","size":2{extra}}}]}}"#,
            "0".repeat(64)
        )
    };
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let lists = [
        "",
        " ",
        "{}",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{",
        "[{",
        "\u{feff}{}",
        "{} {}",
        r#"{"schemaVersion":1,"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
        r#"{"schemaVersion":2,"manifests":[]}"#,
        &deep,
        &descriptor(r#","size":3"#),
        &descriptor(r#","digest":"sha256:../../x""#),
        &descriptor(""),
    ];
    for list in lists {
        refuse(&Tar::new().file("index.json", list).end(), &[]);
    }
    let lists = [
        "",
        "null",
        "{}",
        "[null]",
        "[[]]",
        "[{}]",
        r#"[{"Config":1}]"#,
        "[]",
        "[1]",
        &deep,
        r#"[{"Config":"a","Config":"b","Layers":[]}]"#,
        r#"[{"Config":"../../etc/passwd","Layers":[]}]"#,
        r#"[{"Config":"/etc/passwd","Layers":[]}]"#,
        r#"[{"Config":"","Layers":[]}]"#,
        r#"[{"Config":"a\u0000b","Layers":[]}]"#,
    ];
    for list in lists {
        refuse(&Tar::new().file("manifest.json", list).end(), &[]);
    }
    let good = archives::layout(&[(&Image::small(), &[NAME])], Annotated::Reference);
    let good = Tar::new().raw(&good[..good.len() - 1024]);
    refuse(&good.clone().file("manifest.json", "{").end(), &["`manifest.json`"]);
    let newer = r#"{"imageLayoutVersion":"2.0.0"}"#;
    refuse(&Tar::new().file("oci-layout", newer).file("index.json", "{}").end(), &["`2.0.0`"]);
}

#[test]
fn blob_that_is_not_what_its_name_says_is_refused() {
    let image = Image::small();
    for piece in image.blobs.iter().chain(&image.manifests) {
        let mut archive = archives::layout(&[(&image, &[NAME])], Annotated::Reference);
        let content = piece.content.to_vec();
        let at = archive.windows(content.len()).position(|window| window == content).unwrap();
        archive[at + content.len() / 2] ^= 0x20;
        refuse(&archive, &[&piece.digest, "reading member `blobs/sha256/"]);
    }
}

#[test]
fn bomb_in_a_layer_ends_with_its_diff_id_and_little_memory() {
    // 512 MiB of zeros in 500 KiB: more than may be in memory, less than may be inflated.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 512 << 20), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    let (one, _) = two_images();
    let saved = json!([{ "Config": "c", "RepoTags": [NAME], "Layers": ["bomb", "bomb"] }]);
    let archive = Tar::new()
        .file("c", one.config().content.to_vec())
        .file("bomb", &bomb)
        .file("manifest.json", saved.to_string())
        .end();
    for way in [Way::File, Way::Pipe] {
        let carrier = Carrier::new();
        // The address space of a process is more than its memory: stacks, the binary.
        let limit = "ulimit -v 300000; exec \"$0\" \"$@\"";
        carrier.windlass.scratch.write("archive", &archive);
        let name = if way == Way::File { "archive" } else { "/dev/stdin" };
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", limit, env!("CARGO_BIN_EXE_windlass"), "import", name]);
        command.env_clear().env("WINDLASS_STORE", carrier.windlass.store());
        command.current_dir(carrier.windlass.scratch.path());
        if way == Way::Pipe {
            let archive = fs::File::open(carrier.windlass.scratch.join("archive")).unwrap();
            command.stdin(archive);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{stderr}");
        assert!(stderr.contains(&one.diff_ids[0]), "{stderr}");
    }
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    refuse(b"", &["it is empty"]);
    refuse(b"hello\n", &["expected a tar, got text"]);
    refuse(&[0; 10240], &["empty tar"]);
    refuse(
        &Tar::new().file("etc/motd", "x").end(),
        &["`index.json` or `manifest.json`", "etc/motd"],
    );
    refuse(&Tar::new().file("repositories", "{}").end(), &["before 1.10"]);
    let carrier = Carrier::new();
    for (magic, name) in [(&b"BZh91AY&SYxxxxxx"[..], "bzip2"), (b"\xfd7zXZ\0\0\x04xx", "xz")] {
        for way in [Way::File, Way::Pipe] {
            carrier.import(magic, way, &[]).exits(7).says(name);
        }
    }
}

#[test]
fn links_in_a_folder_never_lead_out_of_it() {
    let image = Image::small();
    let carrier = Carrier::new();
    let scratch = &carrier.windlass.scratch;
    let archive = archives::layout(&[(&image, &[NAME])], Annotated::Reference);
    let folder = scratch.join("folder");
    tar::Archive::new(&archive[..]).unpack(&folder).unwrap();
    let blob = folder.join(archives::blob(&image.config().digest));
    fs::rename(&blob, scratch.join("outside")).unwrap();
    let import = || carrier.windlass.run(&["import", folder.to_str().unwrap()]);
    symlink("../../../outside", &blob).unwrap();
    import().exits(7).says("leads out of the archive");
    fs::remove_file(&blob).unwrap();
    symlink(scratch.join("outside"), &blob).unwrap();
    import().exits(7).says("leads out of the archive");
    fs::remove_file(&blob).unwrap();
    fs::rename(scratch.join("outside"), folder.join("inside")).unwrap();
    symlink("../../inside", &blob).unwrap();
    import().success();
    // A folder that is a link is none of the archive's.
    fs::rename(folder.join("blobs"), scratch.join("blobs")).unwrap();
    symlink(scratch.join("blobs"), folder.join("blobs")).unwrap();
    import().exits(7);
    carrier.expect_whole();
}

#[test]
fn list_that_says_one_thing_a_thousand_times_is_read_in_no_time() {
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","a":"{}","rootfs":{{"diff_ids":[]}}}}"#,
        "a".repeat(3 << 20)
    );
    let saved = |index: usize| json!({ "Config": "c", "RepoTags": [format!("h.io/a:{index}")] });
    let many = json!((0..5000).map(saved).collect::<Vec<_>>()).to_string();
    let archive = Tar::new().file("manifest.json", many).file("c", config).end();
    let carrier = Carrier::new();
    let output = carrier.import(&archive, Way::File, &["--dry-run", "-q"]).success();
    assert_eq!(output.stdout().lines().count(), 5000);
    assert!(output.took < Duration::from_secs(20), "{:?}", output.took);
}
