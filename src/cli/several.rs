//! Several images in one run.

use windlass::error::ErrorKind;
use windlass::image::Digest;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::lists::DigestFile;

/// Does `act` to each of `items`, which gives the digest for `--digestfile`. The first failure ends
/// it, unless told to keep going.
pub(crate) fn each<T>(
    context: &Context,
    items: &[T],
    mut act: impl FnMut(&T) -> Result<Digest, Failure>,
) -> Result<(), Failure> {
    let settings = &context.settings;
    let digest_file = match &settings.digestfile {
        Some(path) if !settings.dry_run => Some(DigestFile::create(path)?),
        _ => None,
    };
    let mut digests = Vec::new();
    let mut failed = 0;
    let mut outcome = Ok(());
    for item in items {
        match act(item) {
            Ok(digest) => digests.push(digest),
            Err(failure) => {
                let goes_on = settings.keep_going && items.len() > 1;
                if !goes_on || context.interrupt.is_interrupted() {
                    outcome = Err(failure);
                    break;
                }
                failed += 1;
                context.output.failure(&failure, failure.code());
            }
        }
    }
    if outcome.is_ok() && failed > 0 {
        outcome = Err(ErrorKind::Several { failed, total: items.len() }.into());
    }
    let written = digest_file.map_or(Ok(()), |file| file.commit(&digests));
    outcome.and(written.map_err(Failure::from))
}
