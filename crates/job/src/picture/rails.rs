//! Which lines run beside the stages of a text picture, as `git log --graph` draws them: one rail for each stage
//! that something below still waits for.

use super::Picture;

/// One row of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What is drawn.
    pub(super) rails: String,
    /// Where the mark of a dot stands, as a character of `rails`, and the dot; nothing for a row of lines alone.
    pub(super) dot: Option<(usize, usize)>,
}

/// The mark of a stage, to be painted in the colour of its state.
pub(super) const STAGE: char = '●';
/// The mark of a hook.
pub(super) const HOOK: char = '◆';

struct Rails<'a> {
    picture: &'a Picture,
    /// What each column's rail comes from.
    columns: Vec<Option<usize>>,
    /// How many dots that need each dot are still to come.
    open: Vec<usize>,
    rows: Vec<Row>,
}

/// Draws the dots in this order; nothing where more than `most` rails would run side by side.
pub(super) fn rows(picture: &Picture, order: &[usize], most: usize) -> Option<Vec<Row>> {
    let open = picture.down().iter().map(Vec::len).collect();
    let mut rails = Rails { picture, columns: Vec::new(), open, rows: Vec::new() };
    for &at in order {
        rails.add(at);
        if rails.columns.len() > most {
            return None;
        }
    }
    Some(rails.rows)
}

impl Rails<'_> {
    fn add(&mut self, at: usize) {
        let sources: Vec<usize> = self.picture.dots[at]
            .needs
            .iter()
            .filter_map(|&(need, _)| self.columns.iter().position(|rail| *rail == Some(need)))
            .collect();
        let ends = |column: usize| self.columns[column].is_some_and(|from| self.open[from] == 1);
        let target = match sources.iter().copied().filter(|&column| ends(column)).min() {
            Some(column) => column,
            None => {
                let first = sources.iter().copied().max().map_or(0, |column| column + 1);
                let free = (first..self.columns.len()).find(|&column| self.columns[column].is_none());
                free.unwrap_or_else(|| {
                    self.columns.resize(self.columns.len().max(first) + 1, None);
                    self.columns.len() - 1
                })
            }
        };
        if sources.iter().any(|&column| column != target) {
            let rails = self.joined(&sources, target);
            self.rows.push(Row { rails, dot: None });
        }
        for &column in &sources {
            if let Some(from) = self.columns[column] {
                self.open[from] -= 1;
                if self.open[from] == 0 {
                    self.columns[column] = None;
                }
            }
        }
        self.columns[target] = None;
        let mark = if self.picture.dots[at].tasks.is_none() { HOOK } else { STAGE };
        let cells = self.columns.iter().enumerate().map(|(column, rail)| match rail {
            _ if column == target => format!("{mark} "),
            Some(_) => "│ ".to_owned(),
            None => "  ".to_owned(),
        });
        let rails = cells.collect::<String>().trim_end().to_owned();
        self.rows.push(Row { rails, dot: Some((target * 2, at)) });
        self.columns[target] = Some(at).filter(|&at| self.open[at] > 0);
        while self.columns.last() == Some(&None) {
            self.columns.pop();
        }
    }

    /// The line that leads from some rails to the column of the next dot.
    fn joined(&self, sources: &[usize], target: usize) -> String {
        let first = sources.iter().copied().min().unwrap_or(target).min(target);
        let last = sources.iter().copied().max().unwrap_or(target).max(target);
        let mut line = String::new();
        for (column, rail) in self.columns.iter().enumerate() {
            let source = sources.contains(&column);
            let goes_on = source && rail.is_some_and(|from| self.open[from] > 1);
            let up = source || (rail.is_some() && column != target);
            let down = goes_on || column == target;
            let on_line = (first..=last).contains(&column);
            line.push(match (on_line && (source || column == target), rail) {
                (true, _) => corner(up, down, (column > first, column < last)),
                (false, Some(_)) => '│',
                (false, None) if on_line => '─',
                (false, None) => ' ',
            });
            line.push(if (first..last).contains(&column) { '─' } else { ' ' });
        }
        line.trim_end().to_owned()
    }
}

const fn corner(up: bool, down: bool, (left, right): (bool, bool)) -> char {
    match (up, down, left, right) {
        (true, true, true, true) => '┼',
        (true, true, true, false) => '┤',
        (true, true, false, true) => '├',
        (true, false, true, true) => '┴',
        (true, false, true, false) => '╯',
        (true, false, false, true) => '╰',
        (false, true, true, true) => '┬',
        (false, true, true, false) => '╮',
        (false, true, false, true) => '╭',
        _ => '│',
    }
}
