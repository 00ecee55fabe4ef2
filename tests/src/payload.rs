//! What the payloads themselves wrote: the truth about what ran, when, and how often.

use std::path::Path;

/// A job whose images, sizes and places are known when its stages begin, one of each task; each task says what it has.
pub const LATE: &str = concat!(
    "stages:\n",
    "  list: { script: 'echo ''[{\"n\": \"a\", \"image\": \"busybox\", \"mb\": 70, \"cpus\": 0.1}, {\"n\": \"b\", \"image\": \"busybox\", \"mb\": 90, \"cpus\": 0.3}]'' > $DYBOX_RESULT' }\n",
    "  work:\n    needs: [list]\n    each: \"${results.list}\"\n    image: \"dybox-test/${item.image}:1\"\n",
    "    memory: \"${item.mb}MiB\"\n    cpus: \"${item.cpus}\"\n    outputs: { /out/x: \"run:got/${item.n}\" }\n",
    "    script: 'echo \"has $DYBOX_MEMORY_BYTES $DYBOX_CPUS\"; echo \"of ${item.n}\" > /out/x'\n",
    "  read: { needs: [work], inputs: { /in/got: \"run:got\", /in/b: \"run:got/${results.list[1].n}\" }, script: \"ls /in/got; cat /in/b\" }\n",
);

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
