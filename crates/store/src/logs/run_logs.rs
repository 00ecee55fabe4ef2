//! Reading all archives of a run as one, and what lies beside them after a crash.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dybox_model::Millis;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Select;
use super::cursor::{Cursor, Place};
use super::find::{Finder, Found};
use super::live::Grants;
use super::rest::{RestReader, orphans};
use crate::archive::{ArchiveReader, FrameRef, LogItem, Source, Summary};
use crate::layout::RunDir;
use crate::{Store, StoreError};

/// Archives that are kept open at once: a run may have more than a process may open files.
const OPEN_AT_ONCE: usize = 32;
/// How many of them are opened together.
const OPENED_AT_ONCE: usize = 16;

/// Between two looks for more, while following.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same on the cluster, where a look asks the NameNode and a master.
const LOOK_FAR: Duration = Duration::from_millis(300);

/// Between two looks for grants whose proxy died. Grants are many, so a look that takes long is followed by a long pause.
const ORPHANS_EVERY: Duration = Duration::from_secs(1);
const ORPHANS_SHARE: u32 = 20;

/// A reader of a run's whole output: its archives, and what a dead proxy did not bring into one.
///
/// Pieces of one archive come in its order, which is the order of each output; several archives are merged by time.
#[derive(Debug)]
pub struct RunLogs {
    store: Store,
    dir: String,
    select: Select,
    finder: Finder,
    pub(super) archives: Vec<Cursor>,
    names: BTreeMap<String, usize>,
    /// The next wanted frame of each archive that has one.
    ready: BinaryHeap<Reverse<(Millis, usize)>>,
    /// Archives with open files, the longest unused first.
    open: VecDeque<usize>,
    /// Output that may be in an archive and beside it: what was given out once is not given out again.
    twofold: BTreeSet<Source>,
    orphans_at: Option<Instant>,
    /// Where output starts that is shown from its last lines only, or was shown up to there.
    pub(super) from: BTreeMap<Source, u64>,
}

impl RunLogs {
    /// Opens what is in the directory `dir` ([`RunDir::logs`](crate::layout::RunDir::logs)) now.
    ///
    /// An archive in HDFS that is still written is not there; [`RunLogs::open_with`] has it.
    pub async fn open(store: &Store, dir: &str, select: Select) -> Result<Self, StoreError> {
        Self::open_with(store, dir, select, Grants::Unknown).await
    }

    /// Like [`RunLogs::open`], and reads archives of grants that are not over from who writes them.
    pub async fn open_with(store: &Store, dir: &str, select: Select, grants: Grants) -> Result<Self, StoreError> {
        let mut logs = Self {
            store: store.clone(),
            dir: dir.to_owned(),
            select,
            finder: Finder::new(grants),
            archives: Vec::new(),
            names: BTreeMap::new(),
            ready: BinaryHeap::new(),
            open: VecDeque::new(),
            twofold: BTreeSet::new(),
            orphans_at: None,
            from: BTreeMap::new(),
        };
        logs.refresh().await?;
        Ok(logs)
    }

