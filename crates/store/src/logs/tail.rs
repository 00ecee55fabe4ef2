//! The last lines of a run's output, found from the end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cursor::Place;
use super::lines::{LineItem, Lines};
use super::run_logs::RunLogs;
use crate::StoreError;
use crate::archive::{FrameKind, Source};

impl RunLogs {
    /// Goes to where the last `lines` lines of what is there begin; [`RunLogs::next`] gives them and what comes.
    ///
    /// Reads only the frames that hold them (found backwards by their line counts), twice, so that memory does not grow
    /// with the length of lines.
    pub async fn tail(&mut self, lines: usize) -> Result<(), StoreError> {
        let mut known = BTreeMap::new();
        for cursor in &self.archives {
            for frame in cursor.place.frames().iter().filter(|frame| frame.kind == FrameKind::Data) {
                if let Some(source) = cursor.place.source(frame) {
                    let end: &mut u64 = known.entry(source).or_default();
                    *end = (*end).max(frame.pos + u64::from(frame.len));
                }
            }
        }
        let starts = self.walk_back(lines);
        self.go_to(&starts);
        let last = self.last_lines(lines).await?;
        // What has no line among the last ones is shown from its present end on.
        self.from = known;
        self.from.extend(last);
        self.go_to(&starts);
        Ok(())
    }

    fn go_to(&mut self, starts: &[usize]) {
        for (cursor, &start) in self.archives.iter_mut().zip(starts) {
            cursor.next = start;
        }
        self.requeue();
    }

    /// For each archive the frame from which on there are enough newlines.
    fn walk_back(&self, lines: usize) -> Vec<usize> {
        let mut starts: Vec<usize> = self.archives.iter().map(|cursor| cursor.place.frames().len()).collect();
        let mut newest: std::collections::BinaryHeap<_> = Default::default();
        for archive in 0..starts.len() {
            newest.extend(self.step_back(archive, &mut starts));
        }
        let (mut newlines, mut sources) = (0, BTreeSet::new());
        // The last line of each source may lack its newline.
        while newlines < lines + sources.len() || sources.is_empty() {
            let Some((_, Reverse(archive))) = newest.pop() else { break };
            let place = &self.archives[archive].place;
            let frame = &place.frames()[starts[archive]];
            newlines += frame.lines as usize;
            sources.extend(place.source(frame));
            newest.extend(self.step_back(archive, &mut starts));
        }
        // Frames that were queued but not taken lie before the start.
        for (_, Reverse(archive)) in newest {
            starts[archive] += 1;
        }
        for (cursor, start) in self.archives.iter().zip(&mut starts) {
            *start = to_line_starts(&cursor.place, *start);
        }
        starts
    }

    /// Moves an archive's start to the wanted frame before it.
    fn step_back(&self, archive: usize, starts: &mut [usize]) -> Option<(dybox_model::Millis, Reverse<usize>)> {
        let place = &self.archives[archive].place;
        let frames = &place.frames()[..starts[archive]];
        let wanted = frames.iter().rposition(|frame| self.wants(place, frame))?;
        starts[archive] = wanted;
        Some((frames[wanted].at, Reverse(archive)))
    }

    /// Reads on to the end and says where the last lines of each source start.
    async fn last_lines(&mut self, lines: usize) -> Result<BTreeMap<Source, u64>, StoreError> {
        self.from.clear();
        let (mut cut, mut found, mut last) = (Lines::new(), VecDeque::new(), VecDeque::new());
        let (mut seen, mut inside) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let item = self.next().await?;
            let over = item.is_none();
            match item {
                Some(item) => cut.push(item, &mut found),
                None => cut.flush(&mut found),
            }
            for line in found.drain(..) {
                let LineItem::Line(line) = line else { continue };
                // A source that starts in its middle starts with half a line; parts of a long line are one line.
                let half = seen.insert(line.source) && line.pos > 0;
                let goes_on = inside.remove(&line.source);
                if line.end == super::LineEnd::Cut {
                    inside.insert(line.source);
                }
                if !half && !goes_on {
                    last.push_back((line.source, line.pos));
                }
                if last.len() > lines {
                    last.pop_front();
                }
            }
            if over {
                break;
            }
        }
        let mut starts = BTreeMap::new();
        for (source, pos) in last {
            starts.entry(source).or_insert(pos);
        }
        Ok(starts)
    }
}

/// The last frame at or before `start` from which on every source that comes after `start` has a whole line.
fn to_line_starts(place: &Place, start: usize) -> usize {
    let frames = place.frames();
    let (mut seen, mut half) = (BTreeSet::new(), BTreeSet::new());
    for frame in &frames[start..] {
        if seen.insert(frame.source) && frame.pos > 0 {
            half.insert(frame.source);
        }
    }
    let mut first = start;
    for (at, frame) in frames[..start].iter().enumerate().rev() {
        if half.is_empty() {
            break;
        }
        // The line begins behind a newline, or where the output does.
        if (frame.lines > 0 || frame.pos == 0) && half.remove(&frame.source) {
            first = at;
        }
    }
    first
}
