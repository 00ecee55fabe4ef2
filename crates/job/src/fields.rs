//! Every key of a job file, for `dybox explain FIELD`, for "did you mean" and for "not supported yet".

/// Which mapping a key stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The file itself.
    Top,
    /// A stage, or `defaults`.
    Stage,
    /// One of `params`.
    Param,
    /// `retry`
    Retry,
    /// `timeout`
    Timeout,
    /// One of `hooks`.
    Hook,
}

/// A key of a job file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Where it stands.
    pub scope: Scope,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What it is when it is left out.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Whether this version does it.
    pub built: bool,
}

/// All of them, in the order of the page.
pub const FIELDS: &[Field] = &[];
