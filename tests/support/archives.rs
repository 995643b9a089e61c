//! Archives of images as other tools write them, member for member. Made here, after what the
//! tools' sources and their own archives show; `make interop` has the tools that can be installed.

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::{Value, json};

use super::content::Content;
use super::image::{Image, Piece};
use super::tar::{Header, Tar};

/// An image and the names that it is saved under.
pub(crate) type Named<'a> = (&'a Image, &'a [&'a str]);

/// The hex digits of a digest.
pub(crate) fn hex(digest: &str) -> &str {
    digest.split_once(':').unwrap().1
}

/// A layer as docker unpacks it.
pub(crate) fn unpacked(layer: &Piece) -> Vec<u8> {
    let bytes = layer.content.to_vec();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar).unwrap();
    tar
}

/// The whole in one zstd frame.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// What docker makes up for a layer, from no content at all.
fn v1_id(image: &Image, index: usize) -> String {
    let digest = Content::from(format!("{}{index}", image.digest)).digest();
    hex(&digest).to_owned()
}

/// What docker says in `<v1 id>/json`.
fn v1_json(id: &str) -> String {
    json!({ "id": id, "created": "1970-01-01T00:00:00Z" }).to_string()
}

fn tags(names: &[&str]) -> Value {
    match names {
        [] => Value::Null,
        names => json!(names),
    }
}

