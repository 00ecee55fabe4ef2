use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use dybox_model::{AttemptId, GrantId, Millis, StageId, SubDagId};
use proptest::prelude::*;

use super::*;
use crate::Store;
use crate::archive::{ArchiveWriter, Gap, LogItem, Source, Stream};
use crate::layout::{GrantDir, RunDir};

const DIR: &str = "runs/r/logs";

struct Home {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open_dir(dir.path()), _dir: dir }
    }

    async fn writer(&self, grant: u32) -> ArchiveWriter {
        ArchiveWriter::open(&self.store, &format!("{DIR}/g0-1-{grant}.log")).await.unwrap()
    }

    async fn logs(&self, select: Select) -> RunLogs {
        RunLogs::open(&self.store, DIR, select).await.unwrap()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn id(text: &str) -> AttemptId {
    text.parse().unwrap()
}

async fn lines_of(logs: &mut RunLogs) -> Vec<String> {
    let (mut lines, mut out) = (Lines::new(), VecDeque::new());
    while let Some(item) = logs.next().await.unwrap() {
        lines.push(item, &mut out);
    }
    lines.flush(&mut out);
    let show = |line| match line {
        LineItem::Line(line) => String::from_utf8_lossy(&line.text).into_owned(),
        LineItem::Gap(gap) => format!("[{}]", gap.why),
    };
    out.into_iter().map(show).collect()
}

#[test]
fn archives_are_merged_by_time_and_selected() {
    run(async {
        let home = Home::new();
        let (mut a, mut b) = (home.writer(1).await, home.writer(2).await);
        a.append(id("s0-0-1"), Stream::Stdout, Millis(1), b"a1\n").await.unwrap();
        b.append(id("s1-0-1"), Stream::Stdout, Millis(2), b"b2\n").await.unwrap();
        a.append(id("s0-0-1"), Stream::Stderr, Millis(3), b"a3\n").await.unwrap();
        b.append(id("s1-4-2"), Stream::Stdout, Millis(4), b"b4\n").await.unwrap();
        a.close().await.unwrap();
        let all = lines_of(&mut home.logs(Select::default()).await).await;
        assert_eq!(all, ["a1", "b2", "a3", "b4"]);
        let stage = Select { stage: Some(StageId(1)), ..Select::default() };
        assert_eq!(lines_of(&mut home.logs(stage).await).await, ["b2", "b4"]);
        let attempt = Select { task: Some(4), attempt: Some(2), ..Select::default() };
        assert_eq!(lines_of(&mut home.logs(attempt).await).await, ["b4"]);
        let errors = Select { stream: Some(Stream::Stderr), ..Select::default() };
        assert_eq!(lines_of(&mut home.logs(errors).await).await, ["a3"]);
        let late = Select { since: Some(Millis(3)), ..Select::default() };
        let mut late = home.logs(late).await;
        assert_eq!(lines_of(&mut late).await, ["a3", "b4"]);
        assert_eq!(late.summaries().len(), 4);
        let early = Select { until: Some(Millis(3)), ..Select::default() };
        let mut early = home.logs(early).await;
        assert!(!lines_of(&mut early).await.iter().any(|line| line == "a3" || line == "b4"));
    });
}

#[test]
fn following_sees_growth_and_new_archives() {
    run(async {
        let home = Home::new();
        let mut logs = home.logs(Select::default()).await;
        assert_eq!(logs.next_within(Duration::ZERO).await.unwrap(), None);
        let mut a = home.writer(1).await;
        for text in ["one", "two"] {
            a.append(id("s0-0-1"), Stream::Stdout, Millis(1), text.as_bytes()).await.unwrap();
            let item = logs.next_within(Duration::from_secs(5)).await.unwrap();
            assert!(matches!(item, Some(LogItem::Chunk { bytes, .. }) if bytes == text.as_bytes()));
        }
        a.close().await.unwrap();
        let mut b = home.writer(2).await;
        b.append(id("s0-1-1"), Stream::Stdout, Millis(2), b"three").await.unwrap();
        let item = logs.next_within(Duration::from_secs(5)).await.unwrap();
        assert!(matches!(item, Some(LogItem::Chunk { bytes, .. }) if bytes == "three"));
        assert_eq!(logs.next_within(Duration::from_millis(1)).await.unwrap(), None);
    });
}

#[test]
fn the_tail_is_the_last_lines_over_all_archives_and_then_what_comes() {
    run(async {
        let home = Home::new();
        let mut a = home.writer(1).await;
        for n in 0..500u64 {
            let text = format!("line {n} begins, ");
            a.append(id("s0-0-1"), Stream::Stdout, Millis(2 * n), text.as_bytes()).await.unwrap();
            a.append(id("s0-0-1"), Stream::Stdout, Millis(2 * n + 1), b"and ends\n").await.unwrap();
        }
        let mut b = home.writer(2).await;
        b.append(id("s0-1-1"), Stream::Stdout, Millis(5), b"old\n").await.unwrap();
        b.append(id("s0-1-1"), Stream::Stdout, Millis(2000), b"new\nopen").await.unwrap();
        for (lines, wanted) in [(0, vec![]), (1, vec!["open"]), (3, vec!["line 499 begins, and ends", "new", "open"])] {
            let mut logs = home.logs(Select::default()).await;
            logs.tail(lines).await.unwrap();
            assert_eq!(lines_of(&mut logs).await, wanted, "tail {lines}");
        }
        let mut logs = home.logs(Select::default()).await;
        logs.tail(100_000).await.unwrap();
        assert_eq!(lines_of(&mut logs).await.len(), 503);
        let mut logs = home.logs(Select::default()).await;
        logs.tail(0).await.unwrap();
        b.append(id("s0-1-1"), Stream::Stdout, Millis(3000), b"ed\n").await.unwrap();
        let item = logs.next_within(Duration::from_secs(5)).await.unwrap();
        assert!(matches!(item, Some(LogItem::Chunk { bytes, .. }) if bytes == "ed\n"));
    });
}

#[test]
fn more_archives_than_open_files_are_read() {
    run(async {
        let home = Home::new();
        for grant in 0..100u32 {
            let mut writer = home.writer(grant).await;
            for n in 0..3u64 {
                let at = Millis(n * 1000 + u64::from(grant));
                writer.append(id("s0-0-1"), Stream::Stdout, at, format!("{n}\n").as_bytes()).await.unwrap();
            }
        }
        let lines = lines_of(&mut home.logs(Select::default()).await).await;
        assert_eq!(lines.len(), 300);
        assert!(lines.is_sorted());
    });
}

#[test]
fn what_is_read_ahead_is_what_is_there() {
    run(async {
        let home = Home::new();
        let (mut a, mut b) = (home.writer(1).await, home.writer(2).await);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for n in 0..60u64 {
            // Frames far below and far above what is read at once, in two archives by turns.
            let len = if n % 7 < 3 { 100 } else { (n as usize * 37_000) % (3 << 20) };
            let text: Vec<u8> = (0..len).map(|at| (at as u64 * 31 + n) as u8).collect();
            let (archive, all, id) = if n % 2 == 0 { (&mut a, &mut first, 0) } else { (&mut b, &mut second, 1) };
            all.extend_from_slice(&text);
            archive.append(source(id).attempt, Stream::Stdout, Millis(n), &text).await.unwrap();
        }
        for keep in [false, true] {
            let mut logs = home.logs(Select::default()).await;
            let (mut kept, mut back) = (Vec::new(), [Vec::new(), Vec::new()]);
            while let Some(item) = logs.next().await.unwrap() {
                let LogItem::Chunk { source, bytes, .. } = item else { panic!("nothing is missing") };
                back[source.attempt.task.index as usize].extend_from_slice(&bytes);
                // Who keeps a piece keeps it as it is, whatever is read after it.
                if keep {
                    kept.push((source, bytes));
                }
            }
            assert!(back == [first.clone(), second.clone()], "kept: {keep}");
            let of_first = kept.iter().filter(|(of, _)| *of == source(0)).flat_map(|(_, bytes)| bytes.to_vec());
            assert!(!keep || of_first.collect::<Vec<_>>() == first);
        }
    });
}

/// A grant whose proxy died behind its first `shipped` bytes of `text`.
async fn orphan(home: &Home, run: &RunDir, (text, shipped): (&str, usize)) -> (GrantDir, ArchiveWriter) {
    let grant = GrantId::compose(SubDagId(0), 1, 1);
    let mut archive = ArchiveWriter::open(&home.store, &run.archive(grant)).await.unwrap();
    archive.append(id("s0-0-1"), Stream::Stdout, Millis(1), &text.as_bytes()[..shipped]).await.unwrap();
    let dir = run.grant(grant);
    home.store.put(&dir.owner(), "").await.unwrap();
    home.store.put(&dir.stdout(id("s0-0-1")), text.to_owned()).await.unwrap();
    (dir, archive)
}

#[test]
fn what_a_dead_proxy_did_not_ship_is_read_once_before_and_after_a_sweep() {
    run(async {
        let home = Home::new();
        let run = RunDir::new(&"01jd0000000000000000000001".parse().unwrap());
        let (grant, mut archive) = orphan(&home, &run, ("one\ntwo\nthree\n", 6)).await;
        let open = async || RunLogs::open(&home.store, &run.logs(), Select::default()).await.unwrap();
        let mut follows = open().await;
        assert_eq!(lines_of(&mut open().await).await, ["one", "two", "three"]);
        let mut last = open().await;
        last.tail(2).await.unwrap();
        assert_eq!(lines_of(&mut last).await, ["two", "three"]);
        let stderr = Select { stream: Some(Stream::Stderr), ..Select::default() };
        let mut stderr = RunLogs::open(&home.store, &run.logs(), stderr).await.unwrap();
        assert!(lines_of(&mut stderr).await.is_empty());
        // Its payload lives on a while and writes; a reader that follows sees it.
        assert_eq!(lines_of(&mut follows).await, ["one", "two", "three"]);
        home.store.append(&grant.stdout(id("s0-0-1"))).await.unwrap().write(b"four\n").await.unwrap();
        let item = follows.next_within(Duration::from_secs(5)).await.unwrap();
        assert!(matches!(item, Some(LogItem::Chunk { pos: 14, bytes, .. }) if bytes == "four\n"));
        // One reader has looked and not read when a sweep comes.
        let mut late = open().await;
        archive.append(id("s0-0-1"), Stream::Stdout, Millis(9), b"o\nthree\nfour\nfive\n").await.unwrap();
        archive.close().await.unwrap();
        home.store.remove(&grant.stdout(id("s0-0-1"))).await.unwrap();
        for archive in &mut late.archives {
            archive.place.rest();
        }
        assert_eq!(lines_of(&mut late).await, ["one", "two", "three", "four", "five"]);
        let item = follows.next_within(Duration::from_secs(5)).await.unwrap();
        assert!(matches!(item, Some(LogItem::Chunk { pos: 19, bytes, .. }) if bytes == "five\n"));
        assert_eq!(follows.next_within(Duration::ZERO).await.unwrap(), None);
        assert_eq!(lines_of(&mut open().await).await, ["one", "two", "three", "four", "five"]);
    });
}

#[test]
fn the_files_of_a_proxy_that_lives_are_left_to_it() {
    run(async {
        let home = Home::new();
        let run = RunDir::new(&"01jd0000000000000000000001".parse().unwrap());
        let (grant, _archive) = orphan(&home, &run, ("one\ntwo\n", 4)).await;
        let path = home._dir.path().join(grant.owner());
        let lock = crate::Lock::try_take(&path).unwrap().unwrap();
        let mut logs = RunLogs::open(&home.store, &run.logs(), Select::default()).await.unwrap();
        assert_eq!(lines_of(&mut logs).await, ["one"]);
        drop(lock);
        let item = logs.next_within(Duration::from_secs(5)).await.unwrap();
        assert!(matches!(item, Some(LogItem::Chunk { bytes, .. }) if bytes == "two\n"), "its proxy died meanwhile");
    });
}

#[test]
fn a_hole_in_an_orphaned_file_is_a_gap() {
    run(async {
        let home = Home::new();
        let run = RunDir::new(&"01jd0000000000000000000001".parse().unwrap());
        let (grant, _archive) = orphan(&home, &run, (&format!("{:4095}\n", "one"), 4096)).await;
        let path = home._dir.path().join(grant.stdout(id("s0-0-1")));
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end\n", 4 << 20).unwrap();
        let mut logs = RunLogs::open(&home.store, &run.logs(), Select::default()).await.unwrap();
        assert_eq!(lines_of(&mut logs).await[1..], ["[there was more than is kept]", "end"]);
    });
}

fn source(index: u32) -> Source {
    Source { attempt: id(&format!("s0-{index}-1")), stream: Stream::Stdout }
}

fn chunk(index: u32, pos: u64, bytes: &[u8]) -> LogItem {
    LogItem::Chunk { source: source(index), at: Millis(pos), pos, bytes: Bytes::copy_from_slice(bytes) }
}

#[test]
fn a_gap_ends_a_line_and_is_seen() {
    let (mut lines, mut out) = (Lines::new(), VecDeque::new());
    lines.push(chunk(0, 0, b"begun"), &mut out);
    assert!(lines.has_open());
    let gap = Gap { source: Some(source(0)), at: Millis(1), bytes: 9, why: "full".to_owned(), offset: 0 };
    lines.push(LogItem::Gap(gap.clone()), &mut out);
    lines.push(chunk(0, 14, b"rest\n"), &mut out);
    let ends: Vec<_> = out
        .iter()
        .map(|item| match item {
            LineItem::Line(line) => Some((line.text.as_ref(), line.end)),
            LineItem::Gap(_) => None,
        })
        .collect();
    assert_eq!(ends, [Some((&b"begun"[..], LineEnd::Open)), None, Some((&b"rest"[..], LineEnd::Newline))]);
}

#[test]
fn a_line_of_ten_megabytes_is_one_line_and_an_endless_one_comes_in_parts() {
    let (mut lines, mut out) = (Lines::new(), VecDeque::new());
    let part = vec![b'x'; 1 << 20];
    for n in 0..10 {
        lines.push(chunk(0, n << 20, &part), &mut out);
    }
    lines.push(chunk(0, 10 << 20, b"\n"), &mut out);
    assert!(matches!(out.front(), Some(LineItem::Line(line)) if line.text.len() == 10 << 20));
    out.clear();
    for n in 0..40 {
        lines.push(chunk(1, n << 20, &part), &mut out);
    }
    lines.flush(&mut out);
    let cuts: Vec<_> =
        out.iter().map(|item| matches!(item, LineItem::Line(line) if line.end == LineEnd::Cut)).collect();
    assert_eq!(cuts, [true, true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_do_not_depend_on_where_pieces_are_cut(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let (mut lines, mut out) = (Lines::new(), VecDeque::new());
        for pair in cuts.windows(2) {
            lines.push(chunk(0, pair[0] as u64, &text[pair[0]..pair[1]]), &mut out);
        }
        lines.flush(&mut out);
        let mut back = Vec::new();
        for item in out {
            let LineItem::Line(line) = item else { panic!("no gap was pushed") };
            prop_assert_eq!(line.pos, back.len() as u64);
            prop_assert!(!line.text.contains(&b'\n'));
            back.extend_from_slice(&line.text);
            if line.end == LineEnd::Newline {
                back.push(b'\n');
            }
        }
        prop_assert_eq!(back, text);
    }

    #[test]
    fn blocks_hold_the_lines_that_come_one_by_one(
        pieces in prop::collection::vec((0..3u32, "[a\n]{0,12}", 0..8u64), 0..20),
    ) {
        let (mut ones, mut many) = (Lines::new(), Lines::new());
        let (mut out, mut blocks) = (VecDeque::new(), VecDeque::new());
        let mut next = [0; 3];
        for (index, text, gap) in pieces {
            let place = &mut next[index as usize];
            // Now and then something is missing.
            *place += u64::from(gap == 0);
            let item = chunk(index, *place, text.as_bytes());
            *place += text.len() as u64;
            ones.push(item.clone(), &mut out);
            many.push_blocks(item, &mut blocks);
        }
        ones.flush(&mut out);
        many.flush_blocks(&mut blocks);
        let one_by_one: VecDeque<_> = blocks
            .into_iter()
            .flat_map(|item| match item {
                BlockItem::Block(block) => block.lines().map(LineItem::Line).collect(),
                BlockItem::Line(line) => vec![LineItem::Line(line)],
                BlockItem::Gap(gap) => vec![LineItem::Gap(gap)],
            })
            .collect();
        prop_assert_eq!(one_by_one, out);
    }
}
