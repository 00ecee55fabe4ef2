//! The tree on a terminal: drawn at most five times a second, only where something has changed, and never for more than
//! a small part of the time: a run of very many stages is drawn less often.

use std::time::{Duration, Instant};

use dybox_model::Millis;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::picture::Picture;
use super::tree::{Size, tree};
use crate::report::Screen;

/// Between two drawings when there is news.
const FAST: Duration = Duration::from_millis(200);
/// Between two drawings when only the clock goes on.
const SLOW: Duration = Duration::from_secs(1);

/// So many times as long as it took to draw the tree, it is left as it is, but for no longer than this.
const REST: (u32, Duration) = (60, Duration::from_secs(2));

/// The part of the terminal that is drawn again and again.
pub(crate) struct Canvas {
    bar: ProgressBar,
    screen: Screen,
    drawn: Option<Instant>,
    took: Duration,
    text: String,
}

impl Canvas {
    /// Nothing is drawn yet.
    pub(crate) fn new(screen: Screen) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(20));
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        Self { bar: bar.with_style(style), screen, drawn: None, took: Duration::ZERO, text: String::new() }
    }

    /// Draws if it is time to; `news`: something has changed since.
    pub(crate) fn draw(&mut self, news: bool, now: Millis, picture: impl FnOnce() -> Picture) -> bool {
        let pause = if news { FAST } else { SLOW }.max((self.took * REST.0).min(REST.1));
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < pause) {
            return false;
        }
        let start = Instant::now();
        let lines = tree(&picture(), now, size(&self.screen));
        let mut text = String::with_capacity(self.text.len());
        for line in &lines {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&line.on(&self.screen));
        }
        if text != self.text {
            self.bar.set_message(text.clone());
            self.text = text;
        }
        (self.drawn, self.took) = (Some(start), start.elapsed());
        true
    }

    /// Writes a line above the tree.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| self.screen.hint(text));
    }

    /// Takes the tree away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The terminal's size now: it may have changed.
fn size(screen: &Screen) -> Size {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((width, height)) => Size { width: width.0.into(), height: height.0.into() },
        None => Size { width: screen.width.into(), height: 24 },
    }
}
