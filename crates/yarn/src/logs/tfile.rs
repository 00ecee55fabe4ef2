//! The usual format, TFile: blocks of records, each a container with its log files one after the other.

use super::stream::{Packing, Region, Stream};
use super::{Entry, LogError, ReadAt};

const MAGIC: [u8; 16] =
    [0xd1, 0x11, 0xd3, 0x68, 0x91, 0xb5, 0xd7, 0xb6, 0x39, 0xdf, 0x41, 0x40, 0x92, 0xba, 0xe1, 0x50];
/// Offset of the meta index, version, magic.
const TAIL: usize = 8 + 4 + 16;
/// The index of a file of a terabyte has some megabytes.
const LARGEST_INDEX: u64 = 64 << 20;
const LONGEST_TEXT: u64 = 64 << 10;
const INDEX: &str = "data:BCFile.index";

/// Whether the file begins and ends like a TFile.
pub(super) async fn is_one(file: &impl ReadAt) -> Result<bool, LogError> {
    if file.len() < (MAGIC.len() + TAIL) as u64 {
        return Ok(false);
    }
    Ok(file.read_at(0, MAGIC.len()).await? == MAGIC)
}

#[derive(Debug)]
pub(super) struct TFile<R> {
    file: R,
    packing: Packing,
    /// Still to be read, the next one last.
    blocks: Vec<Region>,
    block: Option<Stream>,
    container: String,
    /// Of the present value: bytes of the present chunk, and whether others follow.
    chunk_left: u64,
    more_chunks: bool,
    /// Of the present log file.
    file_left: u64,
}

async fn text(file: &impl ReadAt, from: &mut Stream) -> Result<String, LogError> {
    let length = from.count(file, LONGEST_TEXT).await?;
    let bytes = from.exactly(file, usize::try_from(length).unwrap_or(0)).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn region(file: &impl ReadAt, from: &mut Stream) -> Result<Region, LogError> {
    let offset = from.count(file, u64::MAX).await?;
    let stored = from.count(file, u64::MAX).await?;
    let raw = from.count(file, u64::MAX).await?;
    let region = Region { offset, stored, raw };
    if region.lies_in(file.len()) { Ok(region) } else { Err(from.damaged("a block lies outside of the file")) }
}

/// Where the index of blocks lies, and how it is compressed.
async fn find_index(file: &impl ReadAt) -> Result<(Region, Packing), LogError> {
    let tail_at = file.len() - TAIL as u64;
    let tail = file.read_at(tail_at, TAIL).await?;
    let damaged = |what| LogError::Damaged { at: tail_at, what };
    if tail.len() != TAIL || tail[12..] != MAGIC {
        return Err(damaged("its end mark is missing"));
    }
    let offset = tail[..8].iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let length = tail_at.checked_sub(offset).filter(|length| *length <= LARGEST_INDEX);
    let stored = length.ok_or(damaged("its index lies outside of the file"))?;
    let mut metas = Stream::new(Region { offset, stored, raw: stored }, Packing::Plain);
    let most = stored;
    for _ in 0..metas.count(file, most).await? {
        let name = text(file, &mut metas).await?;
        let packing = text(file, &mut metas).await?;
        let region = region(file, &mut metas).await?;
        if name == INDEX {
            return Ok((region, Packing::from_name(&packing)?));
        }
    }
    Err(damaged("it has no index of blocks"))
}

impl<R: ReadAt> TFile<R> {
    pub(super) async fn open(file: R) -> Result<Self, LogError> {
        let (place, packing) = find_index(&file).await?;
        let mut index = Stream::new(place, packing);
        if place.raw > LARGEST_INDEX {
            return Err(index.damaged("its index is too large"));
        }
        let packing = Packing::from_name(&text(&file, &mut index).await?)?;
        let mut blocks = Vec::new();
        let most = place.raw;
        for _ in 0..index.count(&file, most).await? {
            blocks.push(region(&file, &mut index).await?);
        }
        blocks.reverse();
        Ok(Self {
            file,
            packing,
            blocks,
            block: None,
            container: String::new(),
            chunk_left: 0,
            more_chunks: false,
            file_left: 0,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Entry>, LogError> {
        while self.file_left > 0 {
            self.chunk().await?;
        }
        loop {
            if self.has_value().await? {
                return self.log_file().await.map(Some);
            }
            if !self.next_record().await? {
                return Ok(None);
            }
        }
    }

    /// The head of a container's next log file.
    async fn log_file(&mut self) -> Result<Entry, LogError> {
        let name = self.value_text().await?;
        let length = self.value_text().await?;
        let Ok(length) = length.parse::<u64>() else { return Err(self.damaged("a length is no number")) };
        self.file_left = length;
        Ok(Entry { container: self.container.clone(), name, length })
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        if self.file_left == 0 {
            return Ok(None);
        }
        let bytes = self.value_some(self.file_left).await?;
        self.file_left -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    fn damaged(&self, what: &'static str) -> LogError {
        LogError::Damaged { at: self.block.as_ref().map_or(0, Stream::at), what }
    }

    /// Goes to the next record that holds log files. The present one is read to its end.
    async fn next_record(&mut self) -> Result<bool, LogError> {
        loop {
            if self.block.as_ref().is_none_or(|block| block.left() == 0) {
                let Some(region) = self.blocks.pop() else { return Ok(false) };
                self.block = Some(Stream::new(region, self.packing));
                continue;
            }
            let key = self.key().await?;
            self.more_chunks = true;
            if key.starts_with("container_") {
                self.container = key;
                return Ok(true);
            }
            while self.has_value().await? {
                self.value_some(u64::MAX).await?;
            }
        }
    }

    /// Java's `writeUTF` within the key's own length.
    async fn key(&mut self) -> Result<String, LogError> {
        let Some(block) = &mut self.block else { return Err(self.damaged("there is no block")) };
        let length = block.count(&self.file, LONGEST_TEXT).await?;
        let bytes = block.exactly(&self.file, usize::try_from(length).unwrap_or(0)).await?;
        let text = bytes.get(2..).ok_or(block.damaged("a key is too short"))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Whether the present value has more bytes; reads the heads of chunks on the way.
    async fn has_value(&mut self) -> Result<bool, LogError> {
        while self.chunk_left == 0 && self.more_chunks {
            let Some(block) = &mut self.block else { return Ok(false) };
            let length = block.number(&self.file).await?;
            // A negative length announces others.
            self.more_chunks = length < 0;
            self.chunk_left = length.unsigned_abs();
            if self.chunk_left > block.left() {
                return Err(block.damaged("a chunk is longer than its block"));
            }
        }
        Ok(self.chunk_left > 0)
    }

    async fn value_some(&mut self, most: u64) -> Result<Vec<u8>, LogError> {
        if !self.has_value().await? {
            return Err(self.damaged("a log file is shorter than it says"));
        }
        let Some(block) = &mut self.block else { return Err(self.damaged("there is no block")) };
        let bytes = block.some(&self.file, most.min(self.chunk_left)).await?;
        self.chunk_left -= bytes.len() as u64;
        Ok(bytes)
    }

    async fn value_exactly(&mut self, length: usize) -> Result<Vec<u8>, LogError> {
        let mut out = Vec::new();
        while out.len() < length {
            out.extend(self.value_some((length - out.len()) as u64).await?);
        }
        Ok(out)
    }

    /// Java's `writeUTF`.
    async fn value_text(&mut self) -> Result<String, LogError> {
        let length = self.value_exactly(2).await?;
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        Ok(String::from_utf8_lossy(&self.value_exactly(length).await?).into_owned())
    }
}
