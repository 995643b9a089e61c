use super::Remote;
use super::http::Method;
use super::problem::problem;
use super::server::Question;
use super::token::Scope;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::Digest;
use crate::reference::Reference;

impl Remote {
    /// Removes from the registry the tag of `reference`, or if it has a digest the manifest and
    /// all its tags. Returns the digest. Blobs stay until the registry collects its garbage.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] and 404 if it is not there; [`ErrorKind::Other`] if the registry
    /// does not remove tags, or anything.
    pub fn delete(&self, reference: &Reference) -> Result<Digest> {
        let server = self.registry.server();
        // What a mirror has is of no interest.
        let there = self.describe_at(server, reference);
        let digest = there.context(|| format!("asking for manifest {reference}"))?.digest;
        let is_tag = reference.digest().is_none();
        let name = reference.tag().filter(|_| is_tag).map_or(digest.to_string(), str::to_owned);
        let path = self.repository.path();
        let question = Question::read(Method::Delete, path, format!("manifests/{name}"))
            .needing(Scope::delete(path));
        let deleting = || format!("removing {reference} from the registry");
        let response = server.ask(&question, &mut server.trail()).context(deleting)?;
        match response.status {
            200..=299 => Ok(digest),
            400 | 405 | 501 => {
                let host = server.origin().authority();
                let what = if is_tag { "a tag alone" } else { "images" };
                let error = problem(response);
                match error.kind() {
                    ErrorKind::Registry { .. } => {
                        let message = format!("{host} does not remove {what}: {error}");
                        Err(Error::new(ErrorKind::Other(message))).context(deleting)
                    }
                    _ => Err(error).context(deleting),
                }
            }
            _ => Err(problem(response)).context(deleting),
        }
    }
}
