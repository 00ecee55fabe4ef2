//! What a user sees when a command can't do what it should.

use std::error::Error;
use std::ops::{Deref, DerefMut};

use dybox_model::ExitCode;

use super::codes::ErrorInfo;

/// A failed command: code, what, where, why, next step. Printed by [`super::Screen::failure`] alone. A pointer, so that
/// a result that may be one stays small.
#[derive(Debug)]
pub(crate) struct Failure(Box<Said>);

/// The parts of a [`Failure`].
#[derive(Debug)]
pub(crate) struct Said {
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
    /// What it came from; shown with `--debug`.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with nothing but what it is.
    pub(crate) fn new(exit: ExitCode, what: impl Into<String>) -> Self {
        let what = what.into();
        Self(Box::new(Said { exit, code: None, what, place: None, why: None, next: None, source: None }))
    }

    /// A failure of a registered kind, with its exit code and next step.
    pub(crate) fn coded(info: &'static ErrorInfo, what: impl Into<String>) -> Self {
        let mut failure = Self::new(info.exit, what);
        failure.code = Some(info.code);
        failure.next(info.next)
    }

    /// Ends the command without a word: whoever read our output has left.
    pub(crate) fn quiet() -> Self {
        Self::new(ExitCode::Ok, "")
    }

    /// Whether it is [`Self::quiet`].
    pub(crate) fn is_quiet(&self) -> bool {
        self.what.is_empty()
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

impl Deref for Failure {
    type Target = Said;

    fn deref(&self) -> &Said {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Said {
        &mut self.0
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
