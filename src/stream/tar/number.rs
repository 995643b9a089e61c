use super::Time;

/// The number in a field of a header: octal digits between spaces, up to the end or a NUL, or,
/// after a byte 0x80 or 0xff, two's complement in base 256. A blank field is 0, as for Go and
/// Python. `None` for all else, for what has no place in an `i64`, and where something stands
/// after a NUL that has no digit before it: some read that and others do not.
pub(super) fn field(field: &[u8]) -> Option<i64> {
    match field.split_first()? {
        (0x80, rest) => base_256(0, rest),
        (0xff, rest) => base_256(-1, rest),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let text = field[..end].trim_ascii();
    if text.is_empty() && field[end..].iter().any(|&byte| byte != 0) {
        return None;
    }
    text.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(sign: i64, bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(sign, |value, &byte| value.checked_mul(256)?.checked_add(byte.into()))
}

/// The number of a PAX record: decimal digits and nothing else, at most `i64::MAX`.
pub(super) fn decimal(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// The time of a PAX record: seconds, which may be negative, and a decimal fraction. What is finer
/// than a nanosecond is rounded down.
pub(super) fn time(text: &[u8]) -> Option<Time> {
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let seconds = decimal(whole)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |index| u32::from(fraction.get(index).map_or(0, |digit| digit - b'0'));
    let nanos = (0..9).fold(0, |nanos, index| nanos * 10 + digit(index));
    if !is_negative {
        return Some(Time { seconds, nanos });
    }
    let finer = fraction.iter().skip(9).any(|&digit| digit != b'0');
    let nanos = nanos + u32::from(finer);
    match nanos {
        0 => Some(Time { seconds: -seconds, nanos }),
        _ => Some(Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_are_read_as_every_tar_writes_them() {
        for (text, value) in [
            (&b"0000644\0"[..], 0o644),
            (b" 644 \0\0\0", 0o644),
            (b"000644 \0", 0o644),
            (b"     644", 0o644),
            (b"77777777", 0o77_777_777),
            (b"777777777777", 0o777_777_777_777),
            (b"12\0junk", 0o12),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
        ] {
            assert_eq!(field(text), Some(value), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn fields_that_are_no_numbers_are_refused() {
        let bad: [&[u8]; 13] = [
            b"",
            b"8",
            b"-1",
            b"+1",
            b"0x1",
            b"0o17",
            b"1_0",
            b"1 2",
            b"1\n2",
            b"\x81\0\0",
            b"a",
            b"\x00000007",
            b"  \x00007",
        ];
        for text in bad {
            assert_eq!(field(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn base_256_holds_every_i64_and_nothing_beyond() {
        let of = |first: u8, value: i64| {
            let mut bytes = vec![first; 4];
            bytes.extend(value.to_be_bytes());
            bytes
        };
        let positive = |value| {
            let mut bytes = of(0, value);
            bytes[0] = 0x80;
            bytes
        };
        for value in [0, 1, 1 << 33, i64::MAX] {
            assert_eq!(field(&positive(value)), Some(value));
        }
        for value in [-1, -256, -1 << 33, i64::MIN] {
            assert_eq!(field(&of(0xff, value)), Some(value));
        }
        assert_eq!(field(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), None);
        assert_eq!(field(b"\xff\xff\xff\xfe\0\0\0\0\0\0\0\0"), None);
        assert_eq!(field(&[0x80, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn decimal_numbers_are_digits_only() {
        assert_eq!(decimal(b"0012"), Some(12));
        assert_eq!(decimal(b"9223372036854775807"), Some(i64::MAX));
        let bad: [&[u8]; 7] = [b"", b"-1", b"+1", b" 1", b"1 ", b"1.0", b"9223372036854775808"];
        for text in bad {
            assert_eq!(decimal(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn times_have_fractions_and_round_down() {
        let check = |text: &str, seconds, nanos| {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanos }), "{text}");
        };
        check("1", 1, 0);
        check("1.", 1, 0);
        check("1.5", 1, 500_000_000);
        check("1.0000000019", 1, 1);
        check("-1", -1, 0);
        check("-1.5", -2, 500_000_000);
        check("-0.0000000001", -1, 999_999_999);
        check("-9223372036854775807.9999999999", i64::MIN, 0);
        for bad in ["", "-", ".5", "1.5.1", "1e3", "+1", "--1", "9223372036854775808"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }
}
