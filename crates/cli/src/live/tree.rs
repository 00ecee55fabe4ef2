//! A run as lines of a terminal. Pure: the same picture, time and size give the same lines.

use dybox_model::{Millis, StageEnd, format_bytes, format_duration};
use unicode_width::UnicodeWidthStr;

use super::line::Line;
use super::picture::{Counts, Picture, Pull, StageRow};
use crate::report::{NARROW, Paint};

/// Longest column of names.
const NAMES: usize = 32;

/// How much of the terminal there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

/// Draws the whole tree; never more lines than the height less one, never wider than the width.
pub(crate) fn tree(picture: &Picture, now: Millis, size: Size) -> Vec<Line> {
    let tail: Vec<Line> = tail(picture).into_iter().rev().take(size.height / 3).rev().collect();
    let room = size.height.saturating_sub(2 + tail.len()).max(1);
    let branches = fold(picture, now, (size.width, room));
    let last = branches.len().saturating_sub(1);
    let branches = branches.into_iter().enumerate().map(|(i, branch)| {
        let stem = if i == last { "└─ " } else { "├─ " };
        Line::default().paint(Paint::Dim, stem).join(branch)
    });
    std::iter::once(head(picture, now, size.width))
        .chain(branches)
        .chain(tail)
        .map(|line| line.fit(size.width))
        .collect()
}

fn head(picture: &Picture, now: Millis, width: usize) -> Line {
    let run = if width < NARROW.into() { short(&picture.run) } else { &picture.run };
    let line = Line::default().paint(Paint::Bold, &picture.job).text(" ").paint(Paint::Dim, run).text("  ");
    let line = match (&picture.end, &picture.word) {
        (Some(end), _) => line.paint(colour(*end), end.word()),
        (None, Some(word)) => line.paint(Paint::Warn, word),
        (None, None) => line.paint(Paint::Busy, "running"),
    };
    let ended = picture.stages.iter().filter(|stage| stage.end.is_some()).count();
    let all = picture.stages.len();
    let done: u32 = picture.stages.iter().map(|stage| stage.tasks.done).sum();
    let tasks: u32 = picture.stages.iter().map(|stage| stage.tasks.all).sum();
    let elapsed = picture.since.map(|since| format!("  {}", format_duration(now.since(since)))).unwrap_or_default();
    line.text(format!("{elapsed}  stages {ended}/{all}, tasks {done}/{tasks}"))
}

/// The end of a run's id, by which every command finds it.
fn short(run: &str) -> &str {
    run.len().checked_sub(8).and_then(|from| run.get(from..)).unwrap_or(run)
}

/// As many stages as there is room for: what has ended is folded first, then what waits, then what runs.
fn fold(picture: &Picture, now: Millis, (width, room): (usize, usize)) -> Vec<Line> {
    let names = picture.stages.iter().map(|stage| stage.name.width()).max().unwrap_or(0).min(NAMES);
    let good = |stage: &&StageRow| matches!(stage.end, Some(StageEnd::Succeeded | StageEnd::Skipped));
    let waits = |stage: &&StageRow| stage.end.is_none() && stage.from.is_none();
    let mut shown: Vec<&StageRow> = picture.stages.iter().collect();
    let mut folded = Vec::new();
    if shown.len() > room {
        let ended = shown.iter().filter(|stage| good(stage)).count();
        shown.retain(|stage| !good(stage));
        if ended > 0 {
            folded.push(Line::default().paint(Paint::Good, "✓ ").text(format!("{} ended well", stages(ended))));
        }
    }
    if shown.len() + folded.len() > room {
        let later = shown.iter().filter(|stage| waits(stage)).count();
        shown.retain(|stage| !waits(stage));
        if later > 0 {
            folded.push(Line::default().paint(Paint::Dim, format!("○ {} not started yet", stages(later))));
        }
    }
    if shown.len() + folded.len() > room {
        // Failures stay in sight; of the rest the earliest.
        shown.sort_by_key(|stage| stage.end.is_none());
        let keep = room.saturating_sub(folded.len() + 1);
        let more = shown.split_off(keep.min(shown.len())).len();
        folded.push(Line::default().paint(Paint::Busy, format!("● {} more", stages(more))));
        folded.truncate(room.saturating_sub(shown.len()).max(1));
    }
    let wide = width >= NARROW.into();
    shown.into_iter().map(|stage| branch(stage, (names, wide), now)).chain(folded).collect()
}

fn stages(count: usize) -> String {
    if count == 1 { "1 stage".to_owned() } else { format!("{count} stages") }
}

