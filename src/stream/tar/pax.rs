use super::{Time, number, xattr};

/// Most records of one extended header. Tools write about ten, and one for each attribute.
const RECORDS_LIMIT: usize = 1024;

/// What extended headers say about a member. `None` is left to the member's own header.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pax {
    /// Takes over what `records` say. The last of several records of one key counts, and an
    /// empty value takes back what was said before it.
    ///
    /// On failure, says what is wrong with the records; they are to be refused.
    pub(super) fn update(&mut self, records: &[u8]) -> Result<(), String> {
        let mut rest = records;
        let mut count = 0;
        while !rest.is_empty() {
            count += 1;
            if count > RECORDS_LIMIT {
                return Err(format!("more than {RECORDS_LIMIT} records"));
            }
            let record = record(rest).ok_or_else(|| format!("malformed record {count}"))?;
            self.set(record.key, record.value)?;
            rest = record.after;
        }
        Ok(())
    }

    /// Whether they say what can be true of many members: owner, group and time.
    pub(super) fn may_be_global(&self) -> bool {
        let Pax { path, link, size, xattrs, .. } = self;
        path.is_none() && link.is_none() && size.is_none() && xattrs.is_empty()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let wrong = || format!("malformed `{}`", key.escape_ascii());
        match key {
            b"path" => self.path = name(value).ok_or_else(wrong)?,
            b"linkpath" => self.link = name(value).ok_or_else(wrong)?,
            b"size" => self.size = optional(value, unsigned).ok_or_else(wrong)?,
            b"uid" => self.uid = optional(value, unsigned).ok_or_else(wrong)?,
            b"gid" => self.gid = optional(value, unsigned).ok_or_else(wrong)?,
            b"mtime" => self.mtime = optional(value, number::time).ok_or_else(wrong)?,
            _ if key.starts_with(b"GNU.sparse.") => return Err("a sparse file".to_owned()),
            _ => xattr::update(&mut self.xattrs, key, value)?,
        }
        Ok(())
    }
}

struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// The records that follow it.
    after: &'a [u8],
}

/// The first record.
///
/// Spec: [pax extended header][spec]: `"%d %s=%s\n", length, keyword, value`, where the length
/// counts all of that.
///
/// [spec]: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03
fn record(records: &[u8]) -> Option<Record<'_>> {
    let space = records.iter().position(|&byte| byte == b' ')?;
    let size = usize::try_from(number::decimal(&records[..space])?).ok()?;
    let (record, after) = records.split_at_checked(size)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some(Record { key, value, after })
}

/// A value that is a name: no NUL can be in it.
fn name(value: &[u8]) -> Option<Option<Vec<u8>>> {
    optional(value, |value| (!value.contains(&0)).then(|| value.to_vec()))
}

fn unsigned(value: &[u8]) -> Option<u64> {
    u64::try_from(number::decimal(value)?).ok()
}

/// `Some(None)` for an empty value, `None` for a wrong one.
fn optional<T>(value: &[u8], parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if value.is_empty() { Some(None) } else { parse(value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let mut size = rest + 1;
        while size != rest + size.to_string().len() {
            size += 1;
        }
        [format!("{size} {key}=").as_bytes(), value, b"\n"].concat()
    }

    fn pax(records: &[(&str, &[u8])]) -> Result<Pax, String> {
        let bytes: Vec<u8> =
            records.iter().flat_map(|(key, value)| record_of(key, value)).collect();
        let mut pax = Pax::default();
        pax.update(&bytes)?;
        Ok(pax)
    }

    #[test]
    fn records_say_name_size_owner_and_time() {
        let pax = pax(&[
            ("path", b"a\xff=b\n"),
            ("linkpath", b"../c"),
            ("size", b"8589934592"),
            ("uid", b"4294967294"),
            ("gid", b"7"),
            ("mtime", b"-1.25"),
            ("comment", b""),
            ("hdrcharset", b"BINARY"),
        ])
        .unwrap();
        assert_eq!(pax.path.unwrap(), b"a\xff=b\n");
        assert_eq!(pax.link.unwrap(), b"../c");
        assert_eq!((pax.size, pax.uid, pax.gid), (Some(1 << 33), Some(4_294_967_294), Some(7)));
        assert_eq!(pax.mtime, Some(Time { seconds: -2, nanos: 750_000_000 }));
    }

    #[test]
    fn the_last_record_of_a_key_counts_and_an_empty_one_takes_it_back() {
        let twice = pax(&[("path", b"a"), ("path", b"b"), ("uid", b"1"), ("uid", b"")]).unwrap();
        assert_eq!((twice.path.as_deref(), twice.uid), (Some(&b"b"[..]), None));
    }

    #[test]
    fn malformed_records_are_refused() {
        let bad: [&[u8]; 15] = [
            b"x",
            b"8 a\0b=c\n",
            b" a=b\n",
            b"6 a=b",
            b"6 a=b\n\0",
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 ab \n",
            b"5 =b\n",
            b"06 a=b",
            b"-6 a=b\n",
            b"+6 a=b\n",
            b"2 \n",
            b"0 a=b\n",
            b"99999999999999999999 a=b\n",
        ];
        for records in bad {
            let error = Pax::default().update(records);
            assert!(error.is_err(), "{}", records.escape_ascii());
        }
    }

    #[test]
    fn malformed_values_are_refused_and_named() {
        for (key, value) in
            [("path", &b"a\0b"[..]), ("linkpath", b"\0"), ("size", b"-1"), ("uid", b"1.5")]
        {
            assert_eq!(pax(&[(key, value)]).unwrap_err(), format!("malformed `{key}`"));
        }
        for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.name"] {
            assert_eq!(pax(&[(key, b"1")]).unwrap_err(), "a sparse file");
        }
    }

    #[test]
    fn records_are_counted() {
        let record = record_of("comment", b"");
        assert!(Pax::default().update(&record.repeat(RECORDS_LIMIT)).is_ok());
        let error = Pax::default().update(&record.repeat(RECORDS_LIMIT + 1)).unwrap_err();
        assert_eq!(error, "more than 1024 records");
    }

    #[test]
    fn only_owner_and_time_can_be_global() {
        let global = pax(&[("uid", b"1"), ("gid", b"2"), ("mtime", b"3"), ("comment", b"a")]);
        assert!(global.unwrap().may_be_global());
        for key in ["path", "linkpath", "size", "SCHILY.xattr.user.a"] {
            assert!(!pax(&[(key, b"1")]).unwrap().may_be_global(), "{key}");
        }
    }
}
