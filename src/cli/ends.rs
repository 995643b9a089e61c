//! What all transfers of a command have in common.

use windlass::endpoint::{Sink, Source};
use windlass::reference::Repository;
use windlass::registry::Remote;
use windlass::transfer::{Observer, Transfer};

use crate::cli::failure::Failure;
use crate::cli::remote::Registries;
use crate::cli::{Context, progress};

/// Who is asked, who is told, and how it is done.
pub(crate) struct Ends<'a> {
    pub(crate) context: &'a Context,
    registries: Registries<'a>,
    observer: Box<dyn Observer>,
    jobs: usize,
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
