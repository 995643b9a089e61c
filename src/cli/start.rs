//! Where images come from: a place, opened to be read.

use windlass::archive::{Archive, Listed, Name};
use windlass::endpoint::{Intake, Source};
use windlass::error::{Error, ErrorKind};
use windlass::image::Descriptor;
use windlass::reference::Reference;
use windlass::registry::Remote;
use windlass::store::{Durability, Entry, Store};
use windlass::transfer::{Plan, Platforms, Transfer};

use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::held::{self, Held};
use crate::cli::place::Place;
use crate::cli::{Context, archive, pull, stored};

/// Where images come from.
pub(crate) struct Start<'g> {
    place: Place,
    opened: Opened<'g>,
}

enum Opened<'g> {
    Registry(Remote),
    Store(Store),
    Layout(Store),
    Archive(Archive<'g>),
}

/// What a transfer reads from.
pub(crate) enum Reading<'s> {
    Place(&'s dyn Source),
    Archive(Box<dyn Source + 's>),
}

/// An image where it comes from.
pub(crate) struct Found {
    /// What it is called there, as fully as is known.
    pub(crate) name: Option<String>,
    root: Root,
}

enum Root {
    Named(Reference),
    At(Descriptor),
}

impl<'g> Start<'g> {
    /// Opens a place. Registries are not asked yet. What can be read but once goes `into` a place
    /// that takes what has no name.
    pub(crate) fn open(
        ends: &mut Ends<'_>,
        place: &Place,
        into: Option<&'g Store>,
    ) -> Result<Start<'g>, Failure> {
        match place {
            Place::Registry(reference) => {
                let remote = ends.remote(reference.repository())?;
                Ok(Start { place: place.clone(), opened: Opened::Registry(remote) })
            }
            place => Start::here(ends.context, place, into),
        }
    }

    /// Opens a place for a command that works on the store; so what is in a registry is brought
    /// into that first.
    pub(crate) fn local(context: &Context, place: &Place) -> Result<Start<'g>, Failure> {
        let Place::Registry(reference) = place else { return Start::here(context, place, None) };
        let store = stored::open(context)?;
        pull::into_store(context, &store, reference)?;
        let place = Place::Store(Some(reference.to_string()));
        Ok(Start { place, opened: Opened::Store(store) })
    }

    fn here(
        context: &Context,
        place: &Place,
        into: Option<&'g Store>,
    ) -> Result<Start<'g>, Failure> {
        let opened = match place {
            Place::Registry(_) | Place::Store(_) => Opened::Store(stored::open(context)?),
            Place::Layout(path, _) => {
                // Nothing is written there that would have to be synced.
                Opened::Layout(Store::existing_layout(path, Durability::Unsynced)?)
            }
            Place::Archive(path, _) => {
                let into = into.map(|store| store as &dyn Intake);
                Opened::Archive(archive::open(context, path, into)?)
            }
        };
        Ok(Start { place: place.clone(), opened })
    }

    /// What can be read here, whichever image it is of.
    pub(crate) fn source(&self) -> Result<Reading<'_>, Failure> {
        Ok(match &self.opened {
            Opened::Registry(remote) => Reading::Place(remote),
            Opened::Store(store) | Opened::Layout(store) => Reading::Place(store),
            Opened::Archive(archive) => match archive.images().first() {
                Some(any) => Reading::Archive(Box::new(archive.source(any))),
                None => return Err(nothing_in(&self.place)),
            },
        })
    }

    /// The images that the place means, at least one.
    pub(crate) fn images(&self) -> Result<Vec<Found>, Failure> {
        let place = &self.place;
        let (held, is_archive) = match &self.opened {
            Opened::Registry(_) => (Vec::new(), false),
            Opened::Store(store) | Opened::Layout(store) => {
                (store.entries()?.iter().map(Held::of_entry).collect(), false)
            }
            Opened::Archive(archive) => (archive.images().iter().map(of_listed).collect(), true),
        };
        let found: Vec<Held> = match (&self.opened, place) {
            (_, Place::Registry(reference)) => {
                let (name, root) = (Some(reference.name()), Root::Named(reference.clone()));
                return Ok(vec![Found { name, root }]);
            }
            (Opened::Store(store), Place::Store(Some(name))) => {
                let entry = store.find(name).map_err(|it| stored::advise(store, name, it))?;
                vec![Held::of_entry(&entry)]
            }
            _ => match place.name() {
                Some(name) => vec![held::choose(held, name, &place.whole())?],
                // All that is in an archive is meant to be carried.
                None if is_archive => held,
                None => {
                    match held::left_out(&held) {
                        0 => {}
                        1 => log::warn!("{place}: an image without a name is left out"),
                        count => log::warn!("{place}: {count} images without a name are left out"),
                    }
                    held::all(held)
                }
            },
        };
        if found.is_empty() {
            return Err(nothing_in(place));
        }
        Ok(found.into_iter().map(Found::of).collect())
    }

    /// Where `image` is, as it can be typed.
    pub(crate) fn shown(&self, image: &Found) -> String {
        match (&self.place, &image.name) {
            (Place::Store(None), Some(name)) => Place::Store(Some(name.clone())).to_string(),
            (Place::Archive(path, None), Some(name)) => {
                Place::Archive(path.clone(), Some(name.clone())).to_string()
            }
            (Place::Layout(path, None), Some(name)) => {
                Place::Layout(path.clone(), Some(name.clone())).to_string()
            }
            (place, _) => place.to_string(),
        }
    }

    /// The one image that the place means.
    pub(crate) fn image(&self) -> Result<Found, Failure> {
        let held: Vec<Held> = match (&self.opened, self.place.name()) {
            (_, Some(_)) | (Opened::Registry(_), _) => {
                let mut images = self.images()?;
                return Ok(images.remove(0));
            }
            (Opened::Store(store) | Opened::Layout(store), None) => {
                store.entries()?.iter().map(Held::of_entry).collect()
            }
            (Opened::Archive(archive), None) => archive.images().iter().map(of_listed).collect(),
        };
        Ok(Found::of(held::only(held, &self.place.whole())?))
    }

    /// What is said of `image` by the store or the layout that it is in.
    pub(crate) fn entry(&self, image: &Found) -> Option<(&Store, Entry)> {
        match (&self.opened, &image.root) {
            (Opened::Store(store) | Opened::Layout(store), Root::At(descriptor)) => {
                let name = image.name.clone().unwrap_or_default();
                Some((store, Entry { name, descriptor: descriptor.clone(), position: 0 }))
            }
            _ => None,
        }
    }

    /// The same error, which says where in the place what is wrong was found.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match (&self.opened, error.kind()) {
            (Opened::Archive(archive), ErrorKind::Digest { expected, .. }) => {
                match archive.member(*expected) {
                    Some(member) => error.context(format!("reading member `{member}`")),
                    None => error,
                }
            }
            _ => error,
        }
    }
}