fn branch(stage: &StageRow, (names, wide): (usize, bool), now: Millis) -> Line {
    let (paint, glyph) = match stage.end {
        Some(StageEnd::Succeeded) => (Paint::Good, "✓"),
        Some(StageEnd::Failed | StageEnd::Lost) => (Paint::Bad, "✗"),
        Some(StageEnd::Skipped | StageEnd::Stopped) => (Paint::Dim, "⊘"),
        None if stage.from.is_some() => (Paint::Busy, "●"),
        None => (Paint::Dim, "○"),
    };
    let pad = names.saturating_sub(stage.name.width());
    let line = Line::default().paint(paint, glyph).text(" ").text(&stage.name).text(" ".repeat(pad + 2));
    let took = stage.from.map(|from| format_duration(stage.to.unwrap_or(now).since(from)));
    let line = line.text(format!("{:>7}", took.unwrap_or_default()));
    let line = match stage.end {
        Some(end) => line.text("  ").paint(paint, end.word()).text(ended(&stage.tasks)),
        None => line.text("  ").text(counts(&stage.tasks)),
    };
    let line = match stage.memory.filter(|_| wide && stage.end.is_none()) {
        Some(memory) => line.text("  ").join(memory_words(memory, stage.tasks.running)),
        None => line,
    };
    if stage.why.is_empty() { line } else { line.text("  ").paint(Paint::Dim, &stage.why) }
}

/// `24MiB of 64MiB`: of several tasks the one that is nearest to its limit.
fn memory_words((used, limit): (u64, u64), running: u32) -> Line {
    let near = used.saturating_mul(10) >= limit.saturating_mul(9);
    let lead = if running > 1 { "up to " } else { "" };
    let words = format!("{lead}{} of {}", format_bytes(used), format_bytes(limit));
    Line::default().paint(if near { Paint::Warn } else { Paint::Dim }, words)
}

fn ended(tasks: &Counts) -> String {
    if tasks.all > 1 { format!(" {}/{}", tasks.done, tasks.all) } else { String::new() }
}

/// `2 running, 1 starting, 4 waiting, 3 done, 1 failed`: only what is not zero.
pub(crate) fn counts(tasks: &Counts) -> String {
    let words = [
        (tasks.running, "running"),
        (tasks.starting, "starting"),
        (tasks.waiting(), "waiting"),
        (tasks.done, "done"),
        (tasks.failed, "failed"),
        (tasks.stopped, "stopped"),
    ];
    let words = words.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    words.collect::<Vec<_>>().join(", ")
}

fn tail(picture: &Picture) -> Vec<Line> {
    let pulls = picture.pulls.iter().map(|pull| {
        Line::default()
            .paint(Paint::Busy, "↓ ")
            .text(if pull.image.contains(":/") || pull.image.starts_with("run:") { "copying " } else { "pulling " })
            .text(&pull.image)
            .text("  ")
            .text(progress(pull))
    });
    let warnings = picture.warnings.iter().map(|text| Line::default().paint(Paint::Warn, "! ").text(text));
    pulls.chain(warnings).collect()
}

/// `12MiB of 40MiB`.
pub(crate) fn progress(pull: &Pull) -> String {
    match (pull.have, pull.total) {
        (0, 0) => String::new(),
        (have, 0) => format_bytes(have),
        (have, total) => format!("{} of {}", format_bytes(have), format_bytes(total)),
    }
}

