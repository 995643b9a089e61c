use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use windlass::stream::compression::Compression;

use crate::cli::carry::{Carried, Carrying, Item};
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::goal::{End, Goal};
use crate::cli::lists::DigestFile;
use crate::cli::options::Group;
use crate::cli::place::{self, Place};
use crate::cli::start::{Found, Start};
use crate::cli::values::CompressedBy;
use crate::cli::{Command, Context};

/// Write images from the store into one tar file, which docker, podman, containerd, skopeo, regctl
/// and crane load as it is. No digest changes; the same images give the same bytes. Without
/// --platform all is written that is stored of an image.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "export", help_triggers("-h", "--help"))]
#[argh(example = "windlass export -o images.tar alpine:3.20 quay.io/team/tool")]
#[argh(
    example = "windlass export --platform linux/arm64 -o - docker://alpine | ssh host docker load"
)]
pub(crate) struct Export {
    /// write FILE (archive:FILE too); - is stdout; oci:DIR[:NAME] is an OCI image layout, which
    /// gains the images
    #[argh(option, short = 'o', arg_name = "FILE")]
    output: Option<String>,

    /// export all that is in the store
    #[argh(switch)]
    all: bool,

    /// compress the whole: gzip or zstd. Layers are compressed mostly, so it gains little
    #[argh(option, arg_name = "HOW")]
    compress: Option<CompressedBy>,

    /// only say what would be written
    #[argh(switch)]
    dry_run: bool,

    /// write the digest of each image to FILE, one a line
    #[argh(option, arg_name = "FILE")]
    digestfile: Option<PathBuf>,

    /// names or digests of images in the store; docker://NAME is pulled into it first;
    /// archive:FILE[:NAME] and oci:DIR[:NAME] are taken from there
    #[argh(positional, arg_name = "IMAGE")]
    images: Vec<String>,
}

impl Command for Export {
    const GROUPS: &'static [Group] =
        &[Group::Platforms, Group::Transfer, Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let to = self.to()?;
        let from = self.from()?;
        let ends = Ends::new(context, [])?;
        let goal = Goal::open(&ends, &to, self.dry_run)?;
        let digest_file = match &self.digestfile {
            Some(path) if !self.dry_run => Some(DigestFile::create(path)?),
            _ => None,
        };
        let mut starts = Vec::new();
        let mut found = Vec::new();
        for place in &from {
            let exporting = |failure: Failure| failure.context("exporting");
            let start = Start::local(context, place).map_err(exporting)?;
            let images = start.images().map_err(exporting)?;
            found.extend(images.into_iter().map(|image| (starts.len(), image)));
            starts.push(start);
        }
        let (of, images): (Vec<usize>, Vec<Found>) = found.into_iter().unzip();
        let named = goal.name_all(images)?.into_iter().zip(of);
        let item = |((image, name), of): ((Found, String), usize)| Item {
            start: &starts[of],
            image,
            shown: name.clone(),
            name,
        };
        let items: Vec<Item<'_>> = named.map(item).collect();
        let compression = self.compress.map_or(Compression::None, |it| it.0);
        if self.compress.is_some() && matches!(goal.end, End::Store(_)) {
            return Err(Failure::usage("--compress: a layout is not compressed"));
        }
        let carrying = Carrying { ends: &ends, verb: "export", dry_run: self.dry_run, compression };
        let mut digests = Vec::new();
        let mut answer = |carried: Carried| {
            digests.push(carried.digest);
            carried.answer(&context.output, &goal)
        };
        match &goal.end {
            End::Archive(target) => {
                carrying.write(&items, target)?.into_iter().try_for_each(answer)?;
            }
            End::Store(store) => {
                items.iter().try_for_each(|item| answer(carrying.bring(item, store)?))?;
            }
        }
        Ok(digest_file.map_or(Ok(()), |file| file.commit(&digests))?)
    }
}

impl Export {
    fn to(&self) -> Result<Place, Failure> {
        match self.output.as_deref() {
            None => Err(Failure::usage("expected -o FILE, got none").help(OUTPUT)),
            Some("") => Err(Failure::usage("-o: expected a file, got nothing")),
            Some(text) => Place::parse(text, place::FILE).map_err(Failure::usage),
        }
    }

    /// What is to be exported.
    fn from(&self) -> Result<Vec<Place>, Failure> {
        match (self.all, self.images.is_empty()) {
            (true, false) => Err(Failure::usage("--all and IMAGE exclude each other")),
            (false, true) => Err(Failure::usage("expected an image, got none")
                .help("`windlass list` lists what is in the store; --all exports all of it")),
            (true, true) => Ok(vec![Place::Store(None)]),
            (false, false) => {
                let places = self.images.iter().map(|text| Place::parse(text, place::IMAGE));
                places.collect::<Result<_, _>>().map_err(Failure::usage)
            }
        }
    }
}

const OUTPUT: &str = "-o FILE writes an archive, -o - writes it to stdout, -o oci:DIR a layout";
