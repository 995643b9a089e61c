//! Images on their way to registries.

use std::collections::HashMap;
use std::sync::Arc;

use windlass::endpoint::Notes;
use windlass::image::{Descriptor, Digest};
use windlass::reference::{Reference, Repository};
use windlass::store::{Entry, Store};
use windlass::transfer::{Plan, Platforms};

use crate::cli::answer::Image;
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::relocate::Line;
use crate::cli::{Context, progress, stored};

/// Most other images of the store that are looked at to find where a blob may be already.
const LOOKED_AT: usize = 200;

/// The repositories of one registry that probably have a blob.
type Places = HashMap<Digest, Vec<Repository>>;

/// What pushes to several registries have in common.
pub(crate) struct Pushing<'a> {
    ends: Ends<'a>,
    store: &'a Store,
    notes: Option<Arc<dyn Notes>>,
    /// Which repositories have which blobs by all we know, by registry.
    places: HashMap<String, Places>,
}

impl<'a> Pushing<'a> {
    pub(crate) fn new(
        context: &'a Context,
        store: &'a Store,
        lines: &[Line],
    ) -> Result<Pushing<'a>, Failure> {
        let targets: Vec<Reference> =
            lines.iter().filter_map(|line| target(store, line).ok()).collect();
        let ends = Ends::new(context, targets.iter().map(Reference::repository))?;
        let notes = store.upload_notes().filter(|_| !context.settings.dry_run);
        let notes = notes.map(|notes| Arc::new(notes) as Arc<dyn Notes>);
        Ok(Pushing { ends, store, notes, places: HashMap::new() })
    }

    /// Sends one image, or only says what would move, and answers. Returns the digest that it has
    /// there.
    pub(crate) fn push(&mut self, line: &Line) -> Result<Digest, Failure> {
        let pushing = |failure: Failure| failure.context(format!("pushing {}", line.image));
        let entry = self.store.find(&line.image);
        let entry = entry.map_err(|error| stored::advise(self.store, &line.image, error));
        let entry = entry.map_err(pushing)?;
        let to = target(self.store, line).map_err(pushing)?;
        let step = if to.name() == entry.name {
            format!("pushing {to}")
        } else {
            format!("pushing {} to {to}", stored::shown(&entry))
        };
        let (to, plan) = self.send(&entry, to).map_err(|failure| failure.context(step))?;
        let digest = plan.target().digest;
        let output = &self.ends.context.output;
        match output.is_json() {
            true => {
                output.answer_json(&Image { digest, ..Image::planned(to.name(), &plan) })?;
            }
            false => output.answer(&to.at(digest))?,
        }
        Ok(digest)
    }

    fn send(&mut self, entry: &Entry, to: Reference) -> Result<(Reference, Plan), Failure> {
        let settings = &self.ends.context.settings;
        let remote = self.ends.remote(to.repository())?;
        let platforms = match settings.platforms() {
            Platforms::Host => Platforms::All,
            platforms => platforms,
        };
        let destination = remote.destination(self.notes.clone())?;
        let plan = self.ends.transfer(self.store, &destination).plan_of(
            &to.name(),
            &entry.descriptor,
            &platforms,
        )?;
        let digest = plan.target().digest;
        if let (Some(wanted), true) = (to.digest(), to.tag().is_some())
            && wanted != digest
        {
            let message = format!("expected {wanted} to give that name to, got {digest}");
            return Err(Failure::usage(message));
        }
        // What had a digest for a name where it came from has its own where it goes.
        let to = if to.digest().is_some() { to.with_digest(digest) } else { to };
        let destination = destination.knowing(self.elsewhere(&to, &plan));
        let transfer = self.ends.transfer(self.store, &destination);
        if settings.dry_run {
            let missing = transfer.missing(&to.name(), &plan)?;
            progress::would_move(&self.ends.context.output, &to.name(), "push", &missing);
        } else {
            let _kept = stored::protect(self.store, &plan)?;
            transfer.run(&to, &plan)?;
            let known = self.places.entry(to.repository().host().to_owned()).or_default();
            for blob in plan.blobs() {
                // Before all others: this is certain.
                known.entry(blob.digest).or_default().insert(0, to.repository().clone());
            }
        }
        Ok((to, plan))
    }

    /// Other repositories of the registry that probably have blobs of `plan`: those that this run
    /// has sent them to, and those that images of the store are named after or came from.
    fn elsewhere(&mut self, to: &Reference, plan: &Plan) -> HashMap<Digest, Repository> {
        let (store, host) = (self.store, to.repository().host());
        let places = self.places.entry(host.to_owned()).or_insert_with(|| places(store, host));
        let known = |blob: &Descriptor| {
            let mut others = places.get(&blob.digest)?.iter().filter(|it| *it != to.repository());
            Some((blob.digest, others.next()?.clone()))
        };
        plan.blobs().iter().filter_map(known).collect()
    }
}

/// Which repositories at `host` probably have which blobs.
fn places(store: &Store, host: &str) -> Places {
    let mut places = Places::new();
    let entries = store.entries().unwrap_or_default();
    let of_host = entries.iter().filter_map(|entry| {
        let origin = entry.origin().and_then(|origin| origin.parse::<Repository>().ok());
        let name = entry.name.parse::<Reference>().ok().map(|name| name.repository().clone());
        let repository = origin.into_iter().chain(name).find(|it| it.host() == host)?;
        Some((entry, repository))
    });
    for (entry, repository) in of_host.take(LOOKED_AT) {
        // Nothing is lost by what cannot be read here.
        for blob in store.blobs_of(entry).unwrap_or_default() {
            places.entry(blob).or_default().push(repository.clone());
        }
    }
    places
}

/// What the image of a line is called where it goes.
fn target(store: &Store, line: &Line) -> Result<Reference, Failure> {
    if let Some(to) = &line.to {
        return Ok(to.clone());
    }
    let name = store.find(&line.image)?.name;
    name.parse().map_err(|_| {
        let message = format!("`{name}` does not say where to");
        Failure::usage(message).help("say it: `windlass push IMAGE HOST/NAME:TAG`")
    })
}
