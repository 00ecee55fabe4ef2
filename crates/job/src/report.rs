//! Collects problems while the rest of a file is still being read.

use crate::diagnostic::{Diagnostic, Severity};
use crate::text::{Span, Text};

/// Problems that are kept; nobody reads more, and a hostile file must not cost more.
const MOST: usize = 1_000;

/// The problems of one file.
pub(crate) struct Report<'a> {
    pub(crate) text: &'a Text<'a>,
    pub(crate) found: Vec<Diagnostic>,
    failed: bool,
    more: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(text: &'a Text<'a>) -> Self {
        Self { text, found: Vec::new(), failed: false, more: 0 }
    }

    /// Adds an error; its label, notes and help are set on what comes back.
    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message.into())
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span, message.into())
    }

    /// Reports an argument, or a variable with its name, that Linux would not give to any program.
    pub(crate) fn check_length(&mut self, what: &str, bytes: usize, span: Span) {
        /// `MAX_ARG_STRLEN`, less the NUL at its end.
        const MOST: usize = 32 * 4096 - 1;
        if bytes > MOST {
            let message = format!("{what} has {bytes} bytes; a program can be given no more than {MOST} at once");
            self.error("E0225", span, message).help("put it into a script or into a file that is mounted");
        }
    }

    fn add(&mut self, severity: Severity, code: &'static str, span: Span, message: String) -> &mut Diagnostic {
        self.failed |= severity == Severity::Error;
        if self.is_full() {
            // The last one takes what does not fit; it says how many there are.
            self.more += 1;
            self.found.truncate(MOST);
        }
        let place = if self.is_full() { None } else { self.text.place(span) };
        let new =
            Diagnostic { code, severity, message, place, label: String::new(), notes: Vec::new(), help: String::new() };
        self.found.push(new);
        self.found.last_mut().expect("one was just pushed")
    }

    /// Whether a plan can't be made.
    pub(crate) fn failed(&self) -> bool {
        self.failed || self.found.iter().any(|problem| !problem.is_warning())
    }

    /// Whether what comes now is only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }

    /// All problems in the order of the file, each once (an alias can show one twice).
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        let own = self.text.name;
        if self.more > 0 {
            self.found.truncate(MOST);
            let message = format!("{} more problems are not shown", self.more);
            self.more = 0;
            self.found.push(Diagnostic {
                code: "E0119",
                severity: Severity::Error,
                message,
                place: None,
                label: String::new(),
                notes: Vec::new(),
                help: "correct these first".to_owned(),
            });
        }
        self.found.sort_by(|a, b| order(a, own).cmp(&order(b, own)));
        self.found.dedup();
        self.found
    }
}

/// What has no place comes first, then the job file, then the files that it names.
fn order<'d>(problem: &'d Diagnostic, own: &str) -> Option<(bool, &'d str, u32, u32)> {
    problem.place.as_ref().map(|place| (place.file != own, place.file.as_str(), place.line, place.column))
}

impl Diagnostic {
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = help.into();
        self
    }

    /// "did you mean": in the label when there is a near word.
    pub(crate) fn nearest<'w>(&mut self, word: &str, words: impl Iterator<Item = &'w str>) -> &mut Self {
        if let Some(near) = nearest(word, words) {
            self.label = format!("did you mean {near:?}?");
        }
        self
    }
}

/// The word that was most likely meant, if one is near enough.
pub(crate) fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if word.len() > 100 {
        return None;
    }
    let lower = word.to_lowercase();
    let far = (word.chars().count() / 3).max(1);
    words
        .take(5_000)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, _)| distance <= far)
        // Of two that differ in case, the plain one.
        .min_by_key(|&(distance, candidate)| (distance, candidate.chars().any(char::is_uppercase)))
        .map(|(_, candidate)| candidate)
}

/// Words as a sentence has them: `a, b, c`; cut where there are too many.
pub(crate) fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    const MOST: usize = 12;
    let words: Vec<&str> = words.collect();
    let shown = words[..words.len().min(MOST)].join(", ");
    if words.len() > MOST { format!("{shown} and {} more", words.len() - MOST) } else { shown }
}
