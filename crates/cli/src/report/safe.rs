//! Output of payloads made safe for a terminal: no escape sequence, no control character gets through.

use std::borrow::Cow;

/// The text of one line without its escape sequences and control characters; tabs stay. What is not UTF-8 becomes
/// U+FFFD. A carriage return inside the line becomes a space, so that nothing hides what came before it.
pub(crate) fn safe(line: &[u8]) -> Cow<'_, str> {
    if !line.contains(&b'\n')
        && is_plain(line)
        && let Ok(text) = std::str::from_utf8(line)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(line.len());
    safe_into(line, &mut out);
    Cow::Owned(out)
}

/// Like [`safe`], at the end of `out`.
pub(crate) fn safe_into(line: &[u8], out: &mut String) {
    let text = String::from_utf8_lossy(line);
    let mut chars = text.trim_end_matches('\r').chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\u{9b}' => skip_control(&mut chars),
            '\t' => out.push('\t'),
            '\r' => out.push(' '),
            c if c.is_control() || turns(c) => {}
            c => out.push(c),
        }
    }
}

/// Whether these lines are safe as they are: printable ASCII, tabs and newlines, nothing else. Eight bytes at a time:
/// this looks at every byte that `logs` shows.
pub(crate) fn is_plain(lines: &[u8]) -> bool {
    let (words, rest) = lines.as_chunks::<64>();
    let plain = |chunk: &[u8; 64]| {
        let (words, _) = chunk.as_chunks::<8>();
        words.iter().fold(0, |odd, word| odd | odd_bytes(u64::from_le_bytes(*word))) == 0
    };
    words.iter().all(plain) && rest.iter().all(|b| matches!(b, b'\t' | b'\n' | 0x20..=0x7e))
}

/// Not 0 where one of the eight bytes is neither printable ASCII nor a tab nor a newline.
const fn odd_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Where no byte is above 0x7f, no sum carries into the next byte; where one is, the word is odd anyway.
    let not_ascii_or_delete = (word | word.wrapping_add(ONES)) & HIGH;
    let from_space = word.wrapping_add(ONES * 0x60);
    let from_tab = word.wrapping_add(ONES * (0x80 - 0x09));
    let behind_newline = word.wrapping_add(ONES * (0x80 - 0x0b));
    not_ascii_or_delete | (!from_space & !(from_tab & !behind_newline) & HIGH)
}

/// Characters that reorder what stands around them.
const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// After ESC: a control sequence, a string up to its terminator, or one or two characters.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    match ahead.next() {
        Some('[') => {
            *chars = ahead;
            skip_control(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            *chars = ahead;
            skip_string(chars);
        }
        // Intermediate characters, then a final one: `ESC ( B`.
        Some('\x20'..='\x2f') => {
            *chars = ahead;
            let _ = chars.find(|c| !('\x20'..='\x2f').contains(c));
        }
        Some('\x30'..='\x7e') => *chars = ahead,
        _ => {}
    }
}

/// After `ESC [`: parameters, intermediates, one final character.
fn skip_control(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    while let Some(c) = ahead.next() {
        match c {
            '\x20'..='\x3f' => *chars = ahead.clone(),
            '\x40'..='\x7e' => {
                *chars = ahead;
                return;
            }
            // Broken off: what follows is text again.
            _ => return,
        }
    }
}

/// After `ESC ]` and its like: up to BEL or `ESC \`. Without an end, only what introduced it goes.
fn skip_string(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    while let Some(c) = ahead.next() {
        if c == '\x07' || c == '\u{9c}' {
            *chars = ahead;
            return;
        }
        if c == '\x1b' && ahead.clone().next() == Some('\\') {
            ahead.next();
            *chars = ahead;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_titles_and_cursor_moves_go_and_text_stays() {
        assert_eq!(safe(b"plain \ttext"), "plain \ttext");
        assert_eq!(safe(b"\x1b[1;31mred\x1b[0m!"), "red!");
        assert_eq!(safe(b"a\x1b]0;evil title\x07b\x1b]8;;x\x1b\\c"), "abc");
        assert_eq!(safe(b"\x1b[2J\x1b[Hclear\x1bc\x1b(B."), "clear.");
        assert_eq!(safe(b"10%\r20%\r"), "10% 20%");
        assert_eq!(safe(b"bell\x07 back\x08 del\x7f nul\0"), "bell back del nul");
        assert_eq!(safe("gr\u{fc}n \u{9b}31mc1 \u{202e}rtl".as_bytes()), "gr\u{fc}n c1 rtl");
        assert_eq!(safe(b"\xff\xfe ok"), "\u{fffd}\u{fffd} ok");
    }

    #[test]
    fn every_byte_at_every_place_is_plain_or_not() {
        for byte in 0..=255u8 {
            for place in 0..130 {
                let mut text = [b'x'; 130];
                text[place] = byte;
                let plain = matches!(byte, b'\t' | b'\n' | 0x20..=0x7e);
                assert_eq!(is_plain(&text), plain, "{byte:#x} at {place}");
                // Beside the byte that matters, whatever is plain: no sum may carry over.
                for beside in [b'\t', b'\n', b' ', b'~'] {
                    let mut text = [beside; 130];
                    text[place] = byte;
                    assert_eq!(is_plain(&text), plain, "{byte:#x} at {place} beside {beside:#x}");
                }
            }
        }
    }

    #[test]
    fn broken_sequences_hide_nothing_that_follows() {
        assert_eq!(safe(b"\x1b]no end"), "no end");
        assert_eq!(safe(b"\x1b[12"), "");
        assert_eq!(safe(b"\x1b"), "");
        assert_eq!(safe("\x1b[1\u{fc}x".as_bytes()), "\u{fc}x");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let line = [0x1b, a, b, b'x'];
                assert!(safe(&line).chars().all(|c| c == '\t' || !c.is_control()), "{line:?}");
            }
        }
    }
}
