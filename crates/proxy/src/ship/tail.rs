//! One growing file on its way into the archive.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use dybox_model::{AttemptId, Millis};
use dybox_store::StoreError;
use dybox_store::archive::{ArchiveWriter, MAX_PAYLOAD, Stream};
use nix::fcntl::{FallocateFlags, fallocate};

/// Most bytes that are kept of one output of one attempt.
const CAP: u64 = 4 << 30;
/// Why the rest is not.
pub(super) const CAP_WHY: &str = "more than 4 GiB, or not readable";
/// What is in the archive is taken off the disk in pieces of this size.
const HOLE: u64 = 64 << 20;

/// How far one output was shipped.
#[derive(Debug)]
pub(crate) struct Tail {
    stream: Stream,
    file: File,
    pos: u64,
    punched: u64,
    dropped: u64,
    cap: u64,
}

impl Tail {
    pub(crate) fn open(stream: Stream, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { stream, file, pos: 0, punched: 0, dropped: 0, cap: CAP })
    }

    #[cfg(test)]
    pub(super) fn with_cap(mut self, cap: u64) -> Self {
        self.cap = cap;
        self
    }

    pub(super) const fn stream(&self) -> Stream {
        self.stream
    }

    /// Bytes that were left out because there were too many.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes that wait to be shipped.
    pub(crate) fn waiting(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(self.pos))
    }

    /// Ships at most one frame; what is beyond the cap is counted and passed over.
    pub(super) async fn ship(
        &mut self,
        archive: &mut ArchiveWriter,
        attempt: AttemptId,
        at: Millis,
    ) -> Result<(), StoreError> {
        // After a crash of a proxy, or a failed write, the archive knows best how far it came.
        self.pos = self.pos.max(archive.shipped(attempt, self.stream));
        let waiting = self.waiting().unwrap_or(0);
        let room = self.cap.saturating_sub(self.pos);
        if room == 0 {
            self.dropped += waiting;
            self.pos += waiting;
        } else {
            let most = waiting.min(room).min(MAX_PAYLOAD as u64);
            let bytes = self.read(usize::try_from(most).unwrap_or(MAX_PAYLOAD));
            let len = bytes.len() as u64;
            if len == 0 {
                // It can't be read: said as a gap, not tried for ever.
                self.dropped += waiting;
                self.pos += waiting;
                return Ok(());
            }
            archive.append_bytes(attempt, self.stream, at, bytes).await?;
            self.pos += len;
        }
        self.punch();
        Ok(())
    }

    /// Ships all that is there and says what is left out; an error is told here.
    pub(crate) async fn ship_all(
        &mut self,
        archive: &mut ArchiveWriter,
        attempt: AttemptId,
        at: Millis,
    ) -> Result<(), ()> {
        let all = async {
            while self.waiting().unwrap_or(0) > 0 {
                self.ship(archive, attempt, at).await?;
            }
            if self.dropped > 0 {
                archive.gap(attempt, self.stream, self.dropped, CAP_WHY).await?;
            }
            Ok::<_, StoreError>(())
        };
        all.await.map_err(|error| tracing::warn!(%attempt, error = super::said(&error), "can't ship"))
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

    /// Gives the disk back what is in the archive, so that a large output does not lie there twice.
    fn punch(&mut self) {
        if self.pos - self.punched < HOLE {
            return;
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (from, len) = (self.punched.cast_signed(), (self.pos - self.punched).cast_signed());
        if let Err(error) = fallocate(&self.file, flags, from, len) {
            tracing::debug!(%error, "this file system makes no holes");
        }
        self.punched = self.pos;
    }
}
