use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::plan::{Missing, Plan};
use super::{Transfer, parallel};
use crate::endpoint::Sink;
use crate::error::Result;
use crate::image::{Descriptor, Digest};

/// What of a plan is in the sink already.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) present: HashSet<Digest>,
    pub(super) missing: Missing,
}

impl Plan {
    /// What `sink`, a place that need not be asked, lacks.
    pub fn missing(&self, sink: &dyn Sink) -> Result<Missing> {
        let mut missing = Missing::default();
        for blob in &self.blobs {
            missing.add(lacks(sink, blob, sink.contains(blob)?, true)?);
        }
        for manifest in &self.manifests {
            let descriptor = manifest.descriptor();
            missing.add(lacks(sink, &descriptor, sink.contains(&descriptor)?, false)?);
        }
        Ok(missing)
    }
}

impl Missing {
    fn add(&mut self, lacking: Option<u64>) {
        if let Some(size) = lacking {
            self.blobs += 1;
            self.size = self.size.saturating_add(size);
        }
    }
}

/// How many bytes of `content` are missing; none if it is there.
fn lacks(
    sink: &dyn Sink,
    content: &Descriptor,
    is_there: bool,
    is_blob: bool,
) -> Result<Option<u64>> {
    let there = match (is_there, is_blob) {
        (true, _) => return Ok(None),
        (false, true) => sink.partial_len(content)?,
        (false, false) => 0,
    };
    Ok(Some(content.size.saturating_sub(there)))
}

impl Transfer<'_> {
    /// What of `plan` the sink lacks, asked with patience. Moves nothing.
    pub fn missing(&self, image: &str, plan: &Plan) -> Result<Missing> {
        Ok(self.survey(image, plan)?.missing)
    }

    /// Looks for everything, several at once where looking takes a request.
    pub(super) fn survey(&self, image: &str, plan: &Plan) -> Result<Survey> {
        let manifests: Vec<Descriptor> = plan.manifests.iter().map(|it| it.descriptor()).collect();
        let blobs = plan.blobs.iter().map(|blob| (blob, true));
        let all: Vec<(&Descriptor, bool)> =
            blobs.chain(manifests.iter().map(|manifest| (manifest, false))).collect();
        let survey = Mutex::new(Ok(Survey::default()));
        let next = AtomicUsize::new(0);
        let look = || {
            while let Some((content, is_blob)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                let is_there = self.retrying(image, || self.sink.contains(content));
                let lacks = is_there.and_then(|it| lacks(self.sink, content, it, *is_blob));
                let mut survey = survey.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut *survey, lacks) {
                    (Err(_), _) => return,
                    (Ok(survey), Ok(None)) => drop(survey.present.insert(content.digest)),
                    (Ok(survey), Ok(lacking)) => survey.missing.add(lacking),
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
}
