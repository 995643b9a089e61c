use std::collections::{BTreeMap, HashMap};

use super::documents;
use super::header::{END, header, padding};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Document, Manifest, Platform};
use crate::reference::Reference;

/// An image that an archive is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// What it is called. Without a tag it is called by the digest of what is written.
    pub name: &'a Reference,
    /// What the name leads to, with the platform if it is for one that was chosen.
    pub target: &'a Descriptor,
    /// The manifests that it consists of, its own among them.
    pub manifests: &'a [Manifest],
    /// Configs and layers.
    pub blobs: &'a [Descriptor],
}

impl Image<'_> {
    /// What the archive calls it: a digest in the name is never that of something else, an index
    /// of which one image is left.
    pub fn full_name(&self) -> String {
        match self.name.tag() {
            Some(_) => self.name.name(),
            None => self.name.with_digest(self.target.digest).name(),
        }
    }
}

/// What an archive will hold, and where: known before its first byte is written, so that the same
/// images give the same bytes on any day and in any order of naming them.
///
/// First come the documents that say what is inside, then all manifests, all configs and, image
/// by image, the layers; what several images share is there once.
#[derive(Debug)]
pub struct Contents {
    pub(super) members: Vec<Member>,
    places: HashMap<Digest, usize>,
    size: u64,
}

/// A member, and where it is.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) header: Vec<u8>,
    /// Where the header begins.
    pub(super) offset: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// Known already; of a folder there is none.
    Bytes(Vec<u8>),
    Blob(Box<Descriptor>),
}

impl Member {
    /// Where the content begins.
    pub(super) fn start(&self) -> u64 {
        self.offset + as_u64(self.header.len())
    }
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => as_u64(bytes.len()),
            Content::Blob(blob) => blob.size,
        }
    }
}

impl Contents {
    /// What an archive of `images` holds. Who can load only one image of several platforms finds
    /// that for the first of the `preferred` ones that is there.
    ///
    /// # Errors
    ///
    /// When one name is to mean two images, or one digest content of two sizes.
    pub fn of(images: &[Image<'_>], preferred: &[Platform]) -> Result<Contents> {
        let mut named: BTreeMap<String, &Image<'_>> = BTreeMap::new();
        for image in images {
            let name = image.full_name();
            let before = named.insert(name.clone(), image).map(|before| before.target.digest);
            let target = image.target.digest;
            if let Some(before) = before.filter(|before| *before != target) {
                let message = format!("expected {name} once, it is {before} and {target}");
                return Err(Error::usage(message));
            }
        }
        let images: Vec<&Image<'_>> = named.into_values().collect();
        let mut contents = Contents { members: Vec::new(), places: HashMap::new(), size: 0 };
        contents.document("oci-layout", documents::LAYOUT.into())?;
        contents.document("index.json", documents::index(&images)?)?;
        contents.document("manifest.json", documents::docker(&images, preferred)?)?;
        contents.folders(&images)?;
        for manifest in images.iter().flat_map(|image| image.manifests) {
            let descriptor = manifest.descriptor();
            contents.once(&descriptor, || Content::Bytes(manifest.bytes().into()))?;
        }
        let (configs, others): (Vec<_>, Vec<_>) = images.iter().map(|it| configs_of(it)).unzip();
        for blob in configs.into_iter().chain(others).flatten() {
            contents.once(blob, || Content::Blob(Box::new(blob.clone())))?;
        }
        contents.size = contents.size.checked_add(as_u64(END.len())).ok_or_else(too_large)?;
        Ok(contents)
    }

    /// Bytes of the archive, if it is not compressed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The blobs whose content is still to come, in the order of the archive: configs, then
    /// layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.members.iter().filter_map(|member| match &member.content {
            Content::Blob(blob) => Some(&**blob),
            Content::Bytes(_) => None,
        })
    }

    /// How many blobs and manifests there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The member that is the content of that digest.
    pub(super) fn find(&self, digest: Digest) -> Option<&Member> {
        self.places.get(&digest).map(|place| &self.members[*place])
    }

    fn folders(&mut self, images: &[&Image<'_>]) -> Result<()> {
        let manifests = images.iter().flat_map(|image| image.manifests).map(Manifest::digest);
        let blobs = images.iter().flat_map(|image| image.blobs).map(|blob| blob.digest);
        let mut algorithms: Vec<&str> =
            manifests.chain(blobs).map(|digest| digest.algorithm().as_str()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        self.document("blobs/", Vec::new())?;
        algorithms
            .iter()
            .try_for_each(|algorithm| self.document(&format!("blobs/{algorithm}/"), Vec::new()))
    }

    fn document(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.add(path, Content::Bytes(bytes))
    }

    /// Adds what has a digest, unless it is there.
    fn once(&mut self, descriptor: &Descriptor, content: impl FnOnce() -> Content) -> Result<()> {
        let Descriptor { digest, size, .. } = descriptor;
        match self.find(*digest).map(|member| member.content.size()) {
            Some(there) if there != *size => {
                let message = format!("{digest} is described with {there} and with {size} bytes");
                Err(Error::content(message))
            }
            Some(_) => Ok(()),
            None => {
                self.places.insert(*digest, self.members.len());
                self.add(&documents::path(*digest), content())
            }
        }
    }

    fn add(&mut self, path: &str, content: Content) -> Result<()> {
        let size = content.size();
        let member = Member { header: header(path, size), offset: self.size, content };
        let end = member.start().checked_add(size).filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or_else(too_large)?;
        self.size = end + padding(end);
        self.members.push(member);
        Ok(())
    }
}

/// The configs of an image, and its other blobs.
fn configs_of<'a>(image: &Image<'a>) -> (Vec<&'a Descriptor>, Vec<&'a Descriptor>) {
    let config = |manifest: &Manifest| match manifest.document() {
        Document::Image(image) => Some(image.config.digest),
        Document::Index(_) => None,
    };
    let configs: Vec<Digest> = image.manifests.iter().filter_map(config).collect();
    image.blobs.iter().partition(|blob| configs.contains(&blob.digest))
}

fn too_large() -> Error {
    ErrorKind::Local("the archive would be larger than a file can be".into()).into()
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
