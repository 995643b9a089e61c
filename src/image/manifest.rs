use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::{Object, annotations, optional_list};
use super::{Algorithm, Descriptor, Digest, MediaType};

/// Most bytes of a manifest, an index or an image config that are read into memory: 4 MiB, the
/// size the distribution-spec asks every registry to accept ([Pushing Manifests][spec]).
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests
pub const MANIFEST_LIMIT: u64 = 4 * 1024 * 1024;

/// How deep indexes may lie in indexes. Two are usual where there are any.
pub const INDEX_DEPTH_LIMIT: u32 = 8;

/// Most layers of an image. Runtimes stop at 128; ten times that is no image but an attack.
const LAYERS_LIMIT: usize = 1024;

/// A manifest: the exact bytes it was read from, and what they say.
///
/// The bytes are kept because the digest is computed over them. Serializing the parsed form
/// again could give other bytes and so another image.
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Vec<u8>,
    digest: Digest,
    media_type: MediaType,
    document: Document,
}

/// What a manifest says.
#[derive(Clone, Debug)]
pub enum Document {
    /// It is one image, or an artifact in the form of one.
    Image(Box<ImageManifest>),
    /// It lists manifests, mostly one for each platform.
    Index(Index),
}

/// The config and the layers of one image.
///
/// Spec: [Image manifest][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// What the image runs and on what; for an artifact anything.
    pub config: Descriptor,
    /// The lowest layer first.
    pub layers: Vec<Descriptor>,
    /// What kind of artifact it is, if it is one.
    pub artifact_type: Option<String>,
    /// What else its author says of it.
    pub annotations: BTreeMap<String, String>,
}

/// Manifests under one name.
///
/// Spec: [Image index][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// In the order of the document: of two that fit equally the first is meant.
    pub manifests: Vec<Descriptor>,
    /// What else its author says of it.
    pub annotations: BTreeMap<String, String>,
}

/// Every field by which one document could be taken for two things.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
struct Shape {
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<MediaType>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "optional_list")]
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "optional_list")]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "annotations")]
    annotations: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(Object(deserializer))
    }
}

impl Manifest {
    /// Reads a manifest, whose digest is computed by `algorithm`.
    ///
    /// `declared` is what the one who leads here says that it is: a `Content-Type`, the media
    /// type of a descriptor. It fills in what the document leaves open and must not contradict it.
    ///
    /// # Errors
    ///
    /// When the bytes are not exactly one image manifest or index, of OCI or of Docker schema 2:
    /// more than [`MANIFEST_LIMIT`], duplicate keys, both forms in one, schema 1.
    pub fn parse(
        bytes: Vec<u8>,
        algorithm: Algorithm,
        declared: Option<&MediaType>,
    ) -> Result<Manifest, ManifestError> {
        let invalid = |reason: &str| Err(ManifestError(reason.into()));
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MANIFEST_LIMIT {
            return Err(ManifestError(format!(
                "expected at most {MANIFEST_LIMIT} bytes, got {}",
                bytes.len()
            )));
        }
        if declared.is_some_and(MediaType::is_schema1) {
            return invalid(SCHEMA1);
        }
        let shape: Shape = serde_json::from_slice(&bytes)
            .map_err(|error| ManifestError(format!("expected JSON of a manifest: {error}")))?;
        let own_type = shape.media_type.filter(|own| !own.as_str().is_empty());
        let old = shape.fs_layers.is_some() || own_type.as_ref().is_some_and(MediaType::is_schema1);
        let image_shaped = shape.config.is_some() || shape.layers.is_some() || old;
        if shape.manifests.is_some() && image_shaped {
            return invalid("it is an index and an image at once");
        }
        if old || shape.schema_version == Some(1) {
            return invalid(SCHEMA1);
        }
        if shape.schema_version != Some(2) {
            return Err(ManifestError(match shape.schema_version {
                Some(other) => format!("expected schemaVersion 2, got {other}"),
                None => "expected schemaVersion 2, got none".into(),
            }));
        }
        let declared = declared.filter(|declared| declared.is_manifest());
        let document = match (shape.manifests, shape.config, shape.layers) {
            // There is nothing beside it, as was seen above.
            (Some(manifests), ..) => {
                Document::Index(Index { manifests, annotations: shape.annotations })
            }
            (None, Some(config), Some(layers)) if layers.len() <= LAYERS_LIMIT => {
                Document::Image(Box::new(ImageManifest {
                    config,
                    layers,
                    artifact_type: shape.artifact_type,
                    annotations: shape.annotations,
                }))
            }
            (None, Some(_), Some(layers)) => {
                return Err(ManifestError(format!(
                    "expected at most {LAYERS_LIMIT} layers, got {}",
                    layers.len()
                )));
            }
            (None, Some(_), None) => return invalid("expected `layers`, got none"),
            (None, None, Some(_)) => return invalid("expected `config`, got none"),
            (None, None, None) => {
                return invalid("expected `manifests`, or `config` and `layers`, got neither");
            }
        };
        let media_type = match (own_type, declared) {
            (Some(own), Some(declared)) if own != *declared => {
                return Err(ManifestError(format!("declared as {declared}, says itself {own}")));
            }
            (Some(own), _) => own,
            (None, Some(declared)) => declared.clone(),
            (None, None) => MediaType::new(match document {
                Document::Image(_) => MediaType::OCI_MANIFEST,
                Document::Index(_) => MediaType::OCI_INDEX,
            }),
        };
        let fits = match document {
            Document::Image(_) => media_type.is_image(),
            Document::Index(_) => media_type.is_index(),
        };
        if !fits {
            let shape =
                if matches!(document, Document::Image(_)) { "an image" } else { "an index" };
            return Err(ManifestError(format!(
                "it has the form of {shape} and the type {media_type}"
            )));
        }
        let mut hasher = algorithm.hasher();
        hasher.update(&bytes);
        Ok(Manifest { digest: hasher.finish(), bytes, media_type, document })
    }

