//! Output that is not in an archive yet and whose proxy is dead: read from the files that the payload wrote.
//!
//! A sweep will bring it into the archive. Both are read then, and [`RunLogs`](super::RunLogs) shows each byte once.

use std::time::UNIX_EPOCH;

use dybox_model::{AttemptId, GrantId, Millis};

use crate::archive::{Catalog, FrameKind, FrameRef, Gap, LogItem, Source, Stream, Summary, count_lines};
use crate::layout::{GrantDir, RunDir};
use crate::read::DirReader;
use crate::{Store, StoreError};

/// Bytes in one piece.
const PIECE: usize = 256 << 10;
/// Why bytes of such a file are not there: its proxy made room before it died.
const GONE: &str = "there was more than is kept";

/// A grant's file with output, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RestFile {
    pub(super) name: String,
    pub(super) source: Source,
}

/// The output files of all grants of a run that nobody looks after now.
pub(super) async fn orphans(store: &Store, run: &RunDir) -> Result<Vec<(GrantId, RestFile)>, StoreError> {
    let mut found = Vec::new();
    for entry in store.list(&run.grants()).await? {
        let Ok(id) = entry.name.parse::<GrantId>() else { continue };
        let grant = run.grant(id);
        let names = store.list(&grant.root()).await?;
        let files: Vec<_> =
            names.iter().filter(|entry| entry.len > 0).filter_map(|e| rest_file(&grant, &e.name)).collect();
        if !files.is_empty() && !store.is_locked(&grant.owner()).await? {
            found.extend(files.into_iter().map(|file| (id, file)));
        }
    }
    Ok(found)
}

fn rest_file(grant: &GrantDir, name: &str) -> Option<RestFile> {
    let (attempt, end) = name.split_once('.')?;
    let attempt: AttemptId = attempt.parse().ok()?;
    let stream = [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| stream.word() == end)?;
    let name = match stream {
        Stream::Stdout => grant.stdout(attempt),
        Stream::Stderr => grant.stderr(attempt),
    };
    Some(RestFile { name, source: Source { attempt, stream } })
}

/// A reader of one such file, from where the archive ends on. Its pieces look like those of an archive.
#[derive(Debug)]
pub(super) struct RestReader {
    store: Store,
    file: RestFile,
    open: Option<DirReader>,
    catalog: Catalog,
    not_before: Millis,
}

impl RestReader {
    /// Opens the file behind its first `shipped` bytes. No piece is older than `not_before`, the archive's last one.
    pub(super) async fn open(
        store: &Store,
        file: RestFile,
        (shipped, not_before): (u64, Millis),
    ) -> Result<Self, StoreError> {
        let mut catalog = Catalog::default();
        catalog.end = shipped;
        let mut rest = Self { store: store.clone(), file, open: None, catalog, not_before };
        rest.refresh().await?;
        Ok(rest)
    }

    pub(super) const fn source(&self) -> Source {
        self.file.source
    }

    pub(super) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn summaries(&self) -> Vec<Summary> {
        self.catalog.summaries()
    }

    /// Looks for more; `true` when there is some. A file that is gone grows no more: it is in the archive.
    pub(super) async fn refresh(&mut self) -> Result<bool, StoreError> {
        let Some(file) = self.file().await? else { return Ok(false) };
        let (size, changed) = file.looked().await?;
        let at = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)).max(self.not_before);
        let before = self.catalog.frames().len();
        while self.catalog.end < size {
            let (data, hole) = file.data_from(self.catalog.end).await?.unwrap_or((size, size));
            if data > self.catalog.end {
                self.push(FrameKind::Gap, (data, at), (data - self.catalog.end, 0));
            }
            let most = usize::try_from(hole - data).map_or(PIECE, |most| most.min(PIECE));
            let bytes = file.read_at(data, most).await?;
            if bytes.is_empty() {
                break;
            }
            self.push(FrameKind::Data, (data, at), (bytes.len() as u64, count_lines(&bytes)));
        }
        Ok(self.catalog.frames().len() > before)
    }

    /// The `n`th piece; nothing behind the last one, and nothing where the file is gone.
    pub(super) async fn piece(&mut self, n: usize) -> Result<Option<LogItem>, StoreError> {
        let Some(frame) = self.catalog.frames().get(n).copied() else { return Ok(None) };
        let (source, at) = (self.file.source, frame.at);
        if frame.kind == FrameKind::Gap {
            let (bytes, why) = (u64::from(frame.len), GONE.to_owned());
            return Ok(Some(LogItem::Gap(Gap { source: Some(source), at, bytes, why, offset: frame.offset })));
        }
        let Some(file) = self.file().await? else { return Ok(None) };
        let bytes = file.read_at(frame.offset, frame.len as usize).await?;
        Ok(Some(LogItem::Chunk { source, at, pos: frame.pos, bytes }))
    }

    pub(super) fn rest(&mut self) {
        self.open = None;
    }

    fn push(&mut self, kind: FrameKind, (offset, at): (u64, Millis), (len, lines): (u64, u32)) {
        let source = self.catalog.intern(self.file.source);
        let end = if kind == FrameKind::Data { offset + len } else { offset };
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.catalog.push(FrameRef { offset, pos: offset, at, len, lines, source, kind });
        self.catalog.end = end;
    }

    async fn file(&mut self) -> Result<Option<DirReader>, StoreError> {
        if self.open.is_none() {
            self.open = match self.store.open(&self.file.name).await {
                Ok(file) => file.dir().cloned(),
                Err(error) if error.is_missing() => None,
                Err(error) => return Err(error),
            };
        }
        Ok(self.open.clone())
    }
}
