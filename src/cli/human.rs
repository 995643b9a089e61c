//! Numbers as people read them.

use std::time::Duration;

use windlass::printable::printable;

/// Most characters of a cell; with the space after it no word is longer than what is shown of one.
const CELL: usize = 250;

/// Bytes in units of 1000, as docker shows them and without a space, so that a table keeps its
/// columns: `512B`, `7.8MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let bytes = u128::from(bytes);
    let mut unit: u128 = 1000;
    let mut names = ["kB", "MB", "GB", "TB", "PB", "EB"].into_iter().peekable();
    let mut name = names.next().unwrap_or_default();
    // 999950 is 1000.0 kB when rounded, so it is 1.0 MB.
    while bytes >= unit * 1000 - unit / 20 && names.peek().is_some() {
        unit *= 1000;
        name = names.next().unwrap_or_default();
    }
    let tenths = (bytes * 10 + unit / 2) / unit;
    format!("{}.{}{name}", tenths / 10, tenths % 10)
}

/// Foreign text on one line: what it has of lines does not look like ours.
pub(crate) fn line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

/// Foreign text as a cell of a table: as it may be shown, and with as many characters as are shown.
pub(crate) fn cell(text: &str) -> String {
    let text = printable(&line(text));
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `0.3 s`, `12 s`, `3 min`.
pub(crate) fn time(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_or_so() {
        let check = |bytes, shown| assert_eq!(size(bytes), shown);
        check(0, "0B");
        check(999, "999B");
        check(1000, "1.0kB");
        check(7_812_345, "7.8MB");
        check(999_949, "999.9kB");
        check(999_950, "1.0MB");
        check(1 << 30, "1.1GB");
        check(u64::MAX, "18.4EB");
    }

    #[test]
    fn cells_are_as_wide_as_they_look() {
        assert_eq!(cell("a\x1b[31m\nb"), r"a\x1b[31m\nb");
        assert_eq!(cell(&"a".repeat(250)), "a".repeat(250));
        for long in ["a".repeat(251), "\x1b".repeat(300_000)] {
            assert_eq!(cell(&long).chars().count(), 251);
        }
    }

    #[test]
    fn times_are_rounded_down() {
        let check = |millis, shown| assert_eq!(time(Duration::from_millis(millis)), shown);
        check(0, "0.0 s");
        check(300, "0.3 s");
        check(12_900, "12 s");
        check(119_000, "119 s");
        check(180_000, "3 min");
    }
}