    /// Whose output there is, and how much: of what was selected, over all archives.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        let mut all: BTreeMap<Source, Summary> = BTreeMap::new();
        let wanted = |summary: &Summary| self.select.takes(summary.source);
        for summary in self.archives.iter().flat_map(|cursor| cursor.place.summaries()).filter(wanted) {
            let known = all.entry(summary.source).or_insert(Summary { bytes: 0, lines: 0, ..summary });
            known.bytes += summary.bytes;
            known.lines += summary.lines;
            known.first = known.first.min(summary.first);
            known.last = known.last.max(summary.last);
        }
        all.into_values().collect()
    }

    /// The next piece of what was there at the last look; nothing at its end.
    pub async fn next(&mut self) -> Result<Option<LogItem>, StoreError> {
        while let Some(&Reverse((_, archive))) = self.ready.peek() {
            self.use_file(archive);
            let cursor = &mut self.archives[archive];
            let item = cursor.place.piece(cursor.next).await?;
            // A sweep took the file away since: what was in it is in the archive now.
            let swept = item.is_none() && cursor.place.is_rest();
            // Only now: a caller may drop this future while it reads.
            cursor.next += 1;
            self.ready.pop();
            self.queue(archive);
            if swept {
                self.refresh().await?;
            }
            if let Some(item) = item.and_then(|item| self.trim(item)) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// The next piece, waiting for one up to `timeout` where there is none; nothing when none came.
    ///
    /// Dropping the future loses nothing: a piece that was not given out is given out next time.
    pub async fn next_within(&mut self, timeout: Duration) -> Result<Option<LogItem>, StoreError> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(item) = self.next().await? {
                return Ok(Some(item));
            }
            let left = end.saturating_duration_since(Instant::now());
            if self.refresh().await? {
                continue;
            }
            if left.is_zero() {
                return Ok(None);
            }
            let pause = if self.store.is_remote() { LOOK_FAR } else { LOOK_EVERY };
            tokio::time::sleep(pause.min(left)).await;
        }
    }

    /// Looks for new archives and for more in the known ones; `true` when there is more.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let archived = self.refresh_archives().await?;
        Ok(self.refresh_rests().await? || archived)
    }

    async fn refresh_archives(&mut self) -> Result<bool, StoreError> {
        let mut more = false;
        let all = self.finder.archives(&self.store, &self.dir).await?;
        let mut opened = VecDeque::new();
        for (at, found) in all.iter().enumerate() {
            let archive = match self.names.get(&found.name) {
                Some(&archive) => {
                    let place = &mut self.archives[archive].place;
                    if let Some((live, grant)) = &found.live {
                        place.read_by(Arc::clone(live), *grant);
                    }
                    if found.len.is_some_and(|len| place.end() >= len) {
                        continue;
                    }
                    self.use_file(archive);
                    if !self.archives[archive].place.refresh().await? {
                        continue;
                    }
                    archive
                }
                None => {
                    if opened.is_empty() {
                        let new = all[at..].iter().filter(|found| !self.names.contains_key(&found.name));
                        opened = self.open_all(new.take(OPENED_AT_ONCE)).await?;
                    }
                    let reader = opened.pop_front().expect("every new archive was opened, in this order");
                    self.archives.push(Cursor { place: Place::Archive(Box::new(reader)), next: 0 });
                    let archive = self.archives.len() - 1;
                    self.names.insert(found.name.clone(), archive);
                    self.use_file(archive);
                    archive
                }
            };
            more |= self.queue_new(archive);
        }
        Ok(more)
    }

    /// Opens archives together: each costs a cluster's store some round trips.
    async fn open_all<'a>(
        &self,
        found: impl Iterator<Item = &'a Found>,
    ) -> Result<VecDeque<ArchiveReader>, StoreError> {
        let mut opening = JoinSet::new();
        for (at, found) in found.enumerate() {
            let (store, name, live) = (self.store.clone(), format!("{}/{}", self.dir, found.name), found.live.clone());
            opening.spawn(async move { (at, ArchiveReader::open_from(&store, &name, live).await) });
        }
        let mut opened = BTreeMap::new();
        while let Some(joined) = opening.join_next().await {
            let (at, reader) = joined.expect("opening an archive does not panic");
            opened.insert(at, reader?);
        }
        Ok(opened.into_values().collect())
    }

    /// Looks for more in orphaned files, and now and then for more such files.
    async fn refresh_rests(&mut self) -> Result<bool, StoreError> {
        let mut more = false;
        let now = Instant::now();
        if self.orphans_at.is_none_or(|at| now >= at) {
            more = self.find_rests().await?;
            self.orphans_at = Some(Instant::now() + (now.elapsed() * ORPHANS_SHARE).max(ORPHANS_EVERY));
        }
        for archive in 0..self.archives.len() {
            if self.archives[archive].place.is_rest() && self.archives[archive].place.refresh().await? {
                self.use_file(archive);
                more |= self.queue_new(archive);
            }
        }
        Ok(more)
    }

    async fn find_rests(&mut self) -> Result<bool, StoreError> {
        // Beside an archive in HDFS lies nothing: its machine has the rest, and whoever sweeps there brings it.
        let run = RunDir::of_logs(&self.dir).filter(|_| !self.store.is_remote());
        let Some(run) = run else { return Ok(false) };
        let mut more = false;
        for (grant, file) in orphans(&self.store, &run).await? {
            if self.names.contains_key(&file.name) || !self.select.takes(file.source) {
                continue;
            }
            let (name, source) = (file.name.clone(), file.source);
            let archive = self.names.get(&RunDir::archive_name(grant)).copied();
            if let Some(archive) = archive {
                // The proxy may have shipped until it died, since the archive was looked at.
                self.use_file(archive);
                self.archives[archive].place.refresh().await?;
                self.queue_new(archive);
            }
            let shipped = archive.map_or((0, Millis(0)), |archive| self.archives[archive].place.shipped(source));
            let rest = RestReader::open(&self.store, file, shipped).await?;
            self.archives.push(Cursor { place: Place::Rest(Box::new(rest)), next: 0 });
            let rest = self.archives.len() - 1;
            self.names.insert(name, rest);
            self.twofold.insert(source);
            self.use_file(rest);
            more |= self.queue_new(rest);
        }
        Ok(more)
    }

    /// Whether a frame is of the selected output. Damage without an owner may be: it is shown.
    pub(super) fn wants(&self, place: &Place, frame: &FrameRef) -> bool {
        place.source(frame).is_none_or(|source| self.select.takes(source)) && self.select.takes_time(frame.at)
    }

    /// Starts the merge anew from where the cursors stand.
    pub(super) fn requeue(&mut self) {
        self.ready.clear();
        for archive in 0..self.archives.len() {
            self.queue(archive);
        }
    }

    /// Queues an archive that may be queued already.
    fn queue_new(&mut self, archive: usize) -> bool {
        let queued = self.ready.iter().any(|Reverse((_, there))| *there == archive);
        queued || self.queue(archive)
    }

    /// Moves an archive's cursor to its next wanted frame and queues it there.
    fn queue(&mut self, archive: usize) -> bool {
        let cursor = &self.archives[archive];
        let frames = cursor.place.frames();
        let wanted = (cursor.next..frames.len()).find(|&at| self.wants(&cursor.place, &frames[at]));
        let at = wanted.map(|next| frames[next].at);
        let next = wanted.unwrap_or(frames.len());
        self.archives[archive].next = next;
        if let Some(at) = at {
            self.ready.push(Reverse((at, archive)));
        }
        at.is_some()
    }

    /// Notes that an archive's file is used, and closes the one that was not for longest.
    fn use_file(&mut self, archive: usize) {
        if self.open.back() == Some(&archive) {
            return;
        }
        self.open.retain(|&other| other != archive);
        self.open.push_back(archive);
        if self.open.len() > OPEN_AT_ONCE
            && let Some(oldest) = self.open.pop_front()
        {
            self.archives[oldest].place.rest();
        }
    }

    /// Cuts off what lies before the last lines, or was given out from another place.
    fn trim(&mut self, item: LogItem) -> Option<LogItem> {
        let from = item.source().and_then(|source| self.from.get(&source)).copied();
        let item = match from {
            Some(from) => cut(item, from)?,
            None => item,
        };
        if let LogItem::Chunk { source, pos, bytes, .. } = &item
            && self.twofold.contains(source)
        {
            self.from.insert(*source, pos + bytes.len() as u64);
        }
        Some(item)
    }
}

/// What of `item` lies behind `from`.
fn cut(item: LogItem, from: u64) -> Option<LogItem> {
    match item {
        LogItem::Chunk { source, at, pos, bytes } => {
            let skip = usize::try_from(from.saturating_sub(pos)).unwrap_or(usize::MAX);
            let rest = (skip < bytes.len()).then(|| bytes.slice(skip..))?;
            Some(LogItem::Chunk { source, at, pos: pos + skip as u64, bytes: rest })
        }
        LogItem::Gap(gap) => Some(LogItem::Gap(gap)),
    }
}
