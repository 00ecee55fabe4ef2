//! Which lines match a pattern.

use memchr::{memchr, memchr_iter, memrchr};
use regex::bytes::{Regex, RegexBuilder};

use crate::report::safe::safe_into;
use crate::report::{Failure, codes};

/// Matches over the end of a line that are put up with, before lines are looked at one by one.
const MOST_CROSSED: u32 = 64;

/// A pattern. It is asked about one line at a time; where many lines are at hand the first of them that may match is
/// looked for in all at once, which costs nothing for those between.
pub(super) struct Grep {
    line: Regex,
    /// The same for many lines: `^` and `$` are at each one's ends.
    many: Option<Regex>,
    crossed: u32,
    shown: String,
}

impl Grep {
    /// Of the text after `--grep`.
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let line = Regex::new(text).map_err(|e| {
            let why = e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Failure::coded(codes::BAD_PATTERN, format!("{text:?} is no regular expression")).why(why)
        })?;
        // Of these the same is not true of a line alone and of a line among others.
        let alone = ["\\A", "\\z", "(?m", "(?R", "(?s", "(?-", "(?u", "(?U", "(?x", "(?is", "(?im", "(?ix"];
        let among = !alone.iter().any(|part| text.contains(part));
        let many = among.then(|| RegexBuilder::new(text).multi_line(true).build().ok()).flatten();
        Ok(Self { line, many, crossed: 0, shown: String::new() })
    }

    /// Whether a line, as the payload wrote it, matches as it is shown.
    pub(super) fn takes(&mut self, line: &[u8]) -> bool {
        self.shown.clear();
        safe_into(line, &mut self.shown);
        self.line.is_match(self.shown.as_bytes())
    }

    /// Gives `found` the lines that match, without their newlines. Every one of `lines` ends in a newline; `plain`:
    /// they are shown as they are.
    pub(super) fn find(&mut self, lines: &[u8], plain: bool, found: &mut dyn FnMut(&[u8])) {
        let Some(text) = lines.strip_suffix(b"\n") else { return };
        let mut begin = 0;
        if plain {
            begin = self.find_among(text, found);
        }
        while begin <= text.len() {
            let end = memchr(b'\n', &text[begin..]).map_or(text.len(), |newline| begin + newline);
            let line = &text[begin..end];
            if if plain { self.line.is_match(line) } else { self.takes(line) } {
                found(line);
            }
            begin = end + 1;
        }
    }

    /// From one line that may match to the next; returns where it stopped to go on so.
    ///
    /// No line is passed over: what matches in a line alone matches at the same place among others, so that the first
    /// match among them begins no later. It may begin earlier, and run over the end of its line: so every line is asked
    /// about alone as well, and a pattern with which that happens often is not looked for so any more.
    fn find_among(&mut self, text: &[u8], found: &mut dyn FnMut(&[u8])) -> usize {
        let mut begin = 0;
        while let Some(many) = self.many.as_ref().filter(|_| begin <= text.len()) {
            let Some(matched) = many.find_at(text, begin) else { return text.len() + 1 };
            let from = memrchr(b'\n', &text[begin..matched.start()]).map_or(begin, |newline| begin + newline + 1);
            let end = memchr(b'\n', &text[matched.start()..]).map_or(text.len(), |n| matched.start() + n);
            if matched.end() > end {
                self.crossed += 1;
                if self.crossed > MOST_CROSSED {
                    self.many = None;
                }
            }
            if self.line.is_match(&text[from..end]) {
                found(&text[from..end]);
            }
            begin = end + 1;
        }
        begin
    }
}

/// Gives `found` all lines, without their newlines.
pub(super) fn every(lines: &[u8], found: &mut dyn FnMut(&[u8])) {
    let mut begin = 0;
    for newline in memchr_iter(b'\n', lines) {
        found(&lines[begin..newline]);
        begin = newline + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str, plain: bool) -> Vec<String> {
        let mut all = Vec::new();
        let mut grep = Grep::new(pattern).map_err(|failure| failure.what.clone()).unwrap();
        grep.find(text.as_bytes(), plain, &mut |line| all.push(String::from_utf8_lossy(line).into_owned()));
        all
    }

    #[test]
    fn many_lines_at_once_give_what_one_at_a_time_gives() {
        let text = "error: one\n\nok\nan error\nerrors\n  \nERROR 7\nlast error\n".to_owned();
        let many: String = (0..200).map(|n| format!("line {n} of a text\n\nb\n")).collect();
        let patterns = [
            "error",
            "^error",
            "error$",
            "^$",
            "",
            "o",
            "\\s",
            "[^x]",
            "[^x]*b",
            "a[^z]*b",
            "\\Aerr",
            "r\\z",
            "(?i)error",
            "(?s)o.e",
            "\\berror\\b",
            "^\\s*$",
            "x*$",
            "7|one",
            "e\\nok",
            "(?:ok|ERROR)",
            "^.",
            ".$",
            "b$",
            "\\n",
        ];
        for text in [&text, &many, &format!("{text}{many}{text}")] {
            for pattern in patterns {
                let line = Regex::new(pattern).unwrap();
                let want: Vec<_> = text.lines().filter(|line_| line.is_match(line_.as_bytes())).collect();
                assert_eq!(found(pattern, text, true), want, "{pattern:?}");
                assert_eq!(found(pattern, text, false), want, "{pattern:?}");
            }
        }
    }

    #[test]
    fn a_line_matches_as_it_is_shown() {
        assert_eq!(found("^red$", "\x1b[31mred\x1b[0m\nblue\n", false), ["\x1b[31mred\x1b[0m"]);
    }

    #[test]
    fn a_pattern_that_runs_over_lines_is_not_looked_for_in_many_for_long() {
        let mut grep = Grep::new("a[^z]*").map_err(|failure| failure.what.clone()).unwrap();
        let mut count = 0;
        grep.find("a\n".repeat(1000).as_bytes(), true, &mut |_| count += 1);
        assert_eq!((count, grep.many.is_none()), (1000, true));
    }
}
