use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::plan::{Missing, Plan};
use super::{Transfer, parallel};
use crate::error::Result;
use crate::image::{Descriptor, Digest};
use crate::reference::Reference;

/// What of a plan is in the sink already.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) present: HashSet<Digest>,
    pub(super) missing: Missing,
}

impl Transfer<'_> {
    /// What of `plan` the sink lacks. Moves nothing.
    pub fn missing(&self, reference: &Reference, plan: &Plan) -> Result<Missing> {
        if self.is_done(reference, plan)? {
            return Ok(Missing::default());
        }
        Ok(self.survey(reference, plan)?.missing)
    }

    /// Whether nothing is to be done.
    pub(super) fn is_done(&self, reference: &Reference, plan: &Plan) -> Result<bool> {
        self.retrying(reference, || self.sink.is_done(reference, &plan.target))
    }

    /// Looks for everything, several at once where looking takes a request.
    pub(super) fn survey(&self, reference: &Reference, plan: &Plan) -> Result<Survey> {
        let manifests: Vec<Descriptor> = plan.manifests.iter().map(|it| it.descriptor()).collect();
        let all: Vec<&Descriptor> = plan.blobs.iter().chain(&manifests).collect();
        let survey = Mutex::new(Ok(Survey::default()));
        let next = AtomicUsize::new(0);
        let look = || {
            while let Some(content) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                let is_blob = !manifests.iter().any(|it| it.digest == content.digest);
                let found = self.look(reference, content, is_blob);
                let mut survey = survey.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut *survey, found) {
                    (Err(_), _) => return,
                    (Ok(survey), Ok(None)) => drop(survey.present.insert(content.digest)),
                    (Ok(survey), Ok(Some(size))) => {
                        survey.missing.blobs += 1;
                        survey.missing.size = survey.missing.size.saturating_add(size);
                    }
                    (survey, Err(error)) => *survey = Err(error),
                }
            }
        };
        match self.sink.is_far() {
            true => parallel::on_threads(self.jobs.min(all.len()), look)?,
            false => look(),
        }
        survey.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of `content` are missing; none if it is there.
    fn look(&self, image: &Reference, content: &Descriptor, is_blob: bool) -> Result<Option<u64>> {
        if self.retrying(image, || self.sink.contains(content))? {
            return Ok(None);
        }
        let there = if is_blob { self.sink.partial_len(content)? } else { 0 };
        Ok(Some(content.size.saturating_sub(there)))
    }
}
