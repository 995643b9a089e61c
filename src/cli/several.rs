use windlass::error::ErrorKind;
use windlass::image::Digest;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::lists::DigestFile;

/// Several images, one after another: what came of each, and when to stop.
pub(crate) struct Several<'a> {
    context: &'a Context,
    digest_file: Option<DigestFile>,
    digests: Vec<Digest>,
    failed: usize,
}

impl<'a> Several<'a> {
    /// Fails now rather than at the end if the file of `--digestfile` cannot be written.
    pub(crate) fn new(context: &'a Context) -> Result<Several<'a>, Failure> {
        let settings = &context.settings;
        let digest_file = match &settings.digestfile {
            Some(path) if !settings.dry_run => Some(DigestFile::create(path)?),
            _ => None,
        };
        Ok(Several { context, digest_file, digests: Vec::new(), failed: 0 })
    }

    /// Takes what came of one; a failure comes back if it ends the run, as one of the `only` image
    /// does.
    pub(crate) fn take(
        &mut self,
        outcome: Result<Digest, Failure>,
        only: bool,
    ) -> Result<(), Failure> {
        if let Some(digest) = self.pass(outcome, only)? {
            self.digests.push(digest);
        }
        Ok(())
    }

    /// The same of what must be before there is one; nothing comes back if it failed and the run
    /// goes on.
    pub(crate) fn pass<T>(
        &mut self,
        outcome: Result<T, Failure>,
        only: bool,
    ) -> Result<Option<T>, Failure> {
        let failure = match outcome {
            Ok(passed) => return Ok(Some(passed)),
            Err(failure) => failure,
        };
        let goes_on = self.context.settings.keep_going && !only;
        if !goes_on || self.context.interrupt.is_interrupted() {
            return Err(failure);
        }
        self.failed += 1;
        self.context.output.failure(&failure, failure.code());
        Ok(None)
    }

    /// Writes the file of digests, and says how it ended.
    pub(crate) fn end(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let (failed, total) = (self.failed, self.failed + self.digests.len());
        let outcome = match outcome {
            Ok(()) if failed > 0 => Err(ErrorKind::Several { failed, total }.into()),
            outcome => outcome,
        };
        let written = self.digest_file.map_or(Ok(()), |file| file.commit(&self.digests));
        outcome.and(written.map_err(Failure::from))
    }
}
