//! Every code of a diagnostic, for `dybox explain CODE`.

/// A kind of diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `E0312`
    pub code: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// What to do about it.
    pub next: &'static str,
}

/// All of them, sorted.
pub const CODES: &[Code] = &[];