    /// As it came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// One of the four types of [`MediaType::is_manifest`].
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// What it says.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What leads to this manifest.
    pub fn descriptor(&self) -> Descriptor {
        let size = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        Descriptor::new(self.media_type.clone(), self.digest, size)
    }

    /// An index of those children of this one whose digests are in `keep`: their descriptors
    /// letter for letter, in their order. `None` if this is no index.
    ///
    /// The same choice gives the same bytes.
    pub fn narrowed(&self, keep: &[Digest]) -> Option<Manifest> {
        #[derive(Deserialize)]
        struct Children<'a> {
            #[serde(borrow)]
            manifests: Vec<&'a RawValue>,
        }
        let Document::Index(index) = &self.document else { return None };
        let children: Children<'_> = serde_json::from_slice(&self.bytes).ok()?;
        let kept: Vec<&str> = std::iter::zip(&index.manifests, &children.manifests)
            .filter(|(descriptor, _)| keep.contains(&descriptor.digest))
            .map(|(_, raw)| raw.get())
            .collect();
        let bytes = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]}}",
            self.media_type,
            kept.join(",")
        );
        Manifest::parse(bytes.into_bytes(), self.digest.algorithm(), None).ok()
    }
}

const SCHEMA1: &str = "it is of Docker schema 1, which is not supported: push the image again with \
                       a newer tool";

/// The bytes are not a manifest that can be trusted to mean one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed manifest: {}", self.0)
    }
}

