use std::io::Read;

use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use serde_json::value::RawValue;
use windlass::endpoint::Source;
use windlass::error::{Context as _, Error};
use windlass::image::{
    Config, Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, ImageManifest, MANIFEST_LIMIT,
    Manifest, MediaType, Platform,
};
use windlass::stream::Verify;
use windlass::transfer::Platforms;

use crate::cli::answer::Image;
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::place::{self, Place};
use crate::cli::start::{Found, Start};
use crate::cli::{Command, Context, human};

/// Show an image: its manifest, its config and its layers.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "inspect", help_triggers("-h", "--help"))]
#[argh(example = "windlass inspect alpine:3.20")]
#[argh(example = "windlass inspect --config docker://quay.io/team/tool")]
#[argh(example = "windlass inspect oci:folder:latest")]
pub(crate) struct Inspect {
    /// print the manifest as it is, byte for byte
    #[argh(switch)]
    raw: bool,

    /// print the config as it is, byte for byte
    #[argh(switch)]
    config: bool,

    /// the name or digest of an image in the store; docker://NAME is pulled into it first;
    /// archive:FILE[:NAME] is one in an archive, oci:DIR[:NAME] one in an OCI image layout
    #[argh(positional, arg_name = "IMAGE")]
    image: String,
}

impl Command for Inspect {
    const GROUPS: &'static [Group] =
        &[Group::Platforms, Group::Transfer, Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        if self.raw && self.config {
            return Err(Failure::usage("--raw and --config exclude each other"));
        }
        let wanted = match context.settings.only.as_slice() {
            [] => None,
            [wanted] => Some(wanted),
            _ => return Err(Failure::usage("--platform: expected one, got several")),
        };
        let place = Place::parse(&self.image, place::IMAGE).map_err(Failure::usage)?;
        let start = Start::local(context, &place)?;
        let found = start.image()?;
        let source = start.source()?;
        let content = Content(source.get());
        let Some(root) = found.descriptor() else {
            return Err(Error::content(format!("{place} is not here")).into());
        };
        let mut manifest = content.manifest(root)?;
        if let Some(wanted) = wanted {
            manifest = choose(&content, &manifest, root.platform.as_ref(), wanted)?;
        }
        if self.raw {
            return Ok(context.output.answer_exactly(manifest.bytes())?);
        }
        if self.config {
            let host = Platform::host();
            if let Document::Index(_) = manifest.document() {
                manifest = choose(&content, &manifest, None, &host)?;
            }
            let Document::Image(image) = manifest.document() else {
                return Err(Error::content("the index leads to an index").into());
            };
            return Ok(context.output.answer_exactly(&content.read(&image.config)?)?);
        }
        let image = match start.entry(&found) {
            Some((store, entry)) => Image::stored(store, &entry)?,
            None => planned(context, &content, &found)?,
        };
        if context.output.is_json() {
            return Ok(context.output.answer_json(&object(&content, &image, &manifest)?)?);
        }
        Ok(context.output.answer(&text(&content, &image, &manifest)?)?)
    }
}

/// What is small in a place, verified.
struct Content<'s>(&'s dyn Source);

impl Content<'_> {
    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        self.0.manifest(descriptor)
    }

    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let reading = || format!("reading {}", descriptor.digest);
        if descriptor.size > MANIFEST_LIMIT {
            let message =
                format!("expected at most {MANIFEST_LIMIT} bytes, got {}", descriptor.size);
            return Err(Error::content(message)).context(reading);
        }
        let mut bytes = Vec::new();
        let content = self.0.open(descriptor, 0).context(reading)?;
        Verify::new(content, descriptor).read_to_end(&mut bytes).context(reading)?;
        Ok(bytes)
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Config, Error> {
        Config::from_slice(&self.read(descriptor)?)
            .map_err(|error| Error::content(format!("malformed config: {error}")))
            .context(|| format!("reading config {}", descriptor.digest))
    }
}

/// What is said of an image where nothing is noted of it.
fn planned(context: &Context, content: &Content<'_>, found: &Found) -> Result<Image, Failure> {
    let ends = Ends::new(context, [])?;
    let name = found.name.clone().unwrap_or_default();
    let plan = found.plan(&ends.transfer(content.0, &()), &name, &Platforms::All)?;
    let config = plan.manifests().iter().find_map(|manifest| match manifest.document() {
        Document::Image(image) => Some(config_of(content, image)),
        Document::Index(_) => None,
    });
    let config = config.transpose()?.flatten();
    let mut image = Image::planned(name, &plan);
    image.name.clone_from(&found.name);
    if image.platform.is_none() && image.platforms.is_empty() {
        let platform = config.as_ref().and_then(|config| config.platform());
        image.platform = platform.as_ref().map(Platform::to_string);
    }
    image.created = config.and_then(|config| config.created);
    Ok(image)
}

/// The image for `wanted`, of those that `manifest` leads to; `known` is for which it is itself,
/// if that was said.
fn choose(
    content: &Content<'_>,
    manifest: &Manifest,
    known: Option<&Platform>,
    wanted: &Platform,
) -> Result<Manifest, Error> {
    let mut there = Vec::new();
    let root = Descriptor { platform: known.cloned(), ..manifest.descriptor() };
    collect(content, &root, 0, &mut there)?;
    let distance = |(platform, _): &&(Platform, Descriptor)| wanted.distance(platform);
    let fitting = there.iter().filter(|candidate| distance(candidate).is_some());
    if let Some((_, chosen)) = fitting.min_by_key(distance) {
        return content.manifest(chosen);
    }
    let names: Vec<String> = there.iter().map(|(platform, _)| platform.to_string()).collect();
    let names = if names.is_empty() { "none".into() } else { names.join(", ") };
    Err(Error::not_found(format!("no image for {wanted}: there are {names}")))
}