/// The form of docker before 25: a folder for each layer, one that comes again a link to the first.
pub(crate) fn docker_24(images: &[Named<'_>]) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut saved = Vec::new();
    let mut first: Vec<(String, String)> = Vec::new();
    for (image, names) in images {
        let mut layers = Vec::new();
        for (index, (layer, diff_id)) in image.layers().iter().zip(&image.diff_ids).enumerate() {
            let id = v1_id(image, index);
            tar = tar.folder(&format!("{id}/")).file(&format!("{id}/VERSION"), "1.0");
            tar = tar.file(&format!("{id}/json"), v1_json(&id));
            let name = format!("{id}/layer.tar");
            tar = match first.iter().find(|(known, _)| known == diff_id) {
                Some((_, other)) => tar.symbolic_link(&name, &format!("../{other}/layer.tar")),
                None => {
                    first.push((diff_id.clone(), id));
                    tar.file(&name, unpacked(layer))
                }
            };
            layers.push(name);
        }
        let config = format!("{}.json", hex(&image.config().digest));
        tar = tar.file(&config, image.config().content.to_vec());
        saved.push(json!({ "Config": config, "RepoTags": tags(names), "Layers": layers }));
    }
    tar.file("manifest.json", json!(saved).to_string()).file("repositories", "{}").end()
}

/// The form of docker 25 and later without containerd's store: blobs, layers unpacked under their
/// diff ids. Its `index.json` lacks an image without a name that follows others.
pub(crate) fn docker_25(images: &[Named<'_>]) -> Vec<u8> {
    let mut blobs = Vec::new();
    let mut saved = Vec::new();
    let mut index: Vec<Value> = Vec::new();
    for (image, names) in images {
        let (layers, manifest) = docker_25_image(image);
        for name in *names {
            let mut descriptor = manifest.descriptor();
            descriptor["annotations"] = json!({
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name.rsplit(':').next(),
            });
            index.push(descriptor);
        }
        if names.is_empty() && index.is_empty() {
            index.push(manifest.descriptor());
        }
        saved.push(json!({
            "Config": blob(&image.config().digest),
            "RepoTags": tags(names),
            "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
        }));
        // The config of the form before, which nothing leads to.
        blobs.push(Piece::new("", v1_json(&v1_id(image, 0))));
        blobs.extend(layers);
        blobs.extend([image.config().clone(), manifest]);
    }
    let tar = with_blobs(Tar::new().folder("blobs/").folder("blobs/sha256/"), &blobs);
    let tar = tar.file("index.json", index_json(&index));
    let tar = tar.file("manifest.json", json!(saved).to_string());
    tar.file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#).file("repositories", "{}").end()
}

/// What docker 25.0.0 saves of an image without a name: its index lists nothing, as `null`.
pub(crate) fn docker_25_unnamed(image: &Image) -> Vec<u8> {
    let (layers, manifest) = docker_25_image(image);
    let saved = json!([{
        "Config": blob(&image.config().digest),
        "RepoTags": null,
        "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    }]);
    let blobs: Vec<Piece> = layers.into_iter().chain([image.config().clone(), manifest]).collect();
    let tar = with_blobs(Tar::new(), &blobs);
    let tar = tar.file("index.json", r#"{"schemaVersion":2,"manifests":null}"#);
    let tar = tar.file("manifest.json", saved.to_string());
    tar.file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#).end()
}

/// The layers of an image as docker 25 has them, and the manifest that it writes.
pub(crate) fn docker_25_image(image: &Image) -> (Vec<Piece>, Piece) {
    let kind = "application/vnd.oci.image.layer.v1.tar";
    let layers: Vec<Piece> =
        image.layers().iter().map(|layer| Piece::new(kind, unpacked(layer))).collect();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let document = json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": image.config().descriptor(),
        "layers": layers.iter().map(Piece::descriptor).collect::<Vec<_>>(),
    });
    (layers, Piece::new(kind, document.to_string()))
}

/// The form of skopeo and podman: layers unpacked under their diff ids, what lists them last.
pub(crate) fn skopeo_docker(images: &[Named<'_>]) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut saved = Vec::new();
    let mut written = BTreeSet::new();
    for (image, names) in images {
        let mut layers = Vec::new();
        for (layer, diff_id) in image.layers().iter().zip(&image.diff_ids) {
            let name = format!("{}.tar", hex(diff_id));
            if written.insert(name.clone()) {
                tar = tar.member(&Header::new(&name, b'0').mode(0o444), unpacked(layer));
            }
            layers.push(name);
        }
        let config = format!("{}.json", hex(&image.config().digest));
        if written.insert(config.clone()) {
            tar = tar.file(&config, image.config().content.to_vec());
        }
        for (index, layer) in layers.iter().enumerate() {
            let id = v1_id(image, index);
            tar = tar.symbolic_link(&format!("{id}/layer.tar"), &format!("../{layer}"));
            tar = tar.file(&format!("{id}/VERSION"), "1.0");
            tar = tar.file(&format!("{id}/json"), v1_json(&id));
        }
        saved.push(json!({ "Config": config, "RepoTags": tags(names), "Layers": layers }));
    }
    tar.file("manifest.json", json!(saved).to_string()).file("repositories", "{}").end()
}

/// The form of `crane pull`: the config under its digest, layers as they are, the list last.
pub(crate) fn crane(images: &[Named<'_>]) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut saved = Vec::new();
    let mut written = BTreeSet::new();
    for (image, names) in images {
        let config = image.config();
        tar = tar.file(&config.digest, config.content.to_vec());
        let mut layers = Vec::new();
        for layer in image.layers() {
            let name = format!("{}.tar.gz", hex(&layer.digest));
            if written.insert(name.clone()) {
                tar = tar.file(&name, layer.content.to_vec());
            }
            layers.push(name);
        }
        saved.push(json!({ "Config": config.digest, "RepoTags": tags(names), "Layers": layers }));
    }
    tar.file("manifest.json", json!(saved).to_string()).end()
}

/// The form of `crane pull --format=legacy`.
pub(crate) fn crane_legacy(images: &[Named<'_>]) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut saved = Vec::new();
    for (image, names) in images {
        let config = format!("{}.json", hex(&image.config().digest));
        tar = tar.file(&config, image.config().content.to_vec());
        let mut layers = Vec::new();
        for (index, layer) in image.layers().iter().enumerate() {
            let id = v1_id(image, index);
            tar = tar.file(&format!("{id}/layer.tar"), unpacked(layer));
            tar = tar.file(&format!("{id}/json"), v1_json(&id));
            tar = tar.file(&format!("{id}/VERSION"), "1.0");
            layers.push(format!("{id}/layer.tar"));
        }
        saved.push(json!({ "Config": config, "RepoTags": tags(names), "Layers": layers }));
    }
    tar.file("manifest.json", json!(saved).to_string()).file("repositories", "{}").end()
}

/// How a tool calls an image in `index.json`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Annotated {
    /// containerd and docker, regctl: the full name, and the tag beside it.
    FullAndTag,
    /// skopeo with a full name after the file's.
    Reference,
    /// skopeo, umoci and oras with a tag.
    Tag,
    /// crane, and skopeo without a name.
    Nothing,
}

impl Annotated {
    fn of(self, name: &str) -> Value {
        let tag = name.rsplit(':').next();
        match self {
            Annotated::FullAndTag => json!({
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            }),
            Annotated::Reference => json!({ "org.opencontainers.image.ref.name": name }),
            Annotated::Tag => json!({ "org.opencontainers.image.ref.name": tag }),
            Annotated::Nothing => json!({}),
        }
    }
}

fn index_of(images: &[Named<'_>], annotated: Annotated) -> String {
    let mut index = Vec::new();
    for (image, names) in images {
        for name in *names {
            let mut descriptor = image.root().descriptor();
            descriptor["annotations"] = annotated.of(name);
            index.push(descriptor);
        }
        if names.is_empty() {
            index.push(image.root().descriptor());
        }
    }
    index_json(&index)
}

fn blobs_of(images: &[Named<'_>]) -> Vec<Piece> {
    images.iter().flat_map(|(it, _)| it.blobs.iter().chain(&it.manifests)).cloned().collect()
}

/// What lists images of one platform as docker does, over blobs.
fn saved_blobs(images: &[Named<'_>]) -> String {
    let single = images.iter().filter(|(image, _)| !image.platform.is_empty());
    let saved = single.map(|(image, names)| {
        json!({
            "Config": blob(&image.config().digest),
            "RepoTags": tags(names),
            "Layers": image.layers().iter().map(|it| blob(&it.digest)).collect::<Vec<_>>(),
        })
    });
    json!(saved.collect::<Vec<_>>()).to_string()
}

/// The form of `ctr images export`, and of docker with containerd's store: members by name. Blobs
/// in `absent` are not there, as those of platforms that were never pulled.
pub(crate) fn containerd(images: &[Named<'_>], absent: &[&str]) -> Vec<u8> {
    let mut blobs = blobs_of(images);
    blobs.retain(|blob| !absent.contains(&blob.digest.as_str()));
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    with_blobs(Tar::new().folder("blobs/").folder("blobs/sha256/"), &blobs)
        .file("index.json", index_of(images, Annotated::FullAndTag))
        .file("manifest.json", saved_blobs(images))
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .end()
}

/// The form of `skopeo copy ... oci-archive:`, of `crane pull --format=oci` and of others who put
/// an image layout into a tar.
pub(crate) fn layout(images: &[Named<'_>], annotated: Annotated) -> Vec<u8> {
    with_blobs(Tar::new().folder("blobs/").folder("blobs/sha256/"), &blobs_of(images))
        .file("index.json", index_of(images, annotated))
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .end()
}

/// The same by `tar -C layout -cf FILE .`
pub(crate) fn dotted_layout(images: &[Named<'_>], annotated: Annotated) -> Vec<u8> {
    let mut tar = Tar::new().folder("./").folder("./blobs/").folder("./blobs//sha256/");
    for name in ["oci-layout", "index.json"] {
        let content = match name {
            "index.json" => index_of(images, annotated),
            _ => r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned(),
        };
        tar = tar.file(&format!("./{name}"), content);
    }
    let mut seen = BTreeSet::new();
    for piece in blobs_of(images) {
        if seen.insert(piece.digest.clone()) {
            tar = tar.file(&format!("./{}", blob(&piece.digest)), piece.content.to_vec());
        }
    }
    tar.end()
}

/// The form of `regctl image export`: what lists comes first, with PAX headers.
pub(crate) fn regctl(images: &[Named<'_>]) -> Vec<u8> {
    let pax = [("mtime", "1700000000.123456789")];
    let mut tar = Tar::new()
        .pax(&pax)
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .pax(&pax)
        .file("index.json", index_of(images, Annotated::FullAndTag));
    if images.len() == 1 {
        tar = tar.pax(&pax).file("manifest.json", saved_blobs(images));
    }
    let mut seen = BTreeSet::new();
    for piece in blobs_of(images).iter().rev() {
        if seen.insert(piece.digest.clone()) {
            let path = blob(&piece.digest);
            let header = Header::new(&path[..99.min(path.len())], b'0');
            let records = [("path", path.as_str()), pax[0]];
            tar = tar.pax(&records).member(&header, piece.content.to_vec());
        }
    }
    tar.end()
}

/// The form of `hauler store save`: a whole layout with docker's list, in one zstd frame.
pub(crate) fn hauler(images: &[Named<'_>]) -> Vec<u8> {
    let tar = Tar::new()
        .file("index.json", index_of(images, Annotated::FullAndTag))
        .file("manifest.json", saved_blobs(images))
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    zstd(&with_blobs(tar, &blobs_of(images)).end())
}

/// Adds blobs, each once.
fn with_blobs(mut tar: Tar, blobs: &[Piece]) -> Tar {
    let mut seen = BTreeSet::new();
    for piece in blobs {
        if seen.insert(piece.digest.clone()) {
            tar = tar.file(&blob(&piece.digest), piece.content.to_vec());
        }
    }
    tar
}

/// Where a blob is in an image layout.
pub(crate) fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

pub(crate) fn index_json(manifests: &[Value]) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
    .to_string()
}

/// The manifest that is made for an image without one, over those layers.
pub(crate) fn made(image: &Image, layers: &[(&str, Vec<u8>)]) -> Piece {
    let descriptor = |kind: &str, digest: &str, size: u64| {
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let of_layer = |(kind, bytes): &(&str, Vec<u8>)| {
        descriptor(kind, &Content::from(&bytes[..]).digest(), bytes.len() as u64)
    };
    let layers: Vec<String> = layers.iter().map(of_layer).collect();
    let config = image.config();
    let config_type = "application/vnd.oci.image.config.v1+json";
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{},"layers":[{}]}}"#,
        descriptor(config_type, &config.digest, config.size()),
        layers.join(","),
    );
    Piece::new(kind, document)
}
