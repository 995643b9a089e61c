//! Text from outside, made safe for a terminal.

use std::fmt::Write;

/// Most characters of foreign text that are shown.
const SHOWN: usize = 256;

/// `text` as it may be shown on a terminal: control characters, marks that change the direction
/// of writing and characters without width are escaped (`\x1b`, `\u{202e}`), and what is longer
/// than 256 characters ends in `…`.
///
/// ```
/// assert_eq!(windlass::printable::printable("red \x1b[31m"), r"red \x1b[31m");
/// ```
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(SHOWN));
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN {
            safe.push('…');
            break;
        }
        match character {
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                // Writing to a String never fails.
                let _ = write!(safe, "\\x{:02x}", u32::from(character));
            }
            _ if is_deceptive(character) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
            }
            _ => safe.push(character),
        }
    }
    safe
}

/// Whether the character changes how others look, or does not show at all.
fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_has_nothing_that_moves_a_terminal() {
        let hostile = "\x1b]0;x\x07\r\n\t\x7f\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}é漢";
        assert_eq!(
            printable(hostile),
            r"\x1b]0;x\x07\x0d\x0a\x09\x7f\x9b31m\u{202e}\u{2066}\u{200b}\u{feff}é漢"
        );
    }

    #[test]
    fn printable_text_is_cut() {
        assert_eq!(printable(&"a".repeat(256)), "a".repeat(256));
        assert_eq!(printable(&"é".repeat(300)), format!("{}…", "é".repeat(256)));
    }
}
