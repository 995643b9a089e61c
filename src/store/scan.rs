use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::image::Digest;

/// What a JSON document of an unknown kind leads to: every digest that a descriptor in it may have.
///
/// Garbage is collected beside content of other tools; what it mentions is spared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    pub(super) digests: Vec<Digest>,
    /// Whether it leads to something by a digest that we cannot compute.
    pub(super) unknown: bool,
}

impl Mentions {
    /// Those of `bytes`; none if it is not JSON.
    pub(super) fn of(bytes: &[u8]) -> Mentions {
        let mut mentions = Mentions::default();
        let mut document = serde_json::Deserializer::from_slice(bytes);
        match (Scan { mentions: &mut mentions, is_digest: false }).deserialize(&mut document) {
            Ok(()) => mentions,
            Err(_) => Mentions::default(),
        }
    }
}

/// One value of the document.
struct Scan<'a> {
    mentions: &'a mut Mentions,
    /// Whether it stands where descriptors have their digest; schema 1 calls it `blobSum`.
    is_digest: bool,
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let is_digest = key == "digest" || key == "blobSum";
            map.next_value_seed(Scan { mentions: &mut *self.mentions, is_digest })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        loop {
            let next = Scan { mentions: &mut *self.mentions, is_digest: false };
            if sequence.next_element_seed(next)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_digest {
            match text.parse() {
                Ok(digest) => self.mentions.digests.push(digest),
                Err(_) => self.mentions.unknown = true,
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_found_where_descriptors_have_them() {
        let text = format!(
            r#"{{"blobs":[{{"digest":"{DIGEST}","size":1.5}}],"fsLayers":[{{"blobSum":"{DIGEST}"}}],
                "annotations":{{"base.digest":"{DIGEST}"}},"x":[[null,true,-1,"{DIGEST}"]]}}"#
        );
        let digest: Digest = DIGEST.parse().unwrap();
        let expected = Mentions { digests: vec![digest, digest], unknown: false };
        assert_eq!(Mentions::of(text.as_bytes()), expected);
        assert!(Mentions::of(br#"{"digest":"blake3:00"}"#).unknown);
        assert_eq!(Mentions::of(b"\x1f\x8b"), Mentions::default());
        assert_eq!(Mentions::of("[".repeat(100_000).as_bytes()), Mentions::default());
    }
}
