//! The other format, IFile: log files one after the other, and an index at the end, as Java serializes it.

use super::java::{self, Value};
use super::stream::{Packing, Region, Stream};
use super::{Entry, LogError, ReadAt};

/// A hash of the application's id stands at the beginning and after each index.
const MARK: usize = 32;
const LENGTH: usize = 4;
const LARGEST_INDEX: u64 = 64 << 20;

/// Whether the file ends with the mark that it begins with.
pub(super) async fn is_one(file: &impl ReadAt) -> Result<bool, LogError> {
    let length = file.len();
    if length < (2 * MARK + LENGTH) as u64 {
        return Ok(false);
    }
    Ok(file.read_at(0, MARK).await? == file.read_at(length - MARK as u64, MARK).await?)
}

#[derive(Debug)]
pub(super) struct IFile<R> {
    file: R,
    packing: Packing,
    /// Still to be read, the next one last.
    entries: Vec<(Entry, Region)>,
    present: Option<Stream>,
}

fn damaged(at: u64, what: &'static str) -> LogError {
    LogError::Damaged { at, what }
}

async fn read_index(file: &impl ReadAt) -> Result<(u64, Vec<u8>), LogError> {
    let end = file.len() - (MARK + LENGTH) as u64;
    let length = file.read_at(end, LENGTH).await?;
    let length = length.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let at = end.checked_sub(length).filter(|at| *at >= MARK as u64 && length <= LARGEST_INDEX);
    let at = at.ok_or(damaged(end, "its index lies outside of the file"))?;
    let length = usize::try_from(length).map_err(|_| damaged(end, "its index is too large"))?;
    Ok((at, file.read_at(at, length).await?))
}

impl<R: ReadAt> IFile<R> {
    pub(super) async fn open(file: R) -> Result<Self, LogError> {
        let (at, bytes) = read_index(&file).await?;
        let graph = java::read(&bytes).map_err(|wrong| damaged(at + wrong.at as u64, wrong.what))?;
        let no_index = || damaged(at, "its index does not look like one");
        let root = graph.root().ok_or_else(no_index)?;
        let packing = graph.text(graph.field(root, "compressName")).ok_or_else(no_index)?;
        let mut entries = Vec::new();
        for round in graph.elements(graph.field(root, "logMetas")) {
            for list in graph.map_values(graph.field(round, "logMetas")) {
                for meta in graph.elements(Some(list)) {
                    entries.push(entry(&graph, meta, at).ok_or_else(no_index)?);
                }
            }
        }
        entries.sort_by_key(|(_, region)| std::cmp::Reverse(region.offset));
        Ok(Self { file, packing: Packing::from_name(packing)?, entries, present: None })
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, LogError> {
        let Some((entry, region)) = self.entries.pop() else { return Ok(None) };
        self.present = Some(Stream::new(region, self.packing));
        Ok(Some(entry))
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        match &mut self.present {
            Some(stream) if stream.left() > 0 => stream.some(&self.file, u64::MAX).await.map(Some),
            _ => Ok(None),
        }
    }
}

fn entry(graph: &java::Graph, meta: &Value, end: u64) -> Option<(Entry, Region)> {
    let text = |name| graph.text(graph.field(meta, name)).map(str::to_owned);
    let number = |name| graph.number(graph.field(meta, name)).and_then(|number| u64::try_from(number).ok());
    let region =
        Region { offset: number("startIndex")?, stored: number("fileCompressedSize")?, raw: number("fileSize")? };
    let entry = Entry { container: text("containerId")?, name: text("fileName")?, length: region.raw };
    region.lies_in(end).then_some((entry, region))
}
