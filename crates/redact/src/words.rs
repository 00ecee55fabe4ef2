//! What to look for: the values and each of their lines, as they are and as JSON has them, and their base64.

/// Shorter values, and shorter lines of longer ones, would be found everywhere.
pub const LEAST: usize = 4;
/// Longer ones are looked for in pieces of this size, so that what is held back stays small.
const LONGEST: usize = 4096;
/// Where programs break lines of base64: `base64`, and PEM.
const COLUMNS: [usize; 2] = [76, 64];

/// How what is there compares to the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// No word begins here.
    No,
    /// A word of so many bytes is here, and no longer one can come.
    Whole(usize),
    /// A word may begin here; `so_far`: the longest that is whole already, or 0.
    Maybe { so_far: usize },
}

/// The words to look for. Its `Debug` text shows none of them.
#[derive(Clone)]
pub struct Words {
    /// Sorted, each once, each of [`LEAST`] to [`LONGEST`] bytes.
    all: Vec<Vec<u8>>,
    /// Which two bytes words begin with, as bits.
    begins: Box<[u64; 1024]>,
}

impl Default for Words {
    fn default() -> Self {
        Self { all: Vec::new(), begins: Box::new([0; 1024]) }
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").field("count", &self.all.len()).finish()
    }
}

impl Words {
    /// The words of these values.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut words = Self::default();
        for value in values {
            words.add_value(value);
        }
        words.all.sort_unstable();
        words.all.dedup();
        for word in &words.all {
            let pair = pair(word);
            words.begins[pair >> 6] |= 1 << (pair & 63);
        }
        words
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The text without the words.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        match String::from_utf8(self.bytes(text.as_bytes())) {
            Ok(text) => text,
            // A value of no whole characters was in it.
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// The bytes without the words.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut stream = crate::Stream::default();
        stream.push(self, bytes, &mut out);
        stream.end(self, &mut out);
        out
    }

    fn add_value(&mut self, value: &[u8]) {
        // Files end with a line end that programs take away.
        let bare = value.strip_suffix(b"\n").unwrap_or(value);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        if bare.len() <= LONGEST {
            self.add(bare);
        }
        for line in bare.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            for piece in line.chunks(LONGEST) {
                self.add(piece);
            }
        }
        if bare.len() < LEAST {
            return;
        }
        for url_safe in [false, true] {
            for value in [value, bare] {
                self.add_base64(&base64(value, url_safe));
            }
        }
    }

    fn add_base64(&mut self, text: &[u8]) {
        for piece in text.chunks(LONGEST) {
            self.add(piece);
        }
        for columns in COLUMNS.into_iter().filter(|columns| text.len() > *columns) {
            for line in text.chunks(columns) {
                self.add(line);
            }
        }
    }

    fn add(&mut self, word: &[u8]) {
        if word.len() >= LEAST {
            self.all.push(word.to_vec());
            let escaped = in_json(word);
            if escaped != word {
                self.all.extend(escaped.chunks(LONGEST).filter(|piece| piece.len() >= LEAST).map(<[u8]>::to_vec));
            }
        }
    }

    /// Whether a word may begin with these two bytes.
    pub(crate) fn may_begin(&self, bytes: &[u8]) -> bool {
        let pair = pair(bytes);
        self.begins[pair >> 6] & (1 << (pair & 63)) != 0
    }

    /// What is at the begin of `bytes`, which are all that is known.
    pub(crate) fn look(&self, bytes: &[u8]) -> Look {
        if bytes.len() >= 2 && !self.may_begin(bytes) {
            return Look::No;
        }
        let head = &bytes[..bytes.len().min(LEAST)];
        let from = self.all.partition_point(|word| &word[..head.len()] < head);
        let alike = self.all[from..].iter().take_while(|word| word.starts_with(head));
        let (mut whole, mut longer) = (0, false);
        for word in alike {
            if word.len() <= bytes.len() {
                if bytes.starts_with(word) {
                    whole = whole.max(word.len());
                }
            } else {
                longer |= word.starts_with(bytes);
            }
        }
        match (whole, longer) {
            (so_far, true) => Look::Maybe { so_far },
            (0, false) => Look::No,
            (len, false) => Look::Whole(len),
        }
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// As programs write it into a text of JSON.
fn in_json(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'\t' => text.extend(b"\\t"),
            byte => text.push(*byte),
        }
    }
    text
}

/// Without the `=` at its end: many leave it away.
fn base64(bytes: &[u8], url_safe: bool) -> Vec<u8> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let last: [u8; 2] = if url_safe { *b"-_" } else { *b"+/" };
    let letter = |six: u32| {
        let six = six as usize & 63;
        if six < 62 { LETTERS[six] } else { last[six - 62] }
    };
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| three.get(n).map_or(0, |byte| u32::from(*byte));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        text.extend((0..=three.len() as u32).map(|n| letter(bits >> (18 - 6 * n))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_programs_write() {
        assert_eq!(base64(b"hunter2", false), b"aHVudGVyMg");
        assert_eq!(base64(b"abc", false), b"YWJj");
        assert_eq!(base64(&[0xfb, 0xff], false), b"+/8");
        assert_eq!(base64(&[0xfb, 0xff], true), b"-_8");
    }

    #[test]
    fn a_value_its_lines_and_its_base64_are_hidden() {
        let words = Words::of([b"first line\nab\n  \"key\": 1\n".as_slice(), b"hunter2\n"]);
        assert_eq!(words.text("a first line b"), "a *** b");
        assert_eq!(words.text("ab stays, \"key\": 1 goes"), "ab stays, *** goes");
        assert_eq!(words.text("pw=hunter2, aHVudGVyMg== and aHVudGVyMgo="), "pw=***, ***== and ***=");
        assert_eq!(words.text("Hunter2 hunter"), "Hunter2 hunter");
        assert!(!format!("{words:?}").contains("hunter2"));
    }

    #[test]
    fn a_value_is_hidden_as_json_writes_it() {
        let words = Words::of([b"pa\"s\\s\nline two".as_slice()]);
        assert_eq!(words.text(r#"{"pw": "pa\"s\\s\nline two"}"#), r#"{"pw": "***"}"#);
        assert_eq!(words.text("pa\"s\\s"), "***");
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        assert!(Words::of([b"abc\n".as_slice(), b""]).is_empty());
        let words = Words::of([b"a\nb\nc\n".as_slice()]);
        assert_eq!(words.text("a\nb\nc a b c"), "*** a b c", "the whole of it is long enough");
    }

    #[test]
    fn wrapped_base64_is_hidden_line_by_line() {
        let value: Vec<u8> = (0..200u32).map(|n| (n * 37 % 251) as u8).collect();
        let words = Words::of([value.as_slice()]);
        let text = String::from_utf8(base64(&value, false)).unwrap();
        for columns in [64, 76, 1000] {
            let lines: Vec<&str> =
                (0..text.len()).step_by(columns).map(|n| &text[n..text.len().min(n + columns)]).collect();
            let hidden = words.text(&lines.join("\n"));
            assert!(hidden.lines().all(|line| line == "***"), "{columns}: {hidden}");
        }
    }

    #[test]
    fn a_large_value_is_hidden_in_pieces() {
        let value: Vec<u8> = (0..20_000u32).map(|n| b'a' + (n * n % 23) as u8).collect();
        let words = Words::of([value.as_slice()]);
        let hidden = words.bytes(&value);
        assert!(hidden.iter().all(|byte| *byte == b'*') && hidden.len() < 30);
    }
}
