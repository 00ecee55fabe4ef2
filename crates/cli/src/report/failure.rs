//! What a user sees when a command can't do what it should.

use std::error::Error;

use dybox_model::ExitCode;

use super::codes::ErrorInfo;

/// A failed command: code, what, where, why, next step. Printed by [`super::Screen::failure`] alone.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the shell gets.
    pub exit: ExitCode,
    /// Its code in `dybox explain`, where it has one.
    pub code: Option<&'static str>,
    /// What is wrong, as a lower-case fragment. Empty: say nothing (a closed pipe).
    pub what: String,
    /// Where: a file, `file:line:column`, a run.
    pub place: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// One concrete next step.
    pub next: Option<String>,
    /// Whole text that replaces the rest (rendered diagnostics of a job file).
    pub text: Option<String>,
    /// What it came from; shown with `--debug`.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with nothing but what it is.
    pub(crate) fn new(exit: ExitCode, what: impl Into<String>) -> Self {
        Self { exit, code: None, what: what.into(), place: None, why: None, next: None, text: None, source: None }
    }

    /// A failure of a registered kind, with its exit code and next step.
    pub(crate) fn coded(info: &'static ErrorInfo, what: impl Into<String>) -> Self {
        Self { code: Some(info.code), next: Some(info.next.to_owned()), ..Self::new(info.exit, what) }
    }

    /// Ends the command without a word: whoever read our output has left.
    pub(crate) fn quiet() -> Self {
        Self::new(ExitCode::Ok, "")
    }

    /// With the place.
    pub(crate) fn place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// With the reason.
    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// With the next step.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// With text that stands for all of it.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// With the error that it came from; the chain's texts become the reason where none is given.
    pub(crate) fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        if self.why.is_none() {
            self.why = Some(chain(source.as_ref()));
        }
        self.source = Some(source);
        self
    }

    /// With the error that it came from, of which [`Self::what`] has the outermost text already.
    pub(crate) fn because(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        if self.why.is_none() {
            self.why = error.source().map(chain).filter(|why| !self.what.contains(why.as_str()));
        }
        self.source = Some(error);
        self
    }
}

/// The texts of an error and all its sources, outermost first, none twice.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}