impl Reading<'_> {
    pub(crate) fn get(&self) -> &(dyn Source + '_) {
        match self {
            Reading::Place(source) => *source,
            Reading::Archive(source) => &**source,
        }
    }
}

fn nothing_in(place: &Place) -> Failure {
    let message = match place {
        Place::Store(None) => "there is nothing in the store".to_owned(),
        place => format!("there is no image in `{place}`"),
    };
    Error::not_found(message).into()
}

impl Found {
    fn of(held: Held) -> Found {
        Found { name: held.name().map(str::to_owned), root: Root::At(held.descriptor) }
    }

    /// What it is, if that is known without asking.
    pub(crate) fn descriptor(&self) -> Option<&Descriptor> {
        match &self.root {
            Root::Named(_) => None,
            Root::At(descriptor) => Some(descriptor),
        }
    }

    /// What moves when it goes by `transfer` to where it is called `name`.
    pub(crate) fn plan(
        &self,
        transfer: &Transfer<'_>,
        name: &str,
        platforms: &Platforms,
    ) -> Result<Plan, Error> {
        match &self.root {
            Root::Named(reference) => transfer.plan(reference, platforms),
            Root::At(descriptor) => transfer.plan_of(name, descriptor, platforms),
        }
    }
}

fn of_listed(listed: &Listed) -> Held {
    let names = match &listed.name {
        Name::Full(reference) => vec![reference.name()],
        Name::Tag(tag) => vec![tag.clone()],
        Name::None => Vec::new(),
    };
    Held::new(names, listed.target.clone())
}