const fn colour(end: StageEnd) -> Paint {
    match end {
        StageEnd::Succeeded => Paint::Good,
        StageEnd::Failed | StageEnd::Lost => Paint::Bad,
        StageEnd::Skipped | StageEnd::Stopped => Paint::Warn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, from: u64, tasks: Counts) -> StageRow {
        let from = (from > 0).then_some(Millis(from));
        StageRow { name: name.to_owned(), from, tasks, ..StageRow::default() }
    }

    fn ended(name: &str, end: StageEnd) -> StageRow {
        let done = u32::from(end == StageEnd::Succeeded);
        let tasks = Counts { all: 1, done, failed: 1 - done, ..Counts::default() };
        StageRow { to: Some(Millis(2000)), end: Some(end), ..row(name, 1100, tasks) }
    }

    fn waiting(name: &str) -> StageRow {
        row(name, 0, Counts { all: 1, ..Counts::default() })
    }

    fn text(picture: &Picture, width: usize, height: usize) -> String {
        let lines = tree(picture, Millis(13_500), Size { width, height });
        lines.iter().map(|line| line.plain() + "\n").collect()
    }

    fn picture() -> Picture {
        Picture {
            job: "nightly".to_owned(),
            run: "01jd0000000000000000000000".to_owned(),
            since: Some(Millis(1000)),
            stages: vec![
                ended("extract-a", StageEnd::Succeeded),
                row("extract-b", 1200, Counts { all: 6, running: 2, starting: 1, done: 1, ..Counts::default() }),
                StageRow { why: "needs extract-b".to_owned(), ..waiting("join") },
            ],
            pulls: vec![Pull { image: "ubuntu:22.04".to_owned(), have: 12 << 20, total: 40 << 20 }],
            ..Picture::default()
        }
    }

    #[test]
    fn a_run_is_a_tree_of_its_stages() {
        insta::assert_snapshot!(text(&picture(), 100, 24), @"
        nightly 01jd0000000000000000000000  running  12.5s  stages 1/3, tasks 2/8
        ├─ ✓ extract-a     0.9s  succeeded
        ├─ ● extract-b    12.3s  2 running, 1 starting, 2 waiting, 1 done
        └─ ○ join                1 waiting  needs extract-b
        ↓ pulling ubuntu:22.04  12MiB of 40MiB
        ");
    }

    #[test]
    fn what_tasks_use_is_shown_where_there_is_room() {
        let uses = |used, running| StageRow {
            memory: Some((used, 64 << 20)),
            ..row("a", 1200, Counts { all: 3, running, ..Counts::default() })
        };
        let stages =
            vec![uses(24 << 20, 1), uses(63 << 20, 2), StageRow { end: Some(StageEnd::Succeeded), ..uses(9 << 20, 0) }];
        let picture = Picture { stages, pulls: Vec::new(), ..picture() };
        insta::assert_snapshot!(text(&picture, 80, 24), @"
        nightly 01jd0000000000000000000000  running  12.5s  stages 1/3, tasks 0/9
        ├─ ● a    12.3s  1 running, 2 waiting  24MiB of 64MiB
        ├─ ● a    12.3s  2 running, 1 waiting  up to 63MiB of 64MiB
        └─ ✓ a    12.3s  succeeded 0/3
        ");
        assert!(!text(&picture, 71, 24).contains("MiB"));
    }

    #[test]
    fn a_narrow_terminal_cuts_and_does_not_wrap() {
        insta::assert_snapshot!(text(&picture(), 30, 24), @"
        nightly 00000000  running  12…
        ├─ ✓ extract-a     0.9s  succ…
        ├─ ● extract-b    12.3s  2 ru…
        └─ ○ join                1 wa…
        ↓ pulling ubuntu:22.04  12MiB…
        ");
    }

    #[test]
    fn what_has_ended_is_folded_first_and_failures_stay_in_sight() {
        let mut picture = Picture { pulls: Vec::new(), ..picture() };
        picture.stages.extend((0..5).map(|i| ended(&format!("ok-{i}"), StageEnd::Succeeded)));
        picture.stages.push(ended("bad", StageEnd::Failed));
        picture.stages.extend((0..9).map(|i| waiting(&format!("later-{i}"))));
        insta::assert_snapshot!(text(&picture, 80, 7), @"
        nightly 01jd0000000000000000000000  running  12.5s  stages 7/18, tasks 7/23
        ├─ ● extract-b    12.3s  2 running, 1 starting, 2 waiting, 1 done
        ├─ ✗ bad           0.9s  failed
        ├─ ✓ 6 stages ended well
        └─ ○ 10 stages not started yet
        ");
    }

    #[test]
    fn before_anything_is_known_no_time_is_shown() {
        let picture = Picture { since: None, stages: vec![waiting("a")], pulls: Vec::new(), ..picture() };
        insta::assert_snapshot!(text(&picture, 60, 24), @"
        nightly 00000000  running  stages 0/1, tasks 0/1
        └─ ○ a           1 waiting
        ");
    }

    #[test]
    fn it_never_takes_more_than_the_terminal() {
        let mut picture = picture();
        picture
            .stages
            .extend((0..50).map(|i| row(&format!("r{i}"), 1200, Counts { all: 1, running: 1, ..Counts::default() })));
        picture.stages.extend((0..50).map(|i| ended(&format!("f{i}"), StageEnd::Failed)));
        picture.warnings = (0..20).map(|i| format!("warning {i}")).collect();
        for height in 4..120 {
            let lines = tree(&picture, Millis(9), Size { width: 80, height });
            assert!(lines.len() < height, "{height}: {}", lines.len());
        }
    }
}
