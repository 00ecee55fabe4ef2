use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use dybox_store::archive::{ArchiveReader, LogItem};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn attempt() -> AttemptId {
    "s0-0-1".parse().unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    shipper: Shipper,
    inbox: UnboundedReceiver<Arrived>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        let (tell, inbox) = unbounded_channel();
        let route =
            Route { store: store.clone(), archive: "logs/g.log".to_owned(), clock: Clock::start(), inbox: tell };
        let shipper = Shipper::start(route).unwrap();
        Self { dir, store, shipper, inbox }
    }

    fn files(&self) -> Files {
        let files = Files::under(&self.dir.path().join("s0-0-1"));
        files.make().unwrap();
        files
    }

    async fn drained(&mut self) -> Option<String> {
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            match tokio::time::timeout_at(end, self.inbox.recv()).await.expect("drained in time") {
                Some(Arrived::Event(Event::Drained { problem, .. })) => return problem,
                Some(_) => {}
                None => panic!("the thread is gone"),
            }
        }
    }

    /// What the archive holds of one output, and the bytes that it says are missing.
    async fn read(&self, wanted: Stream) -> (Vec<u8>, u64) {
        let mut reader = ArchiveReader::open(&self.store, "logs/g.log").await.unwrap();
        let (mut all, mut missing) = (Vec::new(), 0);
        for n in 0..reader.pieces() {
            let Some(item) = reader.piece(n).await.unwrap() else { continue };
            match item {
                LogItem::Chunk { source, bytes, .. } if source.stream == wanted => all.extend_from_slice(&bytes),
                LogItem::Gap(gap) if gap.source.is_some_and(|source| source.stream == wanted) => missing += gap.bytes,
                _ => {}
            }
        }
        (all, missing)
    }
}

#[tokio::test]
async fn output_is_in_the_archive_while_the_payload_runs_and_whole_at_its_end() {
    let mut bench = Bench::new();
    let files = bench.files();
    bench.shipper.open(attempt(), &files);
    let mut out = OpenOptions::new().append(true).open(&files.stdout).unwrap();
    out.write_all(b"first\n").unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while !bench.dir.path().join("logs/g.log").exists() || bench.read(Stream::Stdout).await.0 != b"first\n" {
        assert!(Instant::now() < end, "not shipped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let large = vec![b'x'; 3 * 1024 * 1024 + 17];
    out.write_all(&large).unwrap();
    std::fs::write(&files.stderr, b"\x1b[31mno newline \xff").unwrap();
    bench.shipper.finish(attempt(), 5);
    assert_eq!(bench.drained().await, None);
    bench.shipper.close().await.unwrap();
    let (all, missing) = bench.read(Stream::Stdout).await;
    assert_eq!((all.len(), missing), (6 + large.len(), 5));
    assert_eq!(bench.read(Stream::Stderr).await.0, b"\x1b[31mno newline \xff");
}

#[tokio::test]
async fn an_attempt_that_wrote_nothing_makes_no_archive() {
    let mut bench = Bench::new();
    let files = bench.files();
    bench.shipper.open(attempt(), &files);
    bench.shipper.finish(attempt(), 0);
    assert_eq!(bench.drained().await, None);
    bench.shipper.close().await.unwrap();
    assert!(!bench.dir.path().join("logs").exists());
}

#[tokio::test]
async fn what_is_beyond_the_cap_is_counted_not_kept() {
    let bench = Bench::new();
    let files = bench.files();
    std::fs::write(&files.stdout, vec![b'x'; 300]).unwrap();
    let mut archive = ArchiveWriter::open(&bench.store, "logs/g.log").await.unwrap();
    let mut tail = Tail::open(Stream::Stdout, &files.stdout).unwrap().with_cap(100);
    while tail.waiting().unwrap() > 0 {
        tail.ship(&mut archive, attempt(), dybox_model::Millis(1)).await.unwrap();
    }
    assert_eq!((archive.shipped(attempt(), Stream::Stdout), tail.dropped()), (100, 200));
}

#[tokio::test]
async fn a_large_output_does_not_lie_on_the_disk_twice() {
    let mut bench = Bench::new();
    let files = bench.files();
    bench.shipper.open(attempt(), &files);
    std::fs::write(&files.stdout, vec![b'x'; 130 << 20]).unwrap();
    bench.shipper.finish(attempt(), 0);
    assert_eq!(bench.drained().await, None);
    let on_disk = std::fs::metadata(&files.stdout).unwrap().blocks() * 512;
    assert!(on_disk < 70 << 20, "{on_disk} bytes are left");
}

#[tokio::test]
async fn shipping_goes_on_where_an_older_proxy_died() {
    let mut bench = Bench::new();
    let files = bench.files();
    std::fs::write(&files.stdout, b"one two three").unwrap();
    let mut archive = ArchiveWriter::open(&bench.store, "logs/g.log").await.unwrap();
    archive.append(attempt(), Stream::Stdout, dybox_model::Millis(1), b"one ").await.unwrap();
    drop(archive);
    bench.shipper.open(attempt(), &files);
    bench.shipper.finish(attempt(), 0);
    assert_eq!(bench.drained().await, None);
    assert_eq!(bench.read(Stream::Stdout).await.0, b"one two three");
}
