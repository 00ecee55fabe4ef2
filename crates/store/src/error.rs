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
    /// HDFS: somebody else has the file open for writing, and may live.
    Held,
    /// HDFS: somebody else took the file over. Whoever gets this must stop writing for good.
    Fenced,
    /// HDFS: nobody answers there, or no answer came in time. Try again later.
    Unreachable,
    /// HDFS: the NameNode is up but refuses changes for now. Try again later.
    SafeMode,
    /// Any other failure of the file system.
    Other,
}

/// An operation on the store that failed.
#[derive(Debug, Error)]
#[error("can't {operation} {place}")]
pub struct StoreError {
    operation: &'static str,
    place: String,
    kind: Kind,
    source: io::Error,
}

impl StoreError {
    /// What went wrong with a path of this machine.
    #[must_use]
    pub fn from_io(operation: &'static str, path: impl AsRef<std::path::Path>, source: io::Error) -> Self {
        Self::new(operation, path.as_ref().display(), source)
    }

    pub(crate) fn new(operation: &'static str, place: impl fmt::Display, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::Denied,
            io::ErrorKind::NotFound => Kind::Missing,
            io::ErrorKind::InvalidData => Kind::Damaged,
            _ => Kind::Other,
        };
        Self { operation, place: place.to_string(), kind, source }
    }

    /// For what a person can be told in a sentence, of a kind that is known.
    pub(crate) fn of(kind: Kind, operation: &'static str, place: impl fmt::Display, why: impl Into<String>) -> Self {
        Self { operation, place: place.to_string(), kind, source: io::Error::other(why.into()) }
    }

    /// For what was read but makes no sense.
    pub(crate) fn damaged(operation: &'static str, place: impl fmt::Display, why: impl Into<String>) -> Self {
        Self::new(operation, place, io::Error::new(io::ErrorKind::InvalidData, why.into()))
    }

    /// For a [`Live`](crate::logs::Live) source that can't be asked: nobody answers there.
    #[must_use]
    pub fn unreachable(operation: &'static str, place: impl fmt::Display, why: impl Into<String>) -> Self {
        Self::of(Kind::Unreachable, operation, place, why)
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
    pub const fn kind(&self) -> Kind {
        self.kind
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

    /// Whether the right to do it is missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.kind() == Kind::Denied
    }

    /// Whether another writer has the file open.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.kind() == Kind::Held
    }

    /// Whether another writer took the file over, so that this one is done for good.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.kind() == Kind::Fenced
    }

    /// Whether nobody answers there (NameNode or DataNode down, no answer in time).
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.kind() == Kind::Unreachable
    }

    /// Whether the NameNode is in safe mode.
    #[must_use]
    pub fn is_safe_mode(&self) -> bool {
        self.kind() == Kind::SafeMode
    }

    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self.kind(), Kind::Unreachable | Kind::SafeMode)
    }

    /// The error and its causes in one line.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{self}: {}", self.source)
    }

    /// The next step, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        let hdfs = self.place.starts_with("hdfs://");
        match self.kind() {
            Kind::Full if hdfs => {
                "Free some room in HDFS, or ask its administrator for more (`hdfs dfs -count -q` shows the quota)."
            }
            Kind::Full => "Free some room on this file system (`dybox gc`), then `dybox resume RUN`.",
            Kind::Denied if hdfs => {
                "Ask the administrator of HDFS for the right to write there, or set HADOOP_USER_NAME where the cluster trusts names."
            }
            Kind::Denied => "Correct the permissions, or set DYBOX_HOME to a directory that you may write.",
            Kind::Missing => "Check the path; `dybox ps` lists the runs that are there.",
            Kind::Damaged => {
                "The file is damaged or written by a newer DYbox; read it with that version, or remove the run."
            }
            Kind::Held => "Somebody else writes this file; wait for its end, or stop that run.",
            Kind::Fenced => "A newer attempt has taken over; this one must end.",
            Kind::Unreachable => {
                "Check that HDFS runs and that fs.defaultFS names its NameNode's RPC port, not its page; `dybox doctor` looks at both."
            }
            Kind::SafeMode => {
                "Wait until the NameNode leaves safe mode (`hdfs dfsadmin -safemode get`), then try again."
            }
            Kind::Other if hdfs => "Look at the log of the NameNode; `dybox doctor` checks HDFS.",
            Kind::Other => "Check the disk and the file system; `dybox doctor` looks at both.",
        }
    }
}
