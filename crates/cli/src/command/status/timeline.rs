//! The stages of a run over time, and how their images came: whether anybody waited for one that could have come before.

use dybox_model::{Millis, format_duration};

use crate::command::look::Looked;
use crate::live::shown;
use crate::report::{Paint, Screen, table_text};

/// Cells of the bar.
const WIDTH: u64 = 24;

/// One line a stage.
pub(super) fn text(screen: &Screen, looked: &Looked, now: Millis) -> String {
    let begin = looked.info.submitted;
    let end = looked.standing.view.ended().unwrap_or(now);
    let mut table = screen.table(&["STAGE", "FROM", "TIME", "TIMELINE", "IMAGE"]);
    for id in looked.shown() {
        let seen = looked.seen(id);
        let span = seen.and_then(|stage| Some((stage.started?, stage.ended.unwrap_or(end))));
        let story = looked.standing.view.image_story(id).map(|story| story.words()).unwrap_or_default();
        table.add_row([
            looked.name(id).to_owned(),
            span.map(|(from, _)| format!("+{}", format_duration(from.since(begin)))).unwrap_or_default(),
            span.map(|(from, until)| format_duration(until.since(from))).unwrap_or_default(),
            span.map(|(from, until)| bar((begin, end), (from, until))).unwrap_or_default(),
            shown(&story),
        ]);
    }
    format!("\n{}\n{}", screen.paint(Paint::Bold, "timeline"), table_text(table, &[1, 2]))
}

/// A stage's part of the whole run; one cell at least.
fn bar((begin, end): (Millis, Millis), (from, until): (Millis, Millis)) -> String {
    let whole = end.since(begin).0.max(1);
    let cell = |at: Millis| (at.since(begin).0.saturating_mul(WIDTH) / whole).min(WIDTH);
    let first = cell(from).min(WIDTH - 1);
    let last = cell(until).max(first + 1);
    let draw = |at| if (first..last).contains(&at) { '█' } else { '·' };
    (0..WIDTH).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_lies_where_its_stage_ran() {
        let whole = (Millis(1000), Millis(25_000));
        assert_eq!(bar(whole, (Millis(1000), Millis(13_000))), format!("{}{}", "█".repeat(12), "·".repeat(12)));
        assert_eq!(bar(whole, (Millis(24_999), Millis(25_000))), format!("{}█", "·".repeat(23)));
        assert_eq!(bar(whole, (Millis(25_000), Millis(25_000))), format!("{}█", "·".repeat(23)), "it was there");
        assert_eq!(bar((Millis(5), Millis(5)), (Millis(5), Millis(5))).chars().count(), 24);
    }
}
