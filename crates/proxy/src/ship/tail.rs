//! One growing file on its way into the archive.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use dybox_model::{AttemptId, Millis};
use dybox_store::StoreError;
use dybox_store::archive::{ArchiveWriter, MAX_PAYLOAD, Stream};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};

/// Why bytes are not kept.
const TOO_MANY: &str = "there was more than is kept";
const UNREADABLE: &str = "it could not be read";
/// What is in the archive is taken off the disk in pieces of this size.
const HOLE: u64 = 64 << 20;
/// Bytes at a file's begin that stay readable where it lies (on a NodeManager's page, in what YARN gathers), and behind
/// what was shipped last, while the disk has room.
const SHOWN: (u64, u64) = (16 << 20, 1 << 20);
/// Stands where a hole begins, for who reads the file and not the archive.
const MARK: &[u8] =
    b"\n[dybox took a part of this output off this disk: `dybox logs` has all of it; its last lines follow]\n";
/// File systems make holes in whole blocks.
const BLOCK: u64 = 4096;
/// One frame's worth: little, where there is little, for this process should stay small.
const FRAME: usize = 256 << 10;
const MUCH: u64 = 4 << 20;

/// Most bytes that are kept of one output of one attempt: its first ones, shipped as they come, and its last ones,
/// shipped at its end. What lies between is taken off the disk and recorded as a gap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) head: u64,
    pub(crate) tail: u64,
}

impl Default for Caps {
    fn default() -> Self {
        let tail = 64 << 20;
        Self { head: (4 << 30) - tail, tail }
    }
}

/// How far one output was shipped.
#[derive(Debug)]
pub(crate) struct Tail {
    stream: Stream,
    file: File,
    /// The next byte to ship. What lies between the archive's end and here is lost.
    pos: u64,
    punched: u64,
    caps: Caps,
    why: &'static str,
    /// The disk is full: what is shipped goes off it at once.
    scarce: bool,
}

impl Tail {
    pub(crate) fn open(stream: Stream, path: &Path, caps: Caps) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { stream, file, pos: 0, punched: 0, caps, why: TOO_MANY, scarce: false })
    }

    /// Bytes that were not shipped.
    pub(crate) fn waiting(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(self.pos))
    }

    /// Bytes to ship now: all, once nothing more comes.
    fn ready(&self, ended: bool) -> u64 {
        let waiting = self.waiting().unwrap_or(0);
        if ended { waiting } else { waiting.min(self.caps.head.saturating_sub(self.pos)) }
    }

    /// Ships at most one frame; whether it did something. `ended` says that the file grows no more.
    pub(super) async fn ship(
        &mut self,
        archive: &mut ArchiveWriter,
        (attempt, at): (AttemptId, Millis),
        ended: bool,
    ) -> Result<bool, StoreError> {
        // After a crash of a proxy, or a failed write, the archive knows best how far it came.
        self.pos = self.pos.max(archive.shipped(attempt, self.stream));
        self.pass_over(ended);
        let ready = self.ready(ended);
        let most = if ready > MUCH { MAX_PAYLOAD } else { FRAME };
        let bytes = self.read(usize::try_from(ready).map_or(most, |ready| ready.min(most)));
        if bytes.is_empty() && ready > 0 {
            // Said as a gap, not tried for ever.
            (self.pos, self.why) = (self.pos + ready, UNREADABLE);
        }
        let lost = self.pos - archive.shipped(attempt, self.stream);
        if lost > 0 && (ended || !bytes.is_empty()) {
            archive.gap(attempt, self.stream, lost, self.why).await?;
        }
        let len = bytes.len() as u64;
        if len > 0 {
            archive.append_bytes(attempt, self.stream, at, bytes).await?;
        }
        self.pos += len;
        if self.pos - self.punched >= if self.scarce { BLOCK } else { HOLE } {
            self.make_room(if self.scarce { self.pos } else { self.pos.saturating_sub(SHOWN.1) });
        }
        Ok(ready > 0)
    }

    /// Ships all that is there; an error is told here.
    pub(crate) async fn ship_all(
        &mut self,
        archive: &mut ArchiveWriter,
        attempt: AttemptId,
        at: Millis,
    ) -> Result<(), ()> {
        let all = async {
            while self.ship(archive, (attempt, at), true).await? {}
            Ok::<_, StoreError>(())
        };
        all.await.map_err(|error| tracing::warn!(%attempt, error = super::said(&error), "can't ship"))
    }

    /// Whether [`Tail::ship`] has something to do.
    pub(super) fn wants(&self, ended: bool) -> bool {
        self.ready(ended) > 0 || self.waiting().is_ok_and(|waiting| self.pos >= self.caps.head && waiting > self.most())
    }

    /// Bytes behind the head that may lie on the disk while it grows.
    fn most(&self) -> u64 {
        2 * self.caps.tail.max(BLOCK)
    }

    /// Behind the head only the last bytes count: the others go off the disk. So did those whose place is a hole.
    fn pass_over(&mut self, ended: bool) {
        if self.pos < self.caps.head {
            return;
        }
        match lseek(&self.file, self.pos.cast_signed(), Whence::SeekData) {
            Ok(data) => self.pos = self.pos.max(data.cast_unsigned()),
            Err(Errno::ENXIO) => self.pos += self.waiting().unwrap_or(0),
            // A file system that knows no holes.
            Err(_) => {}
        }
        let waiting = self.waiting().unwrap_or(0);
        if waiting > if ended { self.caps.tail } else { self.most() } {
            let keep_from = (self.pos + waiting - self.caps.tail) / BLOCK * BLOCK;
            (self.pos, self.why) = (self.pos.max(keep_from), TOO_MANY);
            self.make_room(self.pos);
        }
    }

    fn read(&self, most: usize) -> Bytes {
        let mut bytes = vec![0; most];
        let mut done = 0;
        while done < most {
            match self.file.read_at(&mut bytes[done..], self.pos + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(stream = %self.stream, %error, "can't read the payload's output");
                    break;
                }
            }
        }
        bytes.truncate(done);
        bytes.into()
    }

    /// For a full disk whose room nobody else takes any more: with what is shipped off it, there is room for the rest.
    pub(super) fn spare(&mut self) {
        if !self.scarce {
            (self.scarce, self.punched) = (true, 0);
        }
        self.make_room(self.pos);
    }

    /// Gives the disk back what is in the archive or is not kept, up to there, so that a large output does not lie there
    /// twice. Its begin stays, with a word behind it, unless the disk is full.
    fn make_room(&mut self, to: u64) {
        let shown = if self.scarce { 0 } else { SHOWN.0.min(self.caps.head / 2) };
        let mut from = self.punched.max(shown);
        if to <= from + MARK.len() as u64 {
            return;
        }
        if self.punched < shown {
            // All of these bytes are in the archive: they are before the first one that may be left out.
            if let Err(error) = self.file.write_all_at(MARK, from) {
                tracing::debug!(%error, "the place of a hole can't be marked");
            }
            from += MARK.len() as u64;
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if let Err(error) = fallocate(&self.file, flags, from.cast_signed(), (to - from).cast_signed()) {
            tracing::debug!(%error, "this file system makes no holes");
        }
        self.punched = to;
    }
}
