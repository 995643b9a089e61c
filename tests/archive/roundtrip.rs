use super::{bytes, with};
use crate::store::{snapshot, two_images};
use crate::support::{ImageBuilder, IndexBuilder, Windlass};

#[test]
fn what_is_exported_can_be_imported_and_exported_again_byte_for_byte() {
    let (one, two) = two_images();
    let docker = ImageBuilder::new().docker().layer_files(&[("a", "b")]).build();
    let many = IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]);
    let by_digest = format!("team/tool@{}", two.digest);
    let windlass = with(&[
        ("one:1", &one),
        ("two:1", &two),
        (&by_digest, &two),
        ("docker:1", &docker),
        ("many:1", &many),
    ]);
    let archive = bytes(&windlass, &["--all"]);
    for args in [&["import", "a.tar"][..], &["import", "-"]] {
        let other = Windlass::new();
        other.scratch.write("a.tar", &archive);
        other.command(args).stdin(archive.clone()).run().success();
        other.run(&["verify"]).success();
        assert!(bytes(&other, &["--all"]) == archive, "{args:?}");
        let blobs = |windlass: &Windlass| snapshot(&windlass.store().join("blobs")).len();
        assert_eq!(blobs(&other), blobs(&windlass));
    }
    for how in ["gzip", "zstd"] {
        let compressed = bytes(&windlass, &["--all", "--compress", how]);
        let other = Windlass::new();
        other.command(&["import", "-"]).stdin(compressed).run().success();
        assert!(bytes(&other, &["--all"]) == archive, "{how}");
    }
    windlass.run(&["verify", "--archive", "a.tar"]).success();
}
