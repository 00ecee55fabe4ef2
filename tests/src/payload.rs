//! What the payloads themselves wrote: the truth about what ran, when, and how often.

use std::path::Path;

/// One line that a payload appended: `start|beat|end STAGE INDEX ATTEMPT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `start`, `beat` or `end`.
    pub what: String,
    /// The stage's name.
    pub stage: String,
    /// The task's index.
    pub index: u32,
    /// The attempt's number.
    pub attempt: u32,
}

/// Every line in `file`, in the order in which they were appended. No file = nothing ran.
#[must_use]
pub fn lines_of(file: &Path) -> Vec<Line> {
    std::fs::read_to_string(file).unwrap_or_default().lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    Some(Line {
        what: words.next()?.to_owned(),
        stage: words.next()?.to_owned(),
        index: words.next()?.parse().ok()?,
        attempt: words.next()?.parse().ok()?,
    })
}

/// Lines of attempts that wrote after a later attempt of the same task had started: two of them lived at once.
#[must_use]
pub fn overlaps(lines: &[Line]) -> Vec<&Line> {
    let mut newest = std::collections::BTreeMap::<(&str, u32), u32>::new();
    let mut late = Vec::new();
    for line in lines {
        let newest = newest.entry((&line.stage, line.index)).or_default();
        if line.attempt < *newest {
            late.push(line);
        }
        *newest = line.attempt.max(*newest);
    }
    late
}
