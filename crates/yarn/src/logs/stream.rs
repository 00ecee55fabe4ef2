//! The bytes of one region of a file, decompressed on the way, with never more than a window of them in memory.

use flate2::{Decompress, FlushDecompress, Status};

use super::{LogError, ReadAt};

/// How much of the file is read at once.
const WINDOW: usize = 256 << 10;

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: u64,
    /// In the file.
    pub(super) stored: u64,
    /// After decompression.
    pub(super) raw: u64,
}

impl Region {
    /// Whether it lies within a file of this length.
    pub(super) fn lies_in(self, length: u64) -> bool {
        self.offset.checked_add(self.stored).is_some_and(|end| end <= length)
    }
}

/// How a region is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Zlib,
}

impl Packing {
    /// By Hadoop's name for it. Its `gz` is a zlib stream.
    pub(super) fn from_name(name: &str) -> Result<Self, LogError> {
        match name {
            "none" => Ok(Self::Plain),
            "gz" => Ok(Self::Zlib),
            other => Err(LogError::Compression(other.chars().take(40).collect())),
        }
    }
}

/// Reads a region from its beginning.
#[derive(Debug)]
pub(super) struct Stream {
    at: u64,
    /// Bytes of the file that are still to be read.
    stored_left: u64,
    /// Bytes that are still to come out.
    raw_left: u64,
    inflate: Option<Decompress>,
    packed: Vec<u8>,
    ready: Vec<u8>,
    taken: usize,
}

impl Stream {
    pub(super) fn new(region: Region, packing: Packing) -> Self {
        let plain = packing == Packing::Plain;
        Self {
            at: region.offset,
            stored_left: if plain { region.stored.min(region.raw) } else { region.stored },
            raw_left: region.raw,
            inflate: (!plain).then(|| Decompress::new(true)),
            packed: Vec::new(),
            ready: Vec::new(),
            taken: 0,
        }
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) const fn damaged(&self, what: &'static str) -> LogError {
        LogError::Damaged { at: self.at, what }
    }

    /// Bytes that have not been taken yet.
    pub(super) const fn left(&self) -> u64 {
        self.raw_left + (self.ready.len() - self.taken) as u64
    }

    /// Makes at least one more byte ready.
    async fn refill(&mut self, file: &impl ReadAt) -> Result<(), LogError> {
        self.ready.drain(..self.taken);
        self.taken = 0;
        if self.raw_left == 0 {
            return Err(self.damaged("it ends within an entry"));
        }
        loop {
            if self.packed.is_empty() && self.stored_left > 0 {
                let length = WINDOW.min(usize::try_from(self.stored_left).unwrap_or(WINDOW));
                self.packed = file.read_at(self.at, length).await?;
                if self.packed.len() != length {
                    return Err(self.damaged("the file is shorter than it was"));
                }
                self.at += length as u64;
                self.stored_left -= length as u64;
            }
            let before = self.ready.len();
            self.unpack()?;
            let made = (self.ready.len() - before) as u64;
            self.raw_left = self.raw_left.checked_sub(made).ok_or(self.damaged("it is longer than it says"))?;
            if made > 0 {
                return Ok(());
            }
            // Some bytes may still have been in the decompressor, but there are none.
            if self.packed.is_empty() && self.stored_left == 0 {
                return Err(self.damaged("it ends too early"));
            }
        }
    }

    /// Moves bytes from `packed` to `ready`, at most a window of them.
    fn unpack(&mut self) -> Result<(), LogError> {
        let Some(inflate) = &mut self.inflate else {
            self.ready.append(&mut self.packed);
            return Ok(());
        };
        let (read, start) = (inflate.total_in(), self.ready.len());
        self.ready.resize(start + WINDOW, 0);
        let written = inflate.total_out();
        let status = inflate.decompress(&self.packed, &mut self.ready[start..], FlushDecompress::None);
        let made = usize::try_from(inflate.total_out() - written).unwrap_or(0);
        let used = usize::try_from(inflate.total_in() - read).unwrap_or(0);
        self.ready.truncate(start + made);
        self.packed.drain(..used);
        match status {
            Ok(Status::StreamEnd) if made == 0 => Err(self.damaged("its compressed part ends too early")),
            Ok(_) if made == 0 && used == 0 && !self.packed.is_empty() => Err(self.damaged("it can't be decompressed")),
            Ok(_) => Ok(()),
            Err(_) => Err(self.damaged("it can't be decompressed")),
        }
    }

    /// Exactly so many bytes.
    pub(super) async fn exactly(&mut self, file: &impl ReadAt, length: usize) -> Result<Vec<u8>, LogError> {
        if length as u64 > self.left() {
            return Err(self.damaged("it ends within an entry"));
        }
        let mut out = Vec::new();
        while out.len() < length {
            out.extend(self.some(file, (length - out.len()) as u64).await?);
        }
        Ok(out)
    }

    /// At least one byte and at most so many.
    pub(super) async fn some(&mut self, file: &impl ReadAt, most: u64) -> Result<Vec<u8>, LogError> {
        if self.taken == self.ready.len() {
            self.refill(file).await?;
        }
        let there = &self.ready[self.taken..];
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(there.len());
        let out = there[..length].to_vec();
        self.taken += length;
        Ok(out)
    }

    /// One byte.
    pub(super) async fn byte(&mut self, file: &impl ReadAt) -> Result<u8, LogError> {
        let byte = self.some(file, 1).await?;
        byte.first().copied().ok_or(self.damaged("it ends within an entry"))
    }

    /// A number as TFile writes it: small ones in the first byte, else its first byte tells how many follow.
    pub(super) async fn number(&mut self, file: &impl ReadAt) -> Result<i64, LogError> {
        let first = i64::from(self.byte(file).await?.cast_signed());
        let (offset, rest) = match first {
            -32.. => return Ok(first),
            -72..-32 => (52, 1),
            -104..-72 => (88, 2),
            -120..-104 => (112, 3),
            _ => (0, usize::try_from(first + 129).unwrap_or(0)),
        };
        let bytes = self.exactly(file, rest).await?;
        let mut value =
            if offset > 0 { first + offset } else { bytes.first().map_or(0, |b| i64::from(b.cast_signed())) };
        for byte in &bytes[usize::from(offset == 0).min(bytes.len())..] {
            value = value << 8 | i64::from(*byte);
        }
        Ok(value)
    }

    /// A number that counts something, at most `most`.
    pub(super) async fn count(&mut self, file: &impl ReadAt, most: u64) -> Result<u64, LogError> {
        let number = self.number(file).await?;
        let count = u64::try_from(number).ok().filter(|count| *count <= most);
        count.ok_or(self.damaged("a number makes no sense"))
    }
}