fn collect(
    content: &Content<'_>,
    descriptor: &Descriptor,
    depth: u32,
    there: &mut Vec<(Platform, Descriptor)>,
) -> Result<(), Error> {
    if descriptor.is_attestation() {
        return Ok(());
    }
    if depth > INDEX_DEPTH_LIMIT {
        return Err(Error::content("expected fewer indexes in each other"));
    }
    let kind = &descriptor.media_type;
    if !kind.is_manifest() && !kind.as_str().is_empty() {
        return Ok(()); // An index may list anything.
    }
    let manifest = content.manifest(descriptor)?;
    match manifest.document() {
        Document::Index(index) => {
            index.manifests.iter().try_for_each(|child| collect(content, child, depth + 1, there))
        }
        Document::Image(image) => {
            let platform = match &descriptor.platform {
                Some(platform) => Some(platform.clone()),
                None => config_of(content, image)?.and_then(|config| config.platform()),
            };
            there.extend(platform.map(|platform| (platform, descriptor.clone())));
            Ok(())
        }
    }
}

/// The config, if the manifest is one of an image and not of an artifact.
fn config_of(content: &Content<'_>, image: &ImageManifest) -> Result<Option<Config>, Error> {
    match image.config.media_type.is_config() {
        true => content.config(&image.config).map(Some),
        false => Ok(None),
    }
}

/// The object of `--json`. Stable.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    image: &'a Image,
    /// As they came: parsed into a tree they would take many times their memory, and lose what
    /// this version does not know.
    manifest: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<Part<'a>>>,
}

/// A manifest or a layer.
#[derive(Serialize)]
struct Part<'a> {
    digest: Digest,
    size: u64,
    media_type: &'a MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
}

impl Part<'_> {
    fn of(descriptor: &Descriptor) -> Part<'_> {
        let Descriptor { digest, size, media_type, platform, .. } = descriptor;
        let platform = platform.as_ref().map(Platform::to_string);
        Part { digest: *digest, size: *size, media_type, platform }
    }
}

fn object<'a>(
    content: &Content<'_>,
    image: &'a Image,
    manifest: &'a Manifest,
) -> Result<Object<'a>, Error> {
    let raw = |bytes: &[u8]| {
        serde_json::from_slice(bytes).map_err(|error| Error::content(format!("malformed: {error}")))
    };
    let manifest_as_it_is = raw(manifest.bytes())?;
    let (mut config, mut manifests, mut layers) = (None, None, None);
    match manifest.document() {
        Document::Index(index) => manifests = Some(index.manifests.iter().map(Part::of).collect()),
        Document::Image(image) => {
            layers = Some(image.layers.iter().map(Part::of).collect());
            if image.config.media_type.is_config() {
                config = Some(raw(&content.read(&image.config)?)?);
            }
        }
    }
    Ok(Object { image, manifest: manifest_as_it_is, config, manifests, layers })
}

fn text(content: &Content<'_>, image: &Image, manifest: &Manifest) -> Result<String, Error> {
    let mut lines = vec![
        field("Name", image.name.as_deref().unwrap_or("<none>")),
        field("Digest", &image.digest.to_string()),
        field("Stored", &image.stored.to_string()),
        field("Media type", image.media_type.as_str()),
        field("Platform", &image.shown_platforms()),
    ];
    lines.extend(image.created.iter().map(|created| field("Created", created)));
    lines.extend(image.size.map(|size| field("Size", &in_bytes(size))));
    if manifest.digest() != image.stored {
        lines.push(field("Manifest", &manifest.digest().to_string()));
    }
    match manifest.document() {
        Document::Index(index) => {
            lines.push("Manifests:".into());
            lines.extend(index.manifests.iter().map(|child| {
                let platform = child.platform.as_ref().map_or("-".into(), Platform::to_string);
                format!("  {}  {platform}  {}", child.digest, human::size(child.size))
            }));
        }
        Document::Image(manifest) => {
            lines.push(field("Config", &manifest.config.digest.to_string()));
            if let Some(config) = config_of(content, manifest)? {
                lines.extend(runtime(&config));
            }
            lines.push("Layers:".into());
            lines.extend(manifest.layers.iter().map(|layer| {
                format!("  {}  {}  {}", layer.digest, human::size(layer.size), layer.media_type)
            }));
        }
    }
    Ok(lines.iter().map(|line| human::line(line)).collect::<Vec<_>>().join("\n"))
}

/// How a container of it is run, as far as the config says.
fn runtime(config: &Config) -> Vec<String> {
    let Some(runtime) = &config.config else { return Vec::new() };
    let mut lines = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.filter(|value| !value.is_empty()).map(|value| field(name, &value)));
    };
    add("Author", config.author.clone());
    add("User", runtime.user.clone());
    add("Folder", runtime.working_dir.clone());
    let command = |words: &[String]| (!words.is_empty()).then(|| format!("{words:?}"));
    add("Entrypoint", command(&runtime.entrypoint));
    add("Command", command(&runtime.cmd));
    for variable in &runtime.env {
        add("Variable", Some(variable.clone()));
    }
    for (name, value) in &runtime.labels {
        add("Label", Some(format!("{name}={value}")));
    }
    lines
}

fn field(name: &str, value: &str) -> String {
    format!("{:<12}{value}", format!("{name}:"))
}

fn in_bytes(size: u64) -> String {
    format!("{size} ({})", human::size(size))
}
