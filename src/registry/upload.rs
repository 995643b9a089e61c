use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::destination::{Destination, check_stated};
use super::habits::Chunks;
use super::http::{Body, Method, Response};
use super::message::Content;
use super::outgoing::Outgoing;
use super::problem::problem;
use super::server::{Place, Question};
use super::session::{Session, received};
use crate::endpoint::Upload;
use crate::error::{Context, Error, ErrorKind, Fault, Result};
use crate::image::Descriptor;

/// How long a registry may take to say that it has something: it copies, checks, and replicates.
pub(super) const COMMIT_PATIENCE: Duration = Duration::from_secs(600);

/// So many bytes are sent without asking whether they are wanted, and can be sent again.
const SMALL: u64 = 128 * 1024;

/// A blob on its way to a registry.
pub(super) struct Uploading<'a> {
    destination: &'a Destination,
    blob: Descriptor,
    session: Arc<Mutex<Session>>,
    offset: u64,
}

impl<'a> Uploading<'a> {
    pub(super) fn new(
        destination: &'a Destination,
        blob: Descriptor,
        session: Arc<Mutex<Session>>,
        offset: u64,
    ) -> Uploading<'a> {
        Uploading { destination, blob, session, offset }
    }

    /// Sends what is left of the content, in as many requests as that takes.
    fn deliver(&self, session: &mut Session, content: &mut Outgoing<'_>) -> Result<()> {
        let habits = &self.destination.server().habits;
        loop {
            let left = content.left();
            match habits.chunks() {
                Chunks::Of(chunk) if left > chunk.max(session.least_chunk) => {
                    self.send_chunk(session, content, chunk.max(session.least_chunk))?;
                }
                _ => match self.send_rest(session, content)? {
                    Sent::All => return Ok(()),
                    Sent::Nothing => {}
                },
            }
        }
    }

    /// One PATCH.
    fn send_chunk(
        &self,
        session: &mut Session,
        content: &mut Outgoing<'_>,
        len: u64,
    ) -> Result<()> {
        let habits = &self.destination.server().habits;
        let start = self.blob.size - content.left();
        let len = content.begin(len);
        let end = start + len;
        let question = self.question(Method::Patch, &(start..end));
        let place = self.place(session)?;
        let response = self.ask(&place, &question, Body::Content(content))?;
        let status = response.status;
        match status {
            200..=299 => {
                let got = response.headers.get("range").and_then(received);
                self.follow(session, &place, &response)?;
                match got {
                    Some(got) if got < end => {
                        if start > 0 && got <= start {
                            habits.drops_chunks();
                            session.place = None;
                        }
                        Err(cut(format!("the registry took {got} of the first {end} bytes")))
                    }
                    _ => Ok(()),
                }
            }
            413 | 416 => {
                let error = problem(response);
                let is_last = !habits.too_large(len, session.least_chunk);
                match (content.is_untouched(), is_last) {
                    // What it says about where to go on is asked for by whoever tries again.
                    (_, true) => Err(error),
                    (true, false) if status == 413 => Ok(()),
                    _ => Err(cut(error.to_string())),
                }
            }
            _ => Err(self.refused(session, response)),
        }
    }

    /// The PUT that ends the upload, with all that is left.
    fn send_rest(&self, session: &mut Session, content: &mut Outgoing<'_>) -> Result<Sent> {
        let habits = &self.destination.server().habits;
        let start = self.blob.size - content.left();
        let len = content.begin(u64::MAX);
        let place = self.place(session)?;
        let url = place.url.with_query("digest", &self.blob.digest.to_string());
        let end_place = Place { url, ..place.clone() };
        let mut question = self.question(Method::Put, &(start..start + len));
        question.manner.patience = Some(COMMIT_PATIENCE);
        let small = len <= SMALL;
        let body = if len == 0 {
            content.check_end()?;
            Body::Empty
        } else if small {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            Body::Bytes(bytes)
        } else {
            Body::Content(content)
        };
        let response = self.ask(&end_place, &question, body)?;
        match response.status {
            201 if content.left() == 0 => {
                check_stated(&response, self.blob.digest).map(|()| Sent::All)
            }
            status @ 200..=299 => match self.destination.has(&self.blob)? {
                true => Ok(Sent::All),
                false => {
                    session.place = None;
                    Err(cut(format!("the registry answered {status} and does not have it")))
                }
            },
            413 if !small => {
                let error = problem(response);
                match (habits.too_large(len, session.least_chunk), content.is_untouched()) {
                    (true, true) => Ok(Sent::Nothing),
                    (true, false) => Err(cut(error.to_string())),
                    (false, _) => Err(error),
                }
            }
            _ => Err(self.refused(session, response)),
        }
    }

    /// What a registry says that does not go on with an upload.
    fn refused(&self, session: &mut Session, response: Response) -> Error {
        let error = problem(response);
        let (status, code) = match error.kind() {
            ErrorKind::Registry { status, code, .. } => (*status, code.clone()),
            _ => return error,
        };
        match (status, code.as_deref()) {
            // It has got other bytes than were sent.
            (400, Some("DIGEST_INVALID" | "SIZE_INVALID")) => {
                ErrorKind::Range(format!("other bytes have arrived: {error}")).into()
            }
            (404, None | Some("BLOB_UPLOAD_UNKNOWN" | "UNKNOWN" | "BLOB_UNKNOWN"))
            | (400 | 404 | 410, Some("BLOB_UPLOAD_INVALID" | "BLOB_UPLOAD_UNKNOWN")) => {
                session.place = None;
                cut(format!("the upload is forgotten: {error}"))
            }
            // It is somewhere else than we are, and says where when it is asked.
            (416, _) => cut(error.to_string()),
            _ => error,
        }
    }

    fn question(&self, method: Method, range: &std::ops::Range<u64>) -> Question<'a> {
        let question = self.destination.question(method, String::new());
        let question = question.with("Content-Type", "application/octet-stream");
        match method {
            Method::Put if range.start == 0 || range.is_empty() => question,
            _ => {
                let last = range.end.saturating_sub(1);
                question.with("Content-Range", format!("{}-{last}", range.start))
            }
        }
    }

    fn place(&self, session: &Session) -> Result<Place> {
        session.place.clone().ok_or_else(|| cut("the upload is over".into()))
    }

    fn ask(&self, place: &Place, question: &Question<'_>, body: Body<'_>) -> Result<Response> {
        let server = self.destination.server();
        server.ask_at(place, question, body, &mut server.trail())
    }

    /// The upload goes on where the answer says, or where it was.
    fn follow(&self, session: &mut Session, from: &Place, response: &Response) -> Result<()> {
        let server = self.destination.server();
        if let Some(location) = response.headers.get("location") {
            let place = server.next_place(from, response, location)?;
            session.moved(place, &server.origin());
        }
        Ok(())
    }

    /// Lets the registry forget what came. That it does not is no harm.
    fn cancel(&self, session: &mut Session) {
        if let Some(place) = session.place.clone() {
            let question = self.destination.question(Method::Delete, String::new());
            if let Err(error) = self.ask(&place, &question, Body::Empty) {
                log::debug!("cancelling an upload: {error}");
            }
        }
        session.place = None;
    }
}

enum Sent {
    All,
    /// The registry wants it in other portions.
    Nothing,
}

/// What whoever tries again may get past, asking the registry first what it has.
fn cut(message: String) -> Error {
    Error::network(Fault::Cut, message)
}

impl Upload for Uploading<'_> {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn send(self: Box<Self>, content: &mut dyn Read) -> Result<()> {
        let shared = Arc::clone(&self.session);
        let mut session = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.blob.size - self.offset;
        let outcome = self.deliver(&mut session, &mut Outgoing::new(content, left));
        match &outcome {
            Ok(()) => {
                session.end();
                self.destination.arrived(&self.blob);
            }
            // What is wrong stays wrong.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Digest { .. }
                        | ErrorKind::Size { .. }
                        | ErrorKind::Content(_)
                        | ErrorKind::Range(_)
                ) =>
            {
                self.cancel(&mut session);
            }
            Err(_) => {}
        }
        outcome.context(|| format!("sending blob {}", self.blob.digest))
    }
}
