//! How fast archives are written and read, beside a bare write and a bare read of the same bytes in the same run.
//!
//! `cargo bench -p dybox-store`; the size in MiB may follow as an argument (256 when none does).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dybox_model::{AttemptId, Millis};
use dybox_store::Store;
use dybox_store::archive::{ArchiveWriter, LogItem, Stream};
use dybox_store::logs::{LineItem, Lines, RunLogs, Select};

type Failed = Box<dyn std::error::Error>;

const CHUNK: usize = 1 << 20;

fn main() -> Result<(), Failed> {
    let size = std::env::args().filter_map(|arg| arg.parse::<usize>().ok()).next().unwrap_or(256) << 20;
    let dir = tempfile::tempdir()?;
    let text: Bytes =
        b"2026-11-21T07:42:00Z the quick brown fox jumps over the lazy dog\n".repeat(CHUNK / 65 + 1).into();
    let text = text.slice(..CHUNK);
    let mut out = std::io::stdout().lock();
    let bare_write = best(|| write_bare(&dir.path().join("bare"), &text, size))?;
    let bare_read = best(|| read_bare(&dir.path().join("bare")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = Store::open_dir(dir.path());
    let written = best(|| runtime.block_on(write(&store, &text, size)))?;
    let pieces = best(|| runtime.block_on(read(&store)))?;
    let cut = best(|| runtime.block_on(lines(&store)))?;
    let head = best(|| runtime.block_on(first(&store, None)))?;
    let tail = best(|| runtime.block_on(first(&store, Some(100))))?;
    let rate = |time: Duration| size as f64 / 1e6 / time.as_secs_f64();
    for (what, time, bare) in [("write", written, bare_write), ("read", pieces, bare_read), ("lines", cut, bare_read)] {
        let ratio = bare.as_secs_f64() / time.as_secs_f64();
        writeln!(out, "{what:6} {:7.0} MB/s, bare {:7.0} MB/s: x {ratio:.2}", rate(time), rate(bare))?;
    }
    writeln!(out, "first line {:.1} ms, tail 100 {:.1} ms", ms(head), ms(tail))?;
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The best of five: the machine's other work only ever adds.
fn best(mut work: impl FnMut() -> Result<(), Failed>) -> Result<Duration, Failed> {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

fn write_bare(path: &Path, text: &[u8], size: usize) -> Result<(), Failed> {
    let mut file = File::create(path)?;
    for _ in 0..size / CHUNK {
        file.write_all(text)?;
    }
    Ok(())
}

/// What `cat` does.
fn read_bare(path: &Path) -> Result<(), Failed> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 128 << 10]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

async fn write(store: &Store, text: &Bytes, size: usize) -> Result<(), Failed> {
    store.remove("logs/g0-1-1.log").await?;
    let attempt: AttemptId = "s0-0-1".parse()?;
    let mut writer = ArchiveWriter::open(store, "logs/g0-1-1.log").await?;
    for n in 0..size / CHUNK {
        writer.append_bytes(attempt, Stream::Stdout, Millis(n as u64), text.clone()).await?;
    }
    Ok(writer.close().await?)
}

async fn read(store: &Store) -> Result<(), Failed> {
    let mut logs = RunLogs::open(store, "logs", Select::default()).await?;
    while let Some(item) = logs.next().await? {
        assert!(matches!(item, LogItem::Chunk { .. }));
    }
    Ok(())
}

async fn lines(store: &Store) -> Result<(), Failed> {
    let mut logs = RunLogs::open(store, "logs", Select::default()).await?;
    let (mut lines, mut out) = (Lines::new(), VecDeque::new());
    while let Some(item) = logs.next().await? {
        lines.push(item, &mut out);
        out.clear();
    }
    Ok(())
}

/// Opens the logs and gets the first line of them or of their tail.
async fn first(store: &Store, tail: Option<usize>) -> Result<(), Failed> {
    let mut logs = RunLogs::open(store, "logs", Select::default()).await?;
    if let Some(tail) = tail {
        logs.tail(tail).await?;
    }
    let (mut lines, mut out) = (Lines::new(), VecDeque::new());
    if let Some(item) = logs.next().await? {
        lines.push(item, &mut out);
    }
    assert!(matches!(out.front(), Some(LineItem::Line(_))));
    Ok(())
}
