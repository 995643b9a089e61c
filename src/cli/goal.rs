//! Where images go: a place, opened to be written to.

use std::collections::HashMap;

use windlass::reference::Reference;
use windlass::store::Store;

use crate::cli::archive::Target;
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::held::is_tag;
use crate::cli::place::Place;
use crate::cli::start::Found;
use crate::cli::stored;

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

impl Goal {
    /// Opens a place, and fails if nothing can be written there.
    pub(crate) fn open(ends: &Ends<'_>, place: &Place, dry_run: bool) -> Result<Goal, Failure> {
        let context = ends.context;
        let durability = stored::durability(&context.settings);
        let end = match place {
            Place::Registry(_) => {
                return Err(Failure::usage(format!("`{place}` cannot be written to")));
            }
            Place::Store(_) => End::Store(stored::open(context)?),
            Place::Layout(path, _) => End::Store(Store::layout(path, durability)?),
            Place::Archive(path, _) => End::Archive(Target::of(path)),
        };
        match &end {
            _ if dry_run => {}
            End::Store(store) => store.writable()?,
            End::Archive(Target::Stdout) => drop(context.output.pipe()?),
            End::Archive(_) => {}
        }
        Ok(Goal { place: place.clone(), end })
    }

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
