//! The ends of a transfer: places, opened with what the settings say.

use std::collections::HashMap;

use windlass::archive::{Archive, Listed, Name};
use windlass::endpoint::{Intake, Sink, Source};
use windlass::error::{Error, ErrorKind};
use windlass::image::Descriptor;
use windlass::reference::{Reference, Repository};
use windlass::registry::Remote;
use windlass::store::{Durability, Entry, Store};
use windlass::transfer::{Observer, Plan, Platforms, Transfer};

use crate::cli::archive::{self, Target};
use crate::cli::failure::Failure;
use crate::cli::held::{self, Held, is_tag};
use crate::cli::place::Place;
use crate::cli::remote::Registries;
use crate::cli::{Context, progress, pull, stored};

/// What the transfers of a command have in common.
pub(crate) struct Ends<'a> {
    pub(crate) context: &'a Context,
    registries: Registries<'a>,
    observer: Box<dyn Observer>,
    jobs: usize,
}

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

/// Where images go.
pub(crate) struct Goal {
    place: Place,
    pub(crate) end: End,
}

pub(crate) enum End {
    /// One by one, each by its name.
    Store(Store),
    /// Together, into a new one.
    Archive(Target),
}

impl<'a> Ends<'a> {
    /// For images that come from `repositories`, if they come from registries.
    pub(crate) fn new<'b>(
        context: &'a Context,
        repositories: impl IntoIterator<Item = &'b Repository>,
    ) -> Result<Ends<'a>, Failure> {
        let jobs = context.settings.jobs()?;
        let registries = Registries::new(context, repositories, jobs)?;
        let observer = progress::observer(&context.output);
        Ok(Ends { context, registries, observer, jobs })
    }

    /// The repository in its registry.
    pub(crate) fn remote(&mut self, repository: &Repository) -> Result<Remote, Failure> {
        Ok(self.registries.repository(repository)?)
    }

    /// Opens a place to read from. Registries are not asked yet. What can be read but once goes
    /// `into` a place that takes what has no name.
    pub(crate) fn start<'g>(
        &mut self,
        place: &Place,
        into: Option<&'g Store>,
    ) -> Result<Start<'g>, Failure> {
        let remote = match place {
            Place::Registry(reference) => Some(self.remote(reference.repository())?),
            _ => None,
        };
        match remote {
            Some(remote) => Ok(Start { place: place.clone(), opened: Opened::Registry(remote) }),
            None => Start::here(self.context, place, into),
        }
    }

    /// Opens a place to write to, and fails if that is not possible there.
    pub(crate) fn goal(&self, place: &Place, dry_run: bool) -> Result<Goal, Failure> {
        let durability = stored::durability(&self.context.settings);
        let end = match place {
            Place::Registry(_) => {
                return Err(Failure::usage(format!("`{place}` cannot be written to")));
            }
            Place::Store(_) => End::Store(stored::open(self.context)?),
            Place::Layout(path, _) => End::Store(Store::layout(path, durability)?),
            Place::Archive(path, _) => End::Archive(Target::of(path)),
        };
        match &end {
            _ if dry_run => {}
            End::Store(store) => store.writable()?,
            End::Archive(Target::Stdout) => drop(self.context.output.pipe()?),
            End::Archive(_) => {}
        }
        Ok(Goal { place: place.clone(), end })
    }

    /// How images get from one end to the other.
    pub(crate) fn transfer<'t>(
        &'t self,
        source: &'t dyn Source,
        sink: &'t dyn Sink,
    ) -> Transfer<'t> {
        let settings = &self.context.settings;
        Transfer {
            source,
            sink,
            jobs: self.jobs,
            retry: settings.retry(),
            stall_timeout: settings.stall_timeout,
            observer: self.observer(),
            interrupt: &self.context.interrupt,
        }
    }

    /// Who is told what happens.
    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }
}

impl<'g> Start<'g> {
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

impl Goal {
    /// Whether what goes there goes to stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.end, End::Archive(Target::Stdout))
    }

    /// Where what can be read but once may go before it has a name.
    pub(crate) fn intake(&self) -> Option<&Store> {
        match &self.end {
            End::Store(store) => Some(store),
            End::Archive(_) => None,
        }
    }

    /// What `image` will be called, which may be one of `several`.
    ///
    /// # Errors
    ///
    /// If it has no name that can be kept there.
    fn name_for(&self, image: &Found, several: bool) -> Result<String, Failure> {
        let place = &self.place;
        let named = format!("{}:NAME", place.whole().trim_end_matches(':'));
        let nameless = |why: String| {
            Failure::usage(why).help(match several {
                false => format!("say how to name it: {named}"),
                true => format!("take it alone and say how to name it: {named}"),
            })
        };
        let name = match (place.name(), image.name.as_deref()) {
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err(nameless("the image has no name".into())),
        };
        if matches!(place, Place::Layout(..)) {
            return Ok(name.to_owned());
        }
        if place.name().is_none() && is_tag(name) {
            return Err(nameless(format!("`{name}` is only a tag: the image has no full name")));
        }
        match name.parse::<Reference>() {
            Ok(reference) => Ok(reference.name()),
            Err(error) => Err(nameless(error.to_string())),
        }
    }

    /// What each of `images` will be called.
    ///
    /// # Errors
    ///
    /// If several of them would be called the same.
    pub(crate) fn name_all(&self, images: Vec<Found>) -> Result<Vec<(Found, String)>, Failure> {
        if let (Some(name), true) = (self.place.name(), images.len() > 1) {
            let count = images.len();
            let message = format!("{count} images cannot all be called `{name}`");
            let advice = format!("name one, or take all to {}", self.place.whole());
            return Err(Failure::usage(message).help(advice));
        }
        let several = images.len() > 1;
        let mut named: Vec<(Found, String)> = Vec::new();
        let mut known = HashMap::new();
        for image in images {
            let name = self.name_for(&image, several)?;
            let digest = image.descriptor().map(|it| it.digest);
            if known.insert(name.clone(), digest).is_some_and(|other| other != digest) {
                return Err(Failure::usage(format!("several images would be called `{name}`")));
            }
            named.push((image, name));
        }
        Ok(named)
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
