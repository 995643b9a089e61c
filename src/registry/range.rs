use std::ops::Range;

use super::http::Headers;

/// The value of `Range` that asks for those bytes. Closed: open ones are refused by some.
pub(super) fn header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// Whether the headers of a 206 say that exactly `asked` comes, of a content of `size` bytes.
pub(super) fn check(headers: &Headers, asked: &Range<u64>, size: u64) -> Result<(), String> {
    let mut ranges = headers.all("content-range");
    let expected = format!("bytes {}-{}/{size}", asked.start, asked.end.saturating_sub(1));
    let wrong = |got: &str| Err(format!("expected `Content-Range: {expected}`, got {got}"));
    let text = match (ranges.next(), ranges.next()) {
        (Some(text), None) => text,
        (Some(_), Some(_)) => return wrong("several"),
        (None, _) => {
            let multipart = headers.get("content-type").is_some_and(|content_type| {
                content_type.trim().to_ascii_lowercase().starts_with("multipart/byteranges")
            });
            return wrong(if multipart { "`multipart/byteranges`" } else { "none" });
        }
    };
    match parse(text) {
        Some(ContentRange { first, last, total })
            if first == asked.start
                && last.checked_add(1) == Some(asked.end)
                && total.is_none_or(|total| total == size) => {}
        _ => return wrong(&format!("`{}`", crate::printable::printable(text))),
    }
    match headers.content_length() {
        Some(length) if length != asked.end - asked.start => {
            Err(format!("expected {} bytes, got {length}", asked.end - asked.start))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// Spec: [Content-Range](https://www.rfc-editor.org/rfc/rfc9110#section-14.4).
fn parse(text: &str) -> Option<ContentRange> {
    let number = |digits: &str| {
        let digits_only = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if digits_only { digits.parse().ok() } else { None }
    };
    let text = text.trim_matches([' ', '\t']);
    let (unit, rest) = text.split_once(' ')?;
    let (range, total) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = match total {
        "*" => None,
        digits => Some(number(digits)?),
    };
    let fits = first <= last && total.is_none_or(|total| last < total);
    (unit.eq_ignore_ascii_case("bytes") && fits).then_some(ContentRange { first, last, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn content_range_is_what_was_asked_for_or_refused() {
        let check = |text: &str| check(&headers(&[("Content-Range", text)]), &(3..10), 10);
        for text in ["bytes 3-9/10", "Bytes 3-9/10", "bytes 3-9/*", " bytes 3-9/10\t"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "bytes",
            "bytes 3-9",
            "bytes=3-9/10",
            "bytes 3-9/",
            "bytes 3-9/11",
            "bytes 3-9/9",
            "bytes 3-8/10",
            "bytes 3-10/10",
            "bytes 3-10/11",
            "bytes 0-9/10",
            "bytes 4-9/10",
            "bytes 9-3/10",
            "bytes */10",
            "bytes -9/10",
            "bytes 3-/10",
            "bytes +3-9/10",
            "bytes  3-9/10",
            "bytes 3 - 9/10",
            "bytes 3-9/10,3-9/10",
            "items 3-9/10",
            "3-9/10",
            "bytes 3-18446744073709551615/*",
            "bytes 3-99999999999999999999/10",
            "bytes 3-9/99999999999999999999",
            "bytes 0x3-9/10",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn partial_answers_of_other_forms_are_refused() {
        let right = ("content-range", "bytes 3-9/10");
        let refused = |pairs: &[(&str, &str)]| check(&headers(pairs), &(3..10), 10).unwrap_err();
        assert!(refused(&[right, right]).ends_with("got several"));
        assert!(refused(&[]).ends_with("got none"));
        let multipart = ("content-type", "Multipart/Byteranges; boundary=x");
        assert!(refused(&[multipart]).ends_with("got `multipart/byteranges`"));
        assert_eq!(refused(&[right, ("content-length", "10")]), "expected 7 bytes, got 10");
        assert_eq!(check(&headers(&[right, ("content-length", "7")]), &(3..10), 10), Ok(()));
    }

    #[test]
    fn asked_ranges_are_closed() {
        assert_eq!(header(&(3..10)), "bytes=3-9");
        assert_eq!(header(&(0..1)), "bytes=0-0");
    }
}
