//! Images on their way to registries: what `push` and `copy` share.

use std::collections::HashMap;
use std::sync::Arc;

use windlass::endpoint::Notes;
use windlass::image::{Descriptor, Digest};
use windlass::reference::{Reference, Repository};
use windlass::registry::Remote;
use windlass::store::Store;
use windlass::transfer::{Plan, Platforms};

use crate::cli::carry::Carried;
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::progress;
use crate::cli::start::{Found, Start};

/// Most other images of the store that are looked at to find where a blob may be already.
const LOOKED_AT: usize = 200;

/// The repositories of one registry that probably have a blob.
type Places = HashMap<Digest, Vec<Repository>>;

/// What is known from one image to the next.
pub(crate) struct Pushing<'a> {
    /// What is done: `push`.
    verb: &'static str,
    /// Whose names say where blobs may be.
    store: Option<&'a Store>,
    notes: Option<Arc<dyn Notes>>,
    /// By registry.
    places: HashMap<String, Places>,
}

impl<'a> Pushing<'a> {
    /// With a store, what is interrupted can be continued by a later run.
    pub(crate) fn new(verb: &'static str, store: Option<&'a Store>) -> Pushing<'a> {
        let notes = store.and_then(Store::upload_notes);
        let notes = notes.map(|notes| Arc::new(notes) as Arc<dyn Notes>);
        Pushing { verb, store, notes, places: HashMap::new() }
    }

    /// Sends one image to where it is called `to`, or only says what would move.
    pub(crate) fn send(
        &mut self,
        ends: &Ends<'_>,
        remote: &Remote,
        (start, image): (&Start<'_>, &Found),
        to: &Reference,
    ) -> Result<Carried, Failure> {
        let sent = self.send_it(ends, remote, (start, image), to);
        sent.map_err(|failure| {
            let verb = format!("{}ing", self.verb);
            failure.context(match image.name.as_deref() == Some(&*to.name()) {
                true => format!("{verb} {to}"),
                false => format!("{verb} {} to {to}", start.shown(image)),
            })
        })
    }

    fn send_it(
        &mut self,
        ends: &Ends<'_>,
        remote: &Remote,
        (start, image): (&Start<'_>, &Found),
        to: &Reference,
    ) -> Result<Carried, Failure> {
        let settings = &ends.context.settings;
        let platforms = match settings.only.as_slice() {
            [] => Platforms::All,
            only => Platforms::Only(only.to_vec()),
        };
        let source = start.source()?;
        let explain = |error| start.explain(error);
        let notes = self.notes.clone().filter(|_| !settings.dry_run);
        let destination = remote.destination(notes)?;
        let planned = ends.transfer(source.get(), &destination);
        let plan = image.plan(&planned, &to.name(), &platforms).map_err(explain)?;
        let digest = plan.target().digest;
        if let (Some(wanted), true) = (to.digest(), to.tag().is_some())
            && wanted != digest
        {
            let message = format!("expected {wanted} to give that name to, got {digest}");
            return Err(Failure::usage(message));
        }
        // What had a digest for a name where it came from has its own where it goes.
        let to = &if to.digest().is_some() { to.with_digest(digest) } else { to.clone() };
        let origin = source.get().repository();
        let destination = destination.knowing(self.elsewhere(origin, to, &plan));
        let transfer = ends.transfer(source.get(), &destination);
        if settings.dry_run {
            let missing = transfer.missing(&to.name(), &plan)?;
            progress::would_move(&ends.context.output, &to.name(), self.verb, &missing);
        } else {
            transfer.run(to, &plan).map_err(explain)?;
            let known = self.places.entry(to.repository().host().to_owned()).or_default();
            for blob in plan.blobs() {
                // Before all others: this is certain.
                known.entry(blob.digest).or_default().insert(0, to.repository().clone());
            }
        }
        Ok(Carried::sent(to, &plan))
    }

    /// Other repositories of the registry that probably have blobs of `plan`: the one that they
    /// are read from, those that this run has sent them to, and those that images of the store
    /// are named after or came from.
    fn elsewhere(
        &mut self,
        origin: Option<&Repository>,
        to: &Reference,
        plan: &Plan,
    ) -> HashMap<Digest, Repository> {
        let (store, host) = (self.store, to.repository().host());
        let places = self
            .places
            .entry(host.to_owned())
            .or_insert_with(|| store.map_or_else(Places::new, |store| places(store, host)));
        let known = |blob: &Descriptor| {
            let others = places.get(&blob.digest).into_iter().flatten();
            let mut others = origin.into_iter().chain(others).filter(|it| it.host() == host);
            Some((blob.digest, others.find(|it| *it != to.repository())?.clone()))
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
