//! Bytes that come in pieces: what may be the begin of a word waits for the rest.

use crate::MASK;
use crate::words::{Look, Words};

/// What of a stream is held back.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    held: Vec<u8>,
    /// So many of them belong to a word whose mask is out already.
    masked: usize,
}

impl Stream {
    /// Takes the next piece, and puts out what is certain.
    pub fn push(&mut self, words: &Words, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        self.go_on(words, out, false);
    }

    /// Puts out the rest: no more will come, or nobody may be kept waiting.
    pub fn end(&mut self, words: &Words, out: &mut Vec<u8>) {
        self.go_on(words, out, true);
    }

    /// Whether something waits for more.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held.len() > self.masked
    }

    fn go_on(&mut self, words: &Words, out: &mut Vec<u8>, end: bool) {
        let held = std::mem::take(&mut self.held);
        let (mut at, mut until) = (0, self.masked);
        // From here on, nothing is out yet.
        let mut plain = until;
        while at < held.len() {
            // Most bytes begin nothing.
            if held.len() - at >= 2 && !words.may_begin(&held[at..]) {
                at += 1;
                continue;
            }
            let len = match words.look(&held[at..]) {
                Look::No => 0,
                Look::Whole(len) => len,
                Look::Maybe { so_far } if end => so_far,
                Look::Maybe { .. } => break,
            };
            if at + len > until && len > 0 {
                // Words may overlap: then one mask stands for both.
                if at >= until {
                    out.extend_from_slice(&held[plain..at]);
                    out.extend_from_slice(MASK);
                }
                until = at + len;
                plain = until;
            }
            at += 1;
        }
        if at > plain {
            out.extend_from_slice(&held[plain..at]);
        }
        self.masked = until.saturating_sub(at);
        self.held = held;
        self.held.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(words: &Words, pieces: &[&[u8]]) -> String {
        let (mut stream, mut out) = (Stream::default(), Vec::new());
        for piece in pieces {
            stream.push(words, piece, &mut out);
        }
        stream.end(words, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_word_is_found_however_it_is_cut() {
        let words = Words::of([b"hunter2".as_slice(), b"hunting"]);
        let text = b"a hunter2 b huntin hunting";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(cut(&words, &pieces), "a *** b huntin ***", "{first} {second}");
            }
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(cut(&words, &single), "a *** b huntin ***");
    }

    #[test]
    fn words_that_overlap_or_hold_each_other_leave_nothing() {
        let words = Words::of([b"abcdef".as_slice(), b"defghi", b"abcd"]);
        let text = b"abcdefghi abcdx abcd";
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(cut(&words, &pieces), "*** ***x ***", "{size}");
        }
        let twice = Words::of([b"abab".as_slice()]);
        assert_eq!(cut(&twice, &[b"ababab"]), "***");
        assert_eq!(cut(&twice, &[b"abababab"]), "***");
        assert_eq!(cut(&twice, &[b"abab", b"abab"]), "***");
    }

    #[test]
    fn only_what_may_be_a_word_waits() {
        let words = Words::of([b"hunter2".as_slice()]);
        let (mut stream, mut out) = (Stream::default(), Vec::new());
        stream.push(&words, b"prompt> ", &mut out);
        assert_eq!((out.as_slice(), stream.holds()), (b"prompt> ".as_slice(), false));
        stream.push(&words, b"hun", &mut out);
        assert_eq!((out.len(), stream.holds()), (8, true));
        stream.end(&words, &mut out);
        assert_eq!((out.as_slice(), stream.holds()), (b"prompt> hun".as_slice(), false));
    }

    #[test]
    fn everything_else_goes_through_as_it_is() {
        let words = Words::of([b"secret-value".as_slice()]);
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n * 7919 % 256) as u8).collect();
        let (mut stream, mut out) = (Stream::default(), Vec::new());
        for piece in bytes.chunks(333) {
            stream.push(&words, piece, &mut out);
        }
        stream.end(&words, &mut out);
        assert_eq!(out, bytes);
    }
}
