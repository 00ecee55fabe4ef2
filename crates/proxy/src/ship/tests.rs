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
        Self::with(Caps::default())
    }

    fn with(caps: Caps) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        let (tell, inbox) = unbounded_channel();
        let archive = "logs/g.log".to_owned();
        let route = Route { store: store.clone(), copy: None, archive, clock: Clock::start(), inbox: tell, caps };
        let shipper = Shipper::start(route).unwrap();
        Self { dir, store, shipper, inbox }
    }

    fn files(&self) -> Files {
        let files = Files::under(&self.dir.path().join("s0-0-1"));
        files.make(None).unwrap();
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

const SMALL: Caps = Caps { head: 64 << 10, tail: 16 << 10 };

/// Numbered lines of 16 bytes.
fn numbered(lines: std::ops::Range<u32>) -> Vec<u8> {
    lines.flat_map(|n| format!("{n:015}\n").into_bytes()).collect()
}

#[tokio::test]
async fn of_too_much_output_head_and_tail_are_kept_and_the_gap_is_told() {
    let mut bench = Bench::with(SMALL);
    let files = bench.files();
    bench.shipper.open(attempt(), &files);
    let mut out = OpenOptions::new().append(true).open(&files.stdout).unwrap();
    for part in 0..20 {
        out.write_all(&numbered(part * 10_000..(part + 1) * 10_000)).unwrap();
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let on_disk = std::fs::metadata(&files.stdout).unwrap().blocks() * 512;
    assert!(on_disk <= 400 << 10, "{on_disk} bytes lie on the disk while it runs");
    bench.shipper.finish(attempt(), 0);
    assert_eq!(bench.drained().await, None);
    bench.shipper.close().await.unwrap();
    let (all, missing) = bench.read(Stream::Stdout).await;
    assert_eq!(all.len() as u64 + missing, 20 * 160_000);
    assert!(all.starts_with(&numbered(0..4096)) && all.ends_with(&numbered(200_000 - 1024..200_000)));
    assert!(all.len() < 90 << 10, "{}", all.len());
}

#[tokio::test]
async fn a_sweep_ships_the_tail_of_what_its_proxy_had_capped() {
    let bench = Bench::with(SMALL);
    let files = bench.files();
    bench.shipper.open(attempt(), &files);
    std::fs::write(&files.stdout, numbered(0..10_000)).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while std::fs::metadata(&files.stdout).unwrap().blocks() * 512 > 60 << 10 {
        assert!(Instant::now() < end, "no hole was made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.shipper.close().await.unwrap();
    let mut archive = ArchiveWriter::open(&bench.store, "logs/g.log").await.unwrap();
    let mut tail = Tail::open(Stream::Stdout, &files.stdout, SMALL).unwrap();
    tail.ship_all(&mut archive, attempt(), dybox_model::Millis(1)).await.unwrap();
    archive.close().await.unwrap();
    let (all, missing) = bench.read(Stream::Stdout).await;
    assert_eq!(all.len() as u64 + missing, 160_000);
    assert!(all.starts_with(&numbered(0..4096)) && all.ends_with(&numbered(9_000..10_000)));
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_is_told_and_tried_again() {
    let mut bench = Bench::new();
    let files = bench.files();
    // A directory in the archive's place: appending to it fails at once, and for root, too.
    std::fs::create_dir_all(bench.dir.path().join("logs/g.log")).unwrap();
    bench.shipper.open(attempt(), &files);
    std::fs::write(&files.stdout, b"one\n").unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), bench.inbox.recv()).await.unwrap();
    assert!(matches!(told, Some(Arrived::Note(Note::Warns { cause: Some(Cause::StoreFailed), .. }))));
    std::fs::remove_dir(bench.dir.path().join("logs/g.log")).unwrap();
    bench.shipper.finish(attempt(), 0);
    assert_eq!(bench.drained().await, None, "it was mended in time");
    assert_eq!(bench.read(Stream::Stdout).await.0, b"one\n");
}

#[test]
fn a_full_disk_has_less_patience_and_is_named() {
    let of = |kind, ago| {
        let since = Instant::now().checked_sub(Duration::from_secs(ago)).unwrap();
        Failing::of(kind, "can't append".to_owned(), (since, false))
    };
    let full = of(Kind::Full, 11);
    assert!(full.lasts() && full.text.contains("full"));
    assert!(!of(Kind::Other, 11).lasts() && of(Kind::Other, 31).lasts());
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
    // Who looks at the file and not at the archive sees how it began, that there was more, and how it ended.
    let left = std::fs::read(&files.stdout).unwrap();
    let hole = left.iter().position(|&byte| byte == 0).unwrap();
    let begin = String::from_utf8_lossy(&left[..hole]);
    assert!(hole > 8 << 20 && begin.starts_with("xxx") && begin.contains("`dybox logs` has all of it"));
    assert!(left.ends_with(&[b'x'; 1 << 20]));
}

#[tokio::test]
async fn on_a_full_disk_what_is_shipped_makes_room_for_the_rest() {
    let bench = Bench::new();
    let files = bench.files();
    std::fs::write(&files.stdout, numbered(0..100_000)).unwrap();
    let mut archive = ArchiveWriter::open(&bench.store, "logs/g.log").await.unwrap();
    let mut tail = Tail::open(Stream::Stdout, &files.stdout, Caps::default()).unwrap();
    tail.spare();
    let on_disk = || std::fs::metadata(&files.stdout).unwrap().blocks() * 512;
    let mut before = on_disk();
    while tail.ship(&mut archive, (attempt(), dybox_model::Millis(1)), true).await.unwrap() {
        assert!(on_disk() < before, "a frame that was shipped lies on the disk");
        before = on_disk();
    }
    assert_eq!(archive.shipped(attempt(), Stream::Stdout), 1_600_000);
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
