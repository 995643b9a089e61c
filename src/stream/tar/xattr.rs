use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The usual form: the rest of the key is the name, the value is the value.
const SCHILY: &[u8] = b"SCHILY.xattr.";

/// libarchive's own form, which it writes beside the usual one: name with `%` escapes, value in
/// base64.
const LIBARCHIVE: &[u8] = b"LIBARCHIVE.xattr.";

/// Takes over the attribute that a PAX record means, if it means one. Where both forms speak of
/// one name the usual one counts.
///
/// On failure, says what is wrong with the record.
pub(super) fn update(
    xattrs: &mut Vec<(Vec<u8>, Vec<u8>)>,
    key: &[u8],
    value: &[u8],
) -> Result<(), String> {
    let wrong = || format!("malformed `{}`", key.escape_ascii());
    let (name, value, is_usual) = if let Some(name) = key.strip_prefix(SCHILY) {
        (name.to_vec(), value.to_vec(), true)
    } else if let Some(name) = key.strip_prefix(LIBARCHIVE) {
        (unescaped(name).ok_or_else(wrong)?, base64(value).ok_or_else(wrong)?, false)
    } else {
        return Ok(());
    };
    if name.is_empty() || name.contains(&0) {
        return Err(wrong());
    }
    match xattrs.iter_mut().find(|(known, _)| *known == name) {
        Some(known) if is_usual => known.1 = value,
        Some(_) => {}
        None => xattrs.push((name, value)),
    }
    Ok(())
}

fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config).decode(value).ok()
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = name.iter();
    let mut unescaped = Vec::with_capacity(name.len());
    while let Some(&byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut xattrs = Vec::new();
        for (key, value) in records {
            update(&mut xattrs, key.as_bytes(), value.as_bytes()).unwrap();
        }
        let expected: Vec<(Vec<u8>, Vec<u8>)> = expected
            .iter()
            .map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()))
            .collect();
        assert_eq!(xattrs, expected);
    }

    #[test]
    fn attributes_are_understood_in_both_forms() {
        check(
            &[
                ("SCHILY.xattr.user.b", "x\0=\n"),
                ("LIBARCHIVE.xattr.user.%61%20", "aGVsbG8"),
                ("SCHILY.xattr.user.a", ""),
                ("SCHILY.acl.access", "user::rw-"),
            ],
            &[("user.b", "x\0=\n"), ("user.a ", "hello"), ("user.a", "")],
        );
    }

    #[test]
    fn the_usual_form_counts_whichever_comes_first() {
        let usual = ("SCHILY.xattr.user.a", "usual");
        let other = ("LIBARCHIVE.xattr.user.a", "b3RoZXI=");
        check(&[usual, other], &[("user.a", "usual")]);
        check(&[other, usual], &[("user.a", "usual")]);
        check(&[usual, ("SCHILY.xattr.user.a", "last")], &[("user.a", "last")]);
    }

    #[test]
    fn malformed_attributes_are_refused() {
        for (key, value) in [
            ("SCHILY.xattr.", "x"),
            ("SCHILY.xattr.a\0b", "x"),
            ("LIBARCHIVE.xattr.", "eA=="),
            ("LIBARCHIVE.xattr.%00", "eA=="),
            ("LIBARCHIVE.xattr.%4", "eA=="),
            ("LIBARCHIVE.xattr.%zz", "eA=="),
            ("LIBARCHIVE.xattr.a", "e"),
            ("LIBARCHIVE.xattr.a", "e*=="),
        ] {
            let error = update(&mut Vec::new(), key.as_bytes(), value.as_bytes());
            assert!(error.is_err(), "{key}={value}");
        }
    }
}
