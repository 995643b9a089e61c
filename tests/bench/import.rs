//! What importing costs.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::contest::Contest;
use crate::costs::{Cost, bytes};
use crate::rows::{Bounds, MEMORY, MIB, pair};
use crate::support::image::Piece;
use crate::support::{Header, Image, ImageBuilder};
use crate::table::{Line, mebibytes};

/// How much of a blob is written at a time.
const BUFFER: usize = 1 << 20;

/// An archive is held against hashing its bytes, which is the least that has to be done, and
/// against skopeo, which copies it to a layout.
pub(crate) fn import(contest: &Contest<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let eight = [3, 61, 12, 44, 7, 38, 24, 41];
    let sets: [(&str, &[u64], Option<f64>); 2] =
        [("1 GiB in one layer", &[1024], Some(1.3)), ("8 layers, 230 MiB", &eight, None)];
    for (what, sizes, bound) in sets {
        let (image, archive) = archive(contest, sizes);
        let path = archive.to_str().unwrap();
        let bounds = || Bounds { wall: bound, cpu: None };
        lines.extend(pair(
            contest,
            &format!("import {what}, --no-sync"),
            &|| contest.import(&["--no-sync", path], &image),
            ("openssl", &|| contest.run(Path::new("openssl"), &["dgst", "-sha256", path])),
            bounds(),
        ));
        lines.extend(pair(
            contest,
            &format!("import {what}"),
            &|| contest.import(&[path], &image),
            ("skopeo", &|| contest.skopeo_from(&format!("oci-archive:{path}"), &image)),
            Bounds { wall: None, cpu: None },
        ));
        lines.extend(pair(
            contest,
            &format!("verify --archive, {what}"),
            &|| contest.run(&contest.options.windlass, &["-q", "verify", "--archive", path]),
            ("openssl", &|| contest.run(Path::new("openssl"), &["dgst", "-sha256", path])),
            Bounds { wall: None, cpu: None },
        ));
        fs::remove_file(archive).unwrap();
    }
    lines
}

/// The memory that it takes, whatever the size of a layer.
pub(crate) fn memory(contest: &Contest<'_>) -> Vec<Line> {
    let mut peaks = Vec::new();
    let mut lines = Vec::new();
    for size in [1, 256, 1024, 4096] {
        let (image, archive) = archive(contest, &[size]);
        let cost: Cost = contest.import(&["--no-sync", archive.to_str().unwrap()], &image);
        let what = format!("peak memory of import, {size} MiB layer");
        let peak = bytes(cost.memory);
        lines.push(Line::absolute(&what, mebibytes, peak, MEMORY));
        peaks.push(peak);
        fs::remove_file(archive).unwrap();
    }
    peaks.sort_by(f64::total_cmp);
    let apart = peaks[peaks.len() - 1] - peaks[0];
    lines.push(Line::absolute("these, from each other", mebibytes, apart, bytes(2 * MIB)));
    lines
}

/// An image layout in a tar, of an image with layers of so many MiB.
fn archive(contest: &Contest<'_>, sizes: &[u64]) -> (Image, PathBuf) {
    let mut builder = ImageBuilder::new();
    for (seed, size) in (1..).zip(sizes) {
        builder = builder.layer_random(seed, size * MIB);
    }
    let image = builder.build();
    let path = contest.path("archive.tar");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut descriptor = image.root().descriptor();
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "h.io/bench:1" });
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string();
    let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
    member(&mut file, "oci-layout", &Piece::new("", layout));
    member(&mut file, "index.json", &Piece::new("", index));
    for piece in image.manifests.iter().chain(&image.blobs) {
        member(&mut file, &format!("blobs/{}", piece.digest.replace(':', "/")), piece);
    }
    file.write_all(&[0; 1024]).unwrap();
    file.into_inner().unwrap();
    (image, path)
}

fn member(file: &mut impl Write, name: &str, piece: &Piece) {
    file.write_all(&Header::new(name, b'0').size(piece.size()).bytes()).unwrap();
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < piece.size() {
        let left = usize::try_from(piece.size() - at).unwrap().min(BUFFER);
        piece.content.read_at(at, &mut buffer[..left]);
        file.write_all(&buffer[..left]).unwrap();
        at += left as u64;
    }
    let padding = usize::try_from((512 - piece.size() % 512) % 512).unwrap();
    file.write_all(&[0; 512][..padding]).unwrap();
}
