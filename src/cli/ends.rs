//! The ends of a transfer: places, opened with what the settings say.

use std::path::Path;

use windlass::endpoint::{Sink, Source};
use windlass::error::Error;
use windlass::image::Descriptor;
use windlass::reference::{Reference, Repository};
use windlass::registry::Remote;
use windlass::store::{Durability, Entry, Store};
use windlass::transfer::{Observer, Plan, Platforms, Transfer};

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
pub(crate) struct Start {
    place: Place,
    opened: Opened,
}

enum Opened {
    Registry(Remote),
    Store(Store),
    Layout(Store),
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
    store: Store,
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

    /// Opens a place to read from. Registries are not asked yet.
    pub(crate) fn start(&mut self, place: &Place) -> Result<Start, Failure> {
        let opened = match place {
            Place::Registry(reference) => Opened::Registry(self.remote(reference.repository())?),
            Place::Store(_) => Opened::Store(stored::open(self.context)?),
            Place::Layout(path, _) => Opened::Layout(layout(path)?),
        };
        Ok(Start { place: place.clone(), opened })
    }

    /// Opens a place to write to, and fails if that is not possible there.
    pub(crate) fn goal(&self, place: &Place) -> Result<Goal, Failure> {
        let settings = &self.context.settings;
        let store = match place {
            Place::Registry(_) => {
                return Err(Failure::usage(format!("`{place}` cannot be written to")));
            }
            Place::Store(_) => stored::open(self.context)?,
            Place::Layout(path, _) => Store::layout(path, stored::durability(settings))?,
        };
        if !settings.dry_run {
            store.writable()?;
        }
        Ok(Goal { place: place.clone(), store })
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
            observer: &*self.observer,
            interrupt: &self.context.interrupt,
        }
    }
}

/// The layout in the folder `path`, to be read.
fn layout(path: &Path) -> Result<Store, Failure> {
    Ok(Store::existing_layout(path, Durability::Unsynced)?)
}

/// The one image that `place` means, and where it is; what is in a registry is brought into the
/// store first.
pub(crate) fn image(context: &Context, place: &Place) -> Result<(Store, Entry), Failure> {
    let (store, name) = match place {
        Place::Registry(reference) => {
            let store = stored::open(context)?;
            let entry = pull::into_store(context, &store, reference)?;
            return Ok((store, entry));
        }
        Place::Store(name) => (stored::open(context)?, name),
        Place::Layout(path, name) => (layout(path)?, name),
    };
    if let (Place::Store(_), Some(name)) = (place, name) {
        let entry = store.find(name).map_err(|it| stored::advise(&store, name, it))?;
        return Ok((store, entry));
    }
    let held = store.entries()?.iter().map(Held::of_entry).collect();
    let held = match name {
        Some(name) => held::choose(held, name, &place.whole())?,
        None => held::only(held, &place.whole())?,
    };
    let name = held.name().unwrap_or_default().to_owned();
    Ok((store, Entry { name, descriptor: held.descriptor, position: 0 }))
}

impl Start {
    pub(crate) fn source(&self) -> &dyn Source {
        match &self.opened {
            Opened::Registry(remote) => remote,
            Opened::Store(store) | Opened::Layout(store) => store,
        }
    }

    /// The images that the place means, at least one.
    pub(crate) fn images(&self) -> Result<Vec<Found>, Failure> {
        let place = &self.place;
        let store = match (&self.opened, place) {
            (_, Place::Registry(reference)) => {
                let (name, root) = (Some(reference.name()), Root::Named(reference.clone()));
                return Ok(vec![Found { name, root }]);
            }
            (Opened::Store(store), Place::Store(Some(name))) => {
                let entry = store.find(name).map_err(|it| stored::advise(store, name, it))?;
                return Ok(vec![Found::of(Held::of_entry(&entry))]);
            }
            (Opened::Store(store) | Opened::Layout(store), _) => store,
            (Opened::Registry(_), _) => {
                return Err(Failure::usage(format!("`{place}` is in no registry")));
            }
        };
        let held: Vec<Held> = store.entries()?.iter().map(Held::of_entry).collect();
        let found: Vec<Held> = match place.name() {
            Some(name) => vec![held::choose(held, name, &place.whole())?],
            None => {
                match held::left_out(&held) {
                    0 => {}
                    1 => log::warn!("{place}: an image without a name is left out"),
                    count => log::warn!("{place}: {count} images without a name are left out"),
                }
                held::all(held)
            }
        };
        if found.is_empty() {
            return Err(Error::not_found(format!("there is no image in `{place}`")).into());
        }
        Ok(found.into_iter().map(Found::of).collect())
    }
}

impl Found {
    fn of(held: Held) -> Found {
        Found { name: held.name().map(str::to_owned), root: Root::At(held.descriptor) }
    }

    /// Whether it is the same content.
    pub(crate) fn is_same(&self, other: &Found) -> bool {
        match (&self.root, &other.root) {
            (Root::At(one), Root::At(other)) => one.digest == other.digest,
            _ => false,
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
    pub(crate) fn sink(&self) -> &dyn Sink {
        &self.store
    }

    /// What `image` will be called.
    ///
    /// # Errors
    ///
    /// If it has no name that can be kept there.
    pub(crate) fn name_for(&self, image: &Found) -> Result<String, Failure> {
        let place = &self.place;
        let advice = || format!("say how to name it: {}:NAME", place.whole().trim_end_matches(':'));
        let nameless = |why: String| Failure::usage(why).help(advice());
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
}
