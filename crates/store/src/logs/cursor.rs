//! One place that output is read from, and how far it has been read.

use std::sync::Arc;

use dybox_model::{GrantId, Millis};

use super::live::Live;
use super::rest::RestReader;
use crate::StoreError;
use crate::archive::{ArchiveReader, FrameRef, LogItem, Source, Summary};

/// An archive or an orphaned file, and its next frame.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) place: Place,
    pub(super) next: usize,
}

/// Where output lies.
#[derive(Debug)]
pub(super) enum Place {
    Archive(Box<ArchiveReader>),
    Rest(Box<RestReader>),
}

impl Place {
    pub(super) fn frames(&self) -> &[FrameRef] {
        match self {
            Self::Archive(archive) => archive.frames(),
            Self::Rest(rest) => rest.catalog().frames(),
        }
    }

    pub(super) fn source(&self, frame: &FrameRef) -> Option<Source> {
        match self {
            Self::Archive(archive) => archive.source(frame),
            Self::Rest(rest) => Some(rest.source()),
        }
    }

    pub(super) async fn piece(&mut self, n: usize) -> Result<Option<LogItem>, StoreError> {
        match self {
            Self::Archive(archive) => archive.piece(n).await,
            Self::Rest(rest) => rest.piece(n).await,
        }
    }

    pub(super) async fn refresh(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Archive(archive) => archive.refresh().await,
            Self::Rest(rest) => rest.refresh().await,
        }
    }

    pub(super) fn summaries(&self) -> Vec<Summary> {
        match self {
            Self::Archive(archive) => archive.summaries(),
            Self::Rest(rest) => rest.summaries(),
        }
    }

    /// From now on somebody reads the archive to us.
    pub(super) fn read_by(&mut self, live: Arc<dyn Live>, grant: GrantId) {
        if let Self::Archive(archive) = self {
            archive.read_by(live, grant);
        }
    }

    /// Bytes that are known.
    pub(super) fn end(&self) -> u64 {
        match self {
            Self::Archive(archive) => archive.end(),
            Self::Rest(rest) => rest.catalog().end,
        }
    }

    /// Where shipping of an output goes on, and the time of the last piece.
    pub(super) fn shipped(&self, source: Source) -> (u64, Millis) {
        match self {
            Self::Archive(archive) => archive.shipped(source),
            Self::Rest(_) => (0, Millis(0)),
        }
    }

    pub(super) const fn is_rest(&self) -> bool {
        matches!(self, Self::Rest(_))
    }

    /// Gives descriptor and memory back.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Archive(archive) => archive.rest(),
            Self::Rest(rest) => rest.rest(),
        }
    }
}