impl std::error::Error for ManifestError {}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{DIGEST}","size":2}}"#)
    }

    fn image(extra: &str) -> String {
        let config = descriptor(MediaType::OCI_CONFIG);
        format!(r#"{{"schemaVersion":2{extra},"config":{config},"layers":[]}}"#)
    }

    fn index(extra: &str) -> String {
        let child = descriptor(MediaType::OCI_MANIFEST);
        format!(r#"{{"schemaVersion":2{extra},"manifests":[{child}]}}"#)
    }

    fn parse(text: &str, declared: Option<&str>) -> Result<Manifest, ManifestError> {
        let declared = declared.map(MediaType::new);
        Manifest::parse(text.into(), Algorithm::Sha256, declared.as_ref())
    }

    #[track_caller]
    fn refuse(text: &str, declared: Option<&str>, part: &str) {
        let error = parse(text, declared).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    fn typed(media_type: &str) -> String {
        format!(r#","mediaType":"{media_type}""#)
    }

    #[test]
    fn manifest_type_comes_from_the_document_then_from_who_leads_to_it() {
        let check = |text: &str, declared: Option<&str>, expected: &str| {
            assert_eq!(parse(text, declared).unwrap().media_type().as_str(), expected);
        };
        check(&image(""), None, MediaType::OCI_MANIFEST);
        check(&image(""), Some(MediaType::DOCKER_MANIFEST), MediaType::DOCKER_MANIFEST);
        check(&image(""), Some("application/json"), MediaType::OCI_MANIFEST);
        check(&image(""), Some("text/html"), MediaType::OCI_MANIFEST);
        check(&image(&typed(MediaType::DOCKER_MANIFEST)), None, MediaType::DOCKER_MANIFEST);
        check(&index(""), None, MediaType::OCI_INDEX);
        check(&index(""), Some(MediaType::DOCKER_INDEX), MediaType::DOCKER_INDEX);
        check(&index(&typed("")), Some(""), MediaType::OCI_INDEX);
    }

    #[test]
    fn manifest_that_could_be_taken_for_two_things_is_refused() {
        let config = descriptor(MediaType::OCI_CONFIG);
        let both = format!(r#"{{"schemaVersion":2,"manifests":[],"config":{config},"layers":[]}}"#);
        refuse(&both, None, "at once");
        refuse(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, None, "at once");
        refuse(r#"{"schemaVersion":2,"manifests":[],"fsLayers":[]}"#, None, "at once");
        refuse(&image(""), Some(MediaType::OCI_INDEX), "form of an image");
        refuse(&index(""), Some(MediaType::DOCKER_MANIFEST), "form of an index");
        refuse(&image(&typed(MediaType::OCI_INDEX)), None, "form of an image");
        refuse(&image(&typed(MediaType::OCI_MANIFEST)), Some(MediaType::OCI_INDEX), "declared");
        refuse(
            &image(&typed(MediaType::OCI_MANIFEST)),
            Some(MediaType::DOCKER_MANIFEST),
            "declared",
        );
        refuse(&image(&typed("text/html")), None, "text/html");
    }

    #[test]
    fn manifest_json_that_readers_disagree_on_is_refused() {
        refuse(&image(r#","layers":[]"#), None, "duplicate");
        refuse(&image(r#","annotations":{"a":"1","a":"2"}"#), None, "duplicate");
        refuse(&image(&format!("{}{}", typed("a"), typed("b"))), None, "duplicate");
        refuse(&format!("{} x", image("")), None, "trailing");
        refuse(&format!("\u{feff}{}", image("")), None, "expected");
        for size in ["-1", "1.5", "1e3", "\"5\"", "9223372036854775808", "99999999999999999999"] {
            refuse(&image("").replace(r#""size":2"#, &format!(r#""size":{size}"#)), None, "JSON");
        }
        refuse(&image("").replace(DIGEST, "sha256:../../x"), None, "invalid digest");
        refuse("[]", None, "JSON");
        refuse("", None, "JSON");
        refuse("{}", None, "schemaVersion");
        refuse(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), None, "JSON");
    }

    #[test]
    fn schema_1_is_refused_by_its_name() {
        refuse(r#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#, None, "schema 1");
        refuse("{}", Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), "schema 1");
    }

    #[test]
    fn narrowed_index_keeps_descriptors_letter_for_letter() {
        let odd = r#"{ "size":2, "unknown":[1], "digest":"DIGEST", "mediaType":"application/vnd.oci.image.manifest.v1+json"}"#
            .replace("DIGEST", DIGEST);
        let other = descriptor(MediaType::OCI_MANIFEST).replace("e3b0", "aaaa");
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{other},{odd}]}}"#);
        let narrow = parse(&text, None).unwrap().narrowed(&[DIGEST.parse().unwrap()]).unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{odd}]}}"#
        );
        assert_eq!(String::from_utf8(narrow.bytes().to_vec()).unwrap(), expected);
    }
}
