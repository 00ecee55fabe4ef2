//! For a terminal.

use unicode_width::UnicodeWidthStr as _;

use super::rails::{Row, rows};
use super::{Dot, Picture, edge_word, seen};

/// Rails side by side that a person can still follow.
const MOST_RAILS: usize = 12;
/// Columns that are left to names at least.
const LEAST_ROOM: usize = 30;

/// The picture as text, at most `width` columns wide where names allow it. `paint` colours a text by the state of a
/// stage, and by no state what is of less interest.
#[must_use]
pub fn text(picture: &Picture, width: usize, paint: &dyn Fn(Option<&str>, &str) -> String) -> String {
    let order = picture.order();
    let most = MOST_RAILS.min(width.saturating_sub(LEAST_ROOM) / 2);
    match rows(picture, &order, most) {
        Some(rows) => drawn(picture, &rows, width, paint),
        None => levels(picture, width, paint),
    }
}

fn drawn(picture: &Picture, rows: &[Row], width: usize, paint: &dyn Fn(Option<&str>, &str) -> String) -> String {
    let mut out = String::new();
    for row in rows {
        let Some((mark, at)) = row.dot else {
            out.push_str(&format!("{}\n", row.rails));
            continue;
        };
        let dot = &picture.dots[at];
        let chars: Vec<char> = row.rails.chars().collect();
        let part = |range: &[char]| range.iter().collect::<String>();
        out.push_str(&part(&chars[..mark]));
        out.push_str(&paint(Some(dot.state.unwrap_or_default()), &part(&chars[mark..=mark])));
        out.push_str(&part(&chars[mark + 1..]));
        let room = width.saturating_sub(row.rails.width() + 2);
        out.push_str(&format!("  {}\n", label(picture, dot, room, paint)));
    }
    out
}

/// Where too many lines would cross: stages by level, each with what it needs.
fn levels(picture: &Picture, width: usize, paint: &dyn Fn(Option<&str>, &str) -> String) -> String {
    let depths = picture.depths();
    let mut levels = vec![Vec::new(); depths.iter().max().map_or(0, |most| most + 1)];
    for (at, depth) in depths.into_iter().enumerate() {
        levels[depth].push(at);
    }
    let mut out = String::new();
    for (number, level) in levels.iter().enumerate() {
        let count = if level.len() == 1 { String::new() } else { format!(", {} side by side", level.len()) };
        out.push_str(&format!("{}\n", paint(None, &format!("level {}{count}", number + 1))));
        for &at in level {
            let dot = &picture.dots[at];
            let mark = if dot.tasks.is_none() { super::rails::HOOK } else { super::rails::STAGE };
            let mark = paint(Some(dot.state.unwrap_or_default()), &mark.to_string());
            out.push_str(&format!("  {mark} {}\n", label(picture, dot, width.saturating_sub(4), paint)));
        }
    }
    out
}

/// Name, tasks, state, and as many of the needs as fit.
fn label(picture: &Picture, dot: &Dot, room: usize, paint: &dyn Fn(Option<&str>, &str) -> String) -> String {
    let mut name: String = seen(&dot.name).collect();
    if dot.known.is_some() {
        name.push_str(" ×?");
    } else if let Some(tasks) = dot.tasks.filter(|&tasks| tasks != 1) {
        name.push_str(&format!(" ×{tasks}"));
    }
    let mut used = name.width();
    let mut text = name;
    if let Some(state) = dot.state {
        used += 2 + state.len();
        text.push_str(&format!("  {}", paint(Some(state), state)));
    }
    let needs = needs(picture, dot, room.saturating_sub(used + 4));
    if needs.is_empty() { text } else { format!("{text}  {}", paint(None, &format!("← {needs}"))) }
}

/// Names of what a dot needs, cut to so many columns.
fn needs(picture: &Picture, dot: &Dot, room: usize) -> String {
    let mut text = String::new();
    for (done, &(need, end)) in dot.needs.iter().enumerate() {
        let Some(needed) = picture.dots.get(need) else { continue };
        let name: String = seen(&needed.name).collect();
        let word = match edge_word(end) {
            "" => name,
            word => format!("{name} ({word})"),
        };
        let lead = if done == 0 { "" } else { ", " };
        let left = dot.needs.len() - done;
        let rest = if left > 1 { format!("{lead}+{left}").len().max(4) } else { 0 };
        if text.width() + lead.len() + word.width() + rest > room {
            let more = if done == 0 { format!("{left} stages") } else { format!(" +{left}") };
            return if text.width() + more.len() > room && done == 0 { String::new() } else { text + &more };
        }
        text.push_str(lead);
        text.push_str(&word);
    }
    text
}
