use std::path::PathBuf;

use dybox_model::{AttemptId, Millis};
use proptest::prelude::*;

use super::frame::HEAD;
use super::*;
use crate::Store;

const NAME: &str = "logs/g0-1-1.log";

struct Home {
    dir: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        Self { dir, store }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    async fn writer(&self) -> ArchiveWriter {
        ArchiveWriter::open(&self.store, NAME).await.unwrap()
    }

    async fn items(&self) -> Vec<LogItem> {
        let mut reader = ArchiveReader::open(&self.store, NAME).await.unwrap();
        let mut items = Vec::new();
        while let Some(item) = reader.piece(items.len()).await.unwrap() {
            items.push(item);
        }
        items
    }

    /// What can be read of one output.
    async fn text(&self, of: AttemptId, stream: Stream) -> Vec<u8> {
        let mut text = Vec::new();
        for item in self.items().await {
            if let LogItem::Chunk { source, pos, bytes, .. } = item
                && source == (Source { attempt: of, stream })
            {
                assert!(pos >= text.len() as u64);
                text.extend_from_slice(&bytes);
            }
        }
        text
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn attempt(index: u32) -> AttemptId {
    format!("s0-{index}-1").parse().unwrap()
}

async fn write_three(home: &Home) -> ArchiveWriter {
    let mut writer = home.writer().await;
    writer.append(attempt(0), Stream::Stdout, Millis(10), b"one\ntwo\n").await.unwrap();
    writer.append(attempt(1), Stream::Stderr, Millis(20), b"oops\n").await.unwrap();
    writer.append(attempt(0), Stream::Stdout, Millis(30), b"three").await.unwrap();
    writer
}

#[test]
fn what_was_written_is_read_live_after_the_end_and_after_a_crash() {
    run(async {
        let home = Home::new();
        let writer = write_three(&home).await;
        let live = home.items().await;
        assert_eq!(live.len(), 3);
        writer.close().await.unwrap();
        let reader = ArchiveReader::open(&home.store, NAME).await.unwrap();
        assert!(reader.closed());
        assert_eq!(home.items().await, live);
        let sums: Vec<_> = reader.summaries().iter().map(|sum| (sum.bytes, sum.lines, sum.first, sum.last)).collect();
        assert_eq!(sums, [(13, 2, Millis(10), Millis(30)), (5, 1, Millis(20), Millis(20))]);
    });
}

#[test]
fn writing_goes_on_where_it_stopped_whether_it_was_closed_or_not() {
    run(async {
        let home = Home::new();
        drop(write_three(&home).await);
        for round in 0..3u8 {
            let mut writer = home.writer().await;
            let so_far = writer.shipped(attempt(0), Stream::Stdout);
            assert_eq!(so_far, 13 + u64::from(round));
            writer.append(attempt(0), Stream::Stdout, Millis(40), &[b'0' + round]).await.unwrap();
            if round == 1 {
                drop(writer);
            } else {
                writer.close_synced().await.unwrap();
            }
        }
        assert_eq!(home.text(attempt(0), Stream::Stdout).await, b"one\ntwo\nthree012");
        let size = std::fs::metadata(home.file()).unwrap().len();
        home.writer().await.close().await.unwrap();
        assert_eq!(std::fs::metadata(home.file()).unwrap().len(), size, "a second index says nothing new");
    });
}

#[test]
fn what_was_dropped_is_seen_in_its_place_and_counts_as_shipped() {
    run(async {
        let home = Home::new();
        let mut writer = write_three(&home).await;
        writer.gap(attempt(0), Stream::Stdout, 1000, "the log directory was full").await.unwrap();
        writer.append(attempt(0), Stream::Stdout, Millis(50), b"end\n").await.unwrap();
        drop(writer);
        assert_eq!(home.writer().await.shipped(attempt(0), Stream::Stdout), 13 + 1000 + 4);
        let items = home.items().await;
        assert!(matches!(&items[3], LogItem::Gap(gap) if gap.bytes == 1000 && gap.why.contains("full")));
        assert!(matches!(&items[4], LogItem::Chunk { pos: 1013, .. }));
    });
}

#[test]
fn output_of_many_megabytes_is_split_and_comes_back_byte_for_byte() {
    run(async {
        let home = Home::new();
        let mut writer = home.writer().await;
        let bytes: Vec<u8> = (0..(3 << 20) + 17).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        writer.append_bytes(attempt(0), Stream::Stdout, Millis(1), bytes.clone().into()).await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(home.items().await.len(), 4);
        assert!(home.text(attempt(0), Stream::Stdout).await == bytes);
    });
}

#[test]
fn a_long_archive_has_several_indexes_and_all_its_frames() {
    run(async {
        let home = Home::new();
        let mut writer = home.writer().await;
        for i in 0..16_400u32 {
            writer.append(attempt(i % 7), Stream::Stdout, Millis(u64::from(i)), &i.to_le_bytes()).await.unwrap();
        }
        writer.close().await.unwrap();
        let reader = ArchiveReader::open(&home.store, NAME).await.unwrap();
        assert!(reader.closed());
        assert_eq!(reader.pieces(), 16_400);
        let sum: u64 = reader.summaries().iter().map(|sum| sum.bytes).sum();
        assert_eq!(sum, 16_400 * 4);
        assert_eq!(home.writer().await.shipped(attempt(0), Stream::Stdout), 16_400u64.div_ceil(7) * 4);
    });
}

#[test]
fn every_cut_loses_the_torn_frame_alone_and_writing_goes_on() {
    run(async {
        let home = Home::new();
        write_three(&home).await.close().await.unwrap();
        let whole = std::fs::read(home.file()).unwrap();
        let all = home.items().await;
        let ends = [0, HEAD + 8, 2 * HEAD + 13, 3 * HEAD + 18];
        for cut in 0..whole.len() {
            std::fs::write(home.file(), &whole[..cut]).unwrap();
            let frames = ends[1..].iter().filter(|&&end| end <= cut).count();
            assert_eq!(home.items().await, all[..frames], "cut at {cut}");
            let mut writer = home.writer().await;
            assert_eq!(writer.recovered().kept, ends[frames] as u64);
            assert_eq!(writer.recovered().torn, (cut - ends[frames]) as u64);
            writer.append(attempt(9), Stream::Stdout, Millis(99), b"more").await.unwrap();
            writer.close().await.unwrap();
            assert_eq!(home.text(attempt(9), Stream::Stdout).await, b"more", "cut at {cut}");
        }
    });
}

#[test]
fn every_flipped_byte_costs_at_most_its_frame_and_is_seen() {
    run(async {
        let home = Home::new();
        for closed in [true, false] {
            let _ = std::fs::remove_file(home.file());
            let writer = write_three(&home).await;
            if closed {
                writer.close().await.unwrap();
            } else {
                drop(writer);
            }
            let whole = std::fs::read(home.file()).unwrap();
            let all = home.items().await;
            let ends = [HEAD + 8, 2 * HEAD + 13, 3 * HEAD + 18];
            for place in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[place] ^= 0x20;
                std::fs::write(home.file(), &bytes).unwrap();
                let items = home.items().await;
                let hit = ends.iter().position(|&end| place < end);
                for (n, item) in all.iter().enumerate().filter(|(n, _)| Some(*n) != hit) {
                    assert!(items.contains(item), "frame {n} lost by a flip at {place}, closed {closed}");
                }
                let Some(hit) = hit else { continue };
                let gap = items.iter().any(|item| matches!(item, LogItem::Gap(gap) if gap.bytes > 0));
                // An unsound last head without anything behind it can't be told from a torn one.
                let torn = ArchiveReader::open(&home.store, NAME).await.unwrap().torn();
                assert!(gap || (hit == 2 && torn > 0), "a flip at {place} is not seen, closed {closed}");
                assert!(!items.contains(&all[hit]));
            }
        }
    });
}

#[test]
fn output_that_looks_like_an_archive_is_output() {
    run(async {
        let home = Home::new();
        drop(write_three(&home).await);
        let inner = std::fs::read(home.file()).unwrap();
        let mut writer = home.writer().await;
        writer.append(attempt(5), Stream::Stdout, Millis(60), &inner).await.unwrap();
        writer.append(attempt(6), Stream::Stdout, Millis(70), b"after").await.unwrap();
        drop(writer);
        // Its own head destroyed: what is in it must not come to light as frames.
        let mut bytes = std::fs::read(home.file()).unwrap();
        bytes[inner.len() + 9] ^= 1;
        std::fs::write(home.file(), &bytes).unwrap();
        let items = home.items().await;
        assert_eq!(items.len(), 5);
        assert!(matches!(&items[3], LogItem::Gap(gap) if gap.offset == inner.len() as u64 && gap.source.is_none()));
        assert!(matches!(&items[4], LogItem::Chunk { bytes, .. } if bytes.as_ref() == b"after"));
    });
}

#[test]
fn a_reader_sees_what_comes_after_it_opened() {
    run(async {
        let home = Home::new();
        let mut writer = write_three(&home).await;
        let mut reader = ArchiveReader::open(&home.store, NAME).await.unwrap();
        assert!(!reader.refresh().await.unwrap());
        writer.append(attempt(2), Stream::Stdout, Millis(40), b"new").await.unwrap();
        assert!(reader.refresh().await.unwrap());
        assert_eq!(reader.pieces(), 4);
        writer.close().await.unwrap();
        assert!(!reader.refresh().await.unwrap(), "an index is no news");
        assert!(reader.closed());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_output_comes_back(
        pieces in prop::collection::vec((0..4u32, any::<bool>(), prop::collection::vec(any::<u8>(), 1..300)), 0..20),
        reopen in 0..20usize,
    ) {
        run(async {
            let home = Home::new();
            let mut writer = home.writer().await;
            let mut wanted = std::collections::BTreeMap::<_, Vec<u8>>::new();
            for (n, (index, err, bytes)) in pieces.iter().enumerate() {
                let stream = if *err { Stream::Stderr } else { Stream::Stdout };
                if n == reopen {
                    writer.close().await.unwrap();
                    writer = home.writer().await;
                }
                writer.append(attempt(*index), stream, Millis(n as u64), bytes).await.unwrap();
                wanted.entry((*index, stream)).or_default().extend_from_slice(bytes);
            }
            writer.close().await.unwrap();
            for ((index, stream), bytes) in wanted {
                assert_eq!(home.text(attempt(index), stream).await, bytes);
            }
        });
    }
}
