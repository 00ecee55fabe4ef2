//! A line of a terminal: coloured pieces that are cut to a width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::report::{Paint, Screen};

/// Pieces of text, each with a colour or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line(Vec<(Option<Paint>, String)>);

impl Line {
    /// Adds text in a colour.
    pub(crate) fn paint(mut self, paint: Paint, text: impl AsRef<str>) -> Self {
        self.0.push((Some(paint), shown(text.as_ref())));
        self
    }

    /// Adds text without a colour.
    pub(crate) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.0.push((None, shown(text.as_ref())));
        self
    }

    /// Adds another line's pieces.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Cuts it to so many columns; what was cut off is marked.
    pub(crate) fn fit(self, width: usize) -> Self {
        let whole: usize = self.0.iter().map(|(_, text)| text.width()).sum();
        if whole <= width {
            return self;
        }
        let mut room = width.saturating_sub(1);
        let mut pieces = Vec::new();
        for (paint, text) in self.0 {
            let cut = head(&text, room);
            room -= cut.width();
            let last = cut.len() < text.len();
            pieces.push((paint, cut.to_owned()));
            if last {
                break;
            }
        }
        pieces.push((None, "…".to_owned()));
        Self(pieces)
    }

    /// As bytes for stderr.
    pub(crate) fn on(&self, screen: &Screen) -> String {
        self.0
            .iter()
            .map(|(paint, text)| paint.map_or_else(|| text.clone(), |paint| screen.paint_err(paint, text)))
            .collect()
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// The longest head of `text` that takes at most `room` columns.
fn head(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[..at];
        }
    }
    text
}

/// Text that can't move the cursor: words of an engine or of a hook may hold anything.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_columns_and_not_by_bytes() {
        let line = Line::default().paint(Paint::Bold, "日本語").text("-abc");
        assert_eq!(line.clone().fit(10).plain(), "日本語-abc");
        assert_eq!(line.clone().fit(8).plain(), "日本語-…");
        assert_eq!(line.fit(6).plain(), "日本…");
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(shown("a\x1b[2J\nb"), "a [2J b");
    }
}
