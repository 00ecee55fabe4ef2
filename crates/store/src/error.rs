//! What can go wrong with a store, and what to do about it.

use std::{fmt, io};

use thiserror::Error;

/// What kind of trouble it is, by what the caller must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No room, or a quota is used up. Nothing more can be recorded: stop what can't be.
    Full,
    /// Read-only, or no permission. The user or the administrator must act.
    Denied,
    /// It does not exist.
    Missing,
    /// What is there is not what was written: damaged, or of a newer DYbox.
    Damaged,
    /// Any other failure of the file system.
    Other,
}

/// An operation on the store that failed.
#[derive(Debug, Error)]
#[error("can't {operation} {place}")]
pub struct StoreError {
    operation: &'static str,
    place: String,
    source: io::Error,
}

impl StoreError {
    pub(crate) fn new(operation: &'static str, place: impl fmt::Display, source: io::Error) -> Self {
        Self { operation, place: place.to_string(), source }
    }

    /// For what was read but makes no sense.
    pub(crate) fn damaged(operation: &'static str, place: impl fmt::Display, why: impl Into<String>) -> Self {
        Self::new(operation, place, io::Error::new(io::ErrorKind::InvalidData, why.into()))
    }

    /// What was tried, as an infinitive ("write", "sync").
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Where: the whole path or address.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::Denied,
            io::ErrorKind::NotFound => Kind::Missing,
            io::ErrorKind::InvalidData => Kind::Damaged,
            _ => Kind::Other,
        }
    }

    /// Whether there is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind() == Kind::Full
    }

    /// Whether the thing does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.kind() == Kind::Missing
    }

    /// The next step, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.kind() {
            Kind::Full => "Free some room on this file system (`dybox gc`), then `dybox resume RUN`.",
            Kind::Denied => "Correct the permissions, or set DYBOX_HOME to a directory that you may write.",
            Kind::Missing => "Check the path; `dybox ps` lists the runs that are there.",
            Kind::Damaged => {
                "The file is damaged or written by a newer DYbox; read it with that version, or remove the run."
            }
            Kind::Other => "Check the disk and the file system; `dybox doctor` looks at both.",
        }
    }
}
