use serde::{Deserialize, Serialize};

use super::server::Place;
use super::url::{Origin, Url};
use crate::endpoint::Note;
use crate::image::Digest;

/// An upload that the registry has begun, or will.
#[derive(Default)]
pub(super) struct Session {
    /// Where it goes on; none before it is begun, or after the registry has forgotten it.
    pub(super) place: Option<Place>,
    /// The fewest bytes of a chunk that is not the last.
    pub(super) least_chunk: u64,
    /// Whether this process has tried before.
    pub(super) is_known: bool,
    /// What the next run is told, if it is worth it.
    pub(super) note: Option<Box<dyn Note>>,
}

/// What a note about an upload says. The URL is a secret, and good for that registry only.
#[derive(Deserialize, Serialize)]
struct Kept {
    origin: String,
    url: String,
    own: bool,
    #[serde(default)]
    least_chunk: u64,
}

/// What a note about the upload of `digest` to `repository` at `registry` is called.
pub(super) fn subject(registry: &Origin, repository: &str, digest: Digest) -> String {
    Digest::of(format!("{registry} {repository} {digest}").as_bytes()).hex()
}

impl Session {
    /// The session that `note` tells of, if it is one at `registry`.
    pub(super) fn from_note(note: Option<Box<dyn Note>>, registry: &Origin) -> Session {
        let kept: Option<Kept> = note
            .as_ref()
            .and_then(|note| note.text())
            .and_then(|text| serde_json::from_str(&text).ok());
        let mut session = Session { note, ..Session::default() };
        if let Some(kept) = kept.filter(|kept| kept.origin == registry.to_string())
            && let Ok(url) = Url::parse(&kept.url)
        {
            let is_own = kept.own && url.origin() == registry;
            session.place = Some(Place { url, is_own });
            session.least_chunk = kept.least_chunk;
        }
        session
    }

    /// The upload goes on there.
    pub(super) fn moved(&mut self, place: Place, registry: &Origin) {
        if let Some(note) = &self.note {
            let kept = Kept {
                origin: registry.to_string(),
                url: place.url.to_wire(),
                own: place.is_own,
                least_chunk: self.least_chunk,
            };
            let written = serde_json::to_string(&kept).map(|text| note.write(&text));
            if let Ok(Err(error)) = written {
                log::debug!("the next run will not know of this upload: {error}");
            }
        }
        self.place = Some(place);
    }

    /// There is no such upload any more.
    pub(super) fn end(&mut self) {
        self.place = None;
        if let Some(note) = self.note.take() {
            note.remove();
        }
    }
}

/// How many bytes of an upload are there, as `Range` says it: `0-N`, with or without `bytes=`.
/// Registries say `0-0` of none, too.
pub(super) fn received(range: &str) -> Option<u64> {
    let range = range.trim().trim_start_matches("bytes").trim_start_matches(['=', ' ']);
    let (first, last) = range.split_once('-')?;
    if first.trim().parse::<u64>().ok()? != 0 {
        return None;
    }
    match last.trim() {
        "" => Some(0),
        last => match last.parse::<u64>().ok()? {
            0 => Some(0),
            last => last.checked_add(1),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::Result;

    #[test]
    fn range_of_an_upload_says_how_much_is_there() {
        for (range, expected) in [
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            ("bytes 0-9", Some(10)),
            ("0-0", Some(0)),
            ("0-", Some(0)),
            ("1-9", None),
            ("", None),
            ("9", None),
            ("0--1", None),
            ("0-18446744073709551615", None),
            ("0-99999999999999999999", None),
        ] {
            assert_eq!(received(range), expected, "{range}");
        }
    }

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Option<String>>>);

    impl Note for Paper {
        fn text(&self) -> Option<String> {
            self.0.lock().unwrap().clone()
        }

        fn write(&self, text: &str) -> Result<()> {
            *self.0.lock().unwrap() = Some(text.to_owned());
            Ok(())
        }

        fn remove(self: Box<Self>) {
            *self.0.lock().unwrap() = None;
        }
    }

    #[test]
    fn note_leads_back_to_its_own_registry_only() {
        let origin = |text: &str| Url::parse(text).unwrap().origin().clone();
        let paper = Paper::default();
        let note = || Some(Box::new(paper.clone()) as Box<dyn Note>);
        let (own, other) = (origin("https://r.io"), origin("https://evil.io"));
        let mut session = Session::from_note(note(), &own);
        assert!(session.place.is_none());
        session.moved(Place::own(Url::parse("https://r.io/u?_state=s").unwrap()), &own);
        let again = Session::from_note(note(), &own).place.unwrap();
        assert!(again.is_own && again.url.to_wire() == "https://r.io/u?_state=s");
        assert!(Session::from_note(note(), &other).place.is_none());
        let elsewhere = Place { url: Url::parse("https://s3.io/u").unwrap(), is_own: true };
        session.moved(elsewhere, &own);
        let again = Session::from_note(note(), &own);
        assert!(!again.place.unwrap().is_own, "credentials stay at the registry");
        session.end();
        assert!(paper.text().is_none());
        *paper.0.lock().unwrap() = Some("{".into());
        assert!(Session::from_note(note(), &own).place.is_none());
    }
}
