//! What serde's derive leaves open: numbers and maps from outside.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Most entries of a list or a map from outside. Two bytes of a document may be an entry, and an
/// entry a hundred bytes of memory: what is read is to take about as much as its document.
const ENTRIES_LIMIT: usize = 10_000;

/// A deserializer of structs that are objects. serde also takes an array of the values of the
/// fields for a struct, which no other reader of these documents does.
pub(crate) struct Object<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A size in bytes: whole, not negative, and at most what the spec's signed 64 bits hold.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    match i64::try_from(size) {
        Ok(_) => Ok(size),
        Err(_) => Err(D::Error::custom(format_args!("size {size} is larger than {}", i64::MAX))),
    }
}

/// A map of text that says nothing twice; `null` is an empty one.
///
/// serde keeps the last of two equal keys, other readers keep the first: whoever accepts both
/// disagrees with someone about what was signed.
pub(crate) fn annotations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let ordered = Option::<Ordered<String>>::deserialize(deserializer)?;
    Ok(ordered.map_or_else(BTreeMap::new, |map| map.0.into_iter().collect()))
}

/// A list whose `null` is an empty one, as Go's encoder writes it.
pub(crate) fn nullable_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(optional_list(deserializer)?.unwrap_or_default())
}

/// A list that may not be there.
pub(crate) fn optional_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Option::<Bounded<T>>::deserialize(deserializer)?.map(|list| list.0))
}

/// A list that is not too long.
pub(crate) struct Bounded<T, const LIMIT: usize = ENTRIES_LIMIT>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Bounded<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bounded<T, LIMIT>, D::Error> {
        struct BoundedVisitor<T, const LIMIT: usize>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for BoundedVisitor<T, LIMIT> {
            type Value = Bounded<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    if items.len() == LIMIT {
                        return Err(too_many(LIMIT));
                    }
                    items.push(item);
                }
                Ok(Bounded(items))
            }
        }

        deserializer.deserialize_seq(BoundedVisitor(std::marker::PhantomData))
    }
}

fn too_many<E: Error>(limit: usize) -> E {
    E::custom(format_args!("expected at most {limit} entries, got more"))
}

/// As many keys as are compared one by one. Of 10,000 entries of an index each has some.
const FEW: usize = 16;

/// A map without equal keys, in the order of the document.
pub(crate) struct Ordered<V>(pub(crate) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered<V>, D::Error> {
        struct OrderedVisitor<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for OrderedVisitor<V> {
            type Value = Ordered<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map without duplicate keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Ordered<V>, A::Error> {
                let mut seen = HashSet::new();
                let mut entries: Vec<(String, V)> = Vec::new();
                while let Some((key, value)) = access.next_entry::<String, V>()? {
                    let known = match entries.len() {
                        0..FEW => entries.iter().any(|(earlier, _)| *earlier == key),
                        FEW => {
                            seen.extend(entries.iter().map(|(earlier, _)| earlier.clone()));
                            !seen.insert(key.clone())
                        }
                        _ => !seen.insert(key.clone()),
                    };
                    if known {
                        return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
                    }
                    if entries.len() == ENTRIES_LIMIT {
                        return Err(too_many(ENTRIES_LIMIT));
                    }
                    entries.push((key, value));
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(OrderedVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_that_says_something_twice_is_refused_however_long_it_is() {
        for count in [2, FEW, FEW + 1, FEW + 2, 100] {
            let keys: Vec<String> = (0..count).map(|key| format!("\"{key}\":0")).collect();
            let text = format!("{{{}}}", keys.join(","));
            assert_eq!(serde_json::from_str::<Ordered<u8>>(&text).unwrap().0.len(), count);
            for twice in [0, count - 1] {
                let text = format!("{{{},\"{twice}\":0}}", keys.join(","));
                assert!(serde_json::from_str::<Ordered<u8>>(&text).is_err(), "{count} {twice}");
            }
        }
    }
}
