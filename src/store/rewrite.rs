use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::image::Descriptor;
use crate::image::json::Ordered;

/// Fields of a descriptor that we know; what else it has is not ours.
const KNOWN: [&str; 8] =
    ["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];

/// The JSON of `new`, made of that of `old` where there is one: its order, the fields that we do
/// not know, and letter for letter what has not changed.
pub(super) fn descriptor(new: &Descriptor, old: Option<(&str, &Descriptor)>) -> Result<String> {
    let malformed = |error: serde_json::Error| Error::new(ErrorKind::Other(error.to_string()));
    let json = serde_json::to_string(new).map_err(malformed)?;
    let Some((old_json, old)) = old else { return Ok(json) };
    // Of a document that says something twice nothing can be taken over.
    let Ok(Ordered(old_fields)) = serde_json::from_str::<Ordered<&RawValue>>(old_json) else {
        return Ok(json);
    };
    let before = serde_json::to_string(old).map_err(malformed)?;
    let Ordered(before) = serde_json::from_str::<Ordered<&RawValue>>(&before).map_err(malformed)?;
    let Ordered(after) = serde_json::from_str::<Ordered<&RawValue>>(&json).map_err(malformed)?;
    let value = |fields: &[(String, &RawValue)], key: &str| {
        fields.iter().find(|(it, _)| it == key).map(|(_, raw)| raw.get().to_owned())
    };
    let mut fields = Vec::new();
    let mut add = |key: &str, json: &str| {
        fields.push(format!("{}:{json}", serde_json::Value::from(key)));
    };
    for (key, raw) in &old_fields {
        let (was, is) = (value(&before, key), value(&after, key));
        match is {
            _ if was == is || !KNOWN.contains(&key.as_str()) => add(key, raw.get()),
            Some(is) => add(key, &is),
            None => {}
        }
    }
    for (key, raw) in &after {
        if !old_fields.iter().any(|(it, _)| it == key) {
            add(key, raw.get());
        }
    }
    Ok(format!("{{{}}}", fields.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewritten_descriptor_keeps_what_is_not_ours_and_what_has_not_changed() {
        let digest =
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned();
        let json = format!(
            r#"{{ "odd":[1,  2], "size":5, "platform":{{"os":"linux","architecture":"amd64","x":1}}, "digest":"{digest}", "data":"eA=="}}"#
        );
        let old: Descriptor = serde_json::from_str(&json).unwrap();
        let mut new = old.clone();
        new.annotations.insert("a".into(), "b".into());
        new.size = 6;
        new.data = None;
        let expected = format!(
            r#"{{"odd":[1,  2],"size":6,"platform":{{"os":"linux","architecture":"amd64","x":1}},"digest":"{digest}","mediaType":"","annotations":{{"a":"b"}}}}"#
        );
        assert_eq!(descriptor(&new, Some((&json, &old))).unwrap(), expected);
        let again: Descriptor = serde_json::from_str(&expected).unwrap();
        assert_eq!(again, new);
        assert_eq!(descriptor(&new, None).unwrap(), serde_json::to_string(&new).unwrap());
    }
}
