//! What the payloads themselves wrote: the truth about what ran, when, and how often.

use std::path::Path;

/// One line that a payload appended: `start|end STAGE INDEX ATTEMPT NANOSECONDS`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Nanoseconds since the epoch, of the machine that all containers share.
    pub at: u128,
    /// `start` or `end`.
    pub what: String,
    /// The stage's name.
    pub stage: String,
    /// The task's index.
    pub index: u32,
    /// The attempt's number.
    pub attempt: u32,
}

/// Every line in `file`, in order of time. No file = nothing ran.
#[must_use]
pub fn lines_of(file: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().filter_map(parse).collect();
    lines.sort();
    lines
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    Some(Line {
        what: words.next()?.to_owned(),
        stage: words.next()?.to_owned(),
        index: words.next()?.parse().ok()?,
        attempt: words.next()?.parse().ok()?,
        at: words.next()?.parse().ok()?,
    })
}

/// Tasks of which two attempts were seen alive at once.
#[must_use]
pub fn overlaps(lines: &[Line]) -> Vec<(String, u32)> {
    let mut live = std::collections::BTreeMap::<(String, u32), u32>::new();
    let mut found = Vec::new();
    for line in lines {
        let task = (line.stage.clone(), line.index);
        let count = live.entry(task.clone()).or_default();
        match line.what.as_str() {
            "start" => *count += 1,
            "beat" | "end" if *count > 1 => found.push(task),
            _ => {}
        }
        if line.what == "end" {
            live.insert((line.stage.clone(), line.index), 0);
        }
    }
    found
}
