use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass::image::Digest;
use windlass::transfer::{Event, Observer};

use crate::cli::output::Output;

/// How long to be silent about a blob after a word about it: nobody reads faster.
const SILENCE: Duration = Duration::from_millis(200);

/// An object for each event.
pub(super) struct Json {
    output: Output,
    told: Mutex<HashMap<Digest, Instant>>,
}

impl Json {
    pub(super) fn new(output: Output) -> Json {
        Json { output, told: Mutex::default() }
    }

    /// Whether it is time to speak of that blob again.
    fn may_tell(&self, blob: Digest, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get(&blob) {
            Some(last) if now.duration_since(*last) < SILENCE => false,
            _ => {
                told.insert(blob, now);
                true
            }
        }
    }
}

impl Observer for Json {
    fn event(&self, event: &Event<'_>) {
        if let Event::Progress { blob, .. } = event
            && !self.may_tell(blob.digest, Instant::now())
        {
            return;
        }
        if let Some(object) = object(event) {
            self.output.tell_json(&object);
        }
    }
}

/// The documented form of an event; none for those that it does not know.
fn object(event: &Event<'_>) -> Option<Value> {
    let object = match event {
        Event::Start { image, blobs, size, present } => json!({
            "event": "start",
            "image": image,
            "blobs": blobs,
            "size": size,
            "present": present,
        }),
        Event::Progress { image, blob, offset } => json!({
            "event": "progress",
            "image": image,
            "digest": blob.digest,
            "offset": offset,
            "size": blob.size,
        }),
        Event::Blob { image, blob, present } => json!({
            "event": "blob",
            "image": image,
            "digest": blob.digest,
            "offset": blob.size,
            "size": blob.size,
            "present": present,
        }),
        Event::Retry { image, blob, error, attempt, wait } => json!({
            "event": "retry",
            "image": image,
            "digest": blob.map(|blob| blob.digest),
            "attempt": attempt,
            "wait": wait.as_secs_f64(),
            "error": error.to_string(),
        }),
        Event::Done { image, digest } => {
            json!({"event": "done", "image": image, "digest": digest})
        }
        _ => return None,
    };
    Some(object)
}

#[cfg(test)]
mod tests {
    use windlass::error::{Error, Fault};
    use windlass::image::{Descriptor, MediaType};

    use super::*;
    use crate::cli::values::ProgressMode;

    #[test]
    fn events_have_their_documented_fields() {
        let blob = Descriptor::new(MediaType::new("x"), Digest::of(b""), 10);
        let digest = format!("\"{}\"", blob.digest);
        let check = |event: Event<'_>, expected: &str| {
            let expected = expected
                .replace("IMAGE", "\"docker.io/library/alpine:3\"")
                .replace("DIGEST", &digest);
            let expected: Value = serde_json::from_str(&expected).unwrap();
            assert_eq!(object(&event), Some(expected));
        };
        let image = "docker.io/library/alpine:3";
        check(
            Event::Start { image, blobs: 3, size: 30, present: 5 },
            r#"{"event":"start","image":IMAGE,"blobs":3,"size":30,"present":5}"#,
        );
        check(
            Event::Progress { image, blob: &blob, offset: 4 },
            r#"{"event":"progress","image":IMAGE,"digest":DIGEST,"offset":4,"size":10}"#,
        );
        check(
            Event::Blob { image, blob: &blob, present: false },
            r#"{"event":"blob","image":IMAGE,"digest":DIGEST,"offset":10,"size":10,"present":false}"#,
        );
        let error = Error::network(Fault::Cut, "cut");
        let wait = Duration::from_millis(1500);
        check(
            Event::Retry { image, blob: None, error: &error, attempt: 2, wait },
            r#"{"event":"retry","image":IMAGE,"digest":null,"attempt":2,"wait":1.5,"error":"cut"}"#,
        );
        check(
            Event::Done { image, digest: blob.digest },
            r#"{"event":"done","image":IMAGE,"digest":DIGEST}"#,
        );
    }

    #[test]
    fn progress_of_a_blob_is_told_five_times_a_second() {
        let json = Json::new(Output::new(false, true, ProgressMode::Json));
        let start = Instant::now();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert!(json.may_tell(a, start));
        assert!(json.may_tell(b, start));
        assert!(!json.may_tell(a, start + Duration::from_millis(199)));
        assert!(json.may_tell(a, start + Duration::from_millis(200)));
    }
}
