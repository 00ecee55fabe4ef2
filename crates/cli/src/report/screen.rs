//! Where to print, and how: width, colour, terminal or not.

use std::io::{self, IsTerminal, Write};

use crate::conf::ColorChoice;
use crate::report::{Failure, failure};

/// Columns below which a terminal is narrow.
pub(crate) const NARROW: u16 = 72;

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Ended well.
    Good,
    /// Ended badly.
    Bad,
    /// Needs a look.
    Warn,
    /// Going on.
    Busy,
    /// Of little interest.
    Dim,
    /// Headings and names.
    Bold,
}

/// The two streams of this process and what they can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Colour on stdout.
    pub color_out: bool,
    /// Colour on stderr.
    pub color_err: bool,
    /// Whether stdout is a terminal, and no dumb one.
    pub out_is_terminal: bool,
    /// Whether stderr is a terminal that may be drawn on (no `CI`, no dumb one).
    pub err_is_terminal: bool,
    /// Columns.
    pub width: u16,
    /// Whether errors show their chain.
    pub debug: bool,
}

impl Screen {
    /// Looks at the streams and the environment.
    pub(crate) fn detect(color: Option<ColorChoice>, debug: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let ci = set("CI");
        // An editor's shell: it shows lines, and neither colours nor what is drawn over.
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let out_is_terminal = io::stdout().is_terminal() && !dumb;
        let err_is_terminal = io::stderr().is_terminal() && !dumb;
        let auto = |terminal: bool| terminal && !set("NO_COLOR") && !ci;
        let color = |terminal: bool| match color.unwrap_or_default() {
            ColorChoice::Auto => auto(terminal),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let width = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
        Self {
            color_out: color(out_is_terminal),
            color_err: color(err_is_terminal),
            out_is_terminal,
            err_is_terminal: err_is_terminal && !ci,
            width: width.or_else(|| comfy_table::Table::new().width()).unwrap_or(100),
            debug,
        }
    }

    /// Whether tables go to a narrow terminal, and do without what matters least.
    pub(crate) const fn is_narrow(&self) -> bool {
        self.out_is_terminal && self.width < NARROW
    }

    /// No colour, no terminal: for the long-running parts.
    pub(crate) fn plain(debug: bool) -> Self {
        Self { color_out: false, color_err: false, out_is_terminal: false, err_is_terminal: false, width: 100, debug }
    }

    /// Writes bytes to stdout and flushes them.
    ///
    /// # Errors
    /// [`Failure::quiet`] when the reader has left, another failure when the disk is full.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(not_written)
    }

    /// Writes text to stdout.
    pub(crate) fn out(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes a line to stdout.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.out(&format!("{text}\n"))
    }

    /// Writes a line to stderr. Nobody can be told when that fails, so it is not told.
    pub(crate) fn hint(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "{text}").and_then(|()| err.flush());
    }

    /// Writes a warning to stderr.
    pub(crate) fn warn(&self, text: &str) {
        self.hint(&format!("{}: {text}", self.paint_err(Paint::Warn, "warning")));
    }

    /// `text` in a colour of stdout.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        painted(self.color_out, paint, text)
    }

    /// `text` in a colour of stderr.
    pub(crate) fn paint_err(&self, paint: Paint, text: &str) -> String {
        painted(self.color_err, paint, text)
    }

    /// Writes a failed command to stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        if !failure.what.is_empty() {
            let head = failure.code.map_or_else(|| "error".to_owned(), |code| format!("error[{code}]"));
            self.hint(&format!("{}: {}", self.paint_err(Paint::Bad, &head), failure.what));
        }
        let rows = [("  --> ", &failure.place), ("  = why: ", &failure.why), ("  = next: ", &failure.next)];
        for (lead, text) in rows {
            if let Some(text) = text {
                self.hint(&format!("{}{text}", self.paint_err(Paint::Dim, lead)));
            }
        }
        if self.debug
            && let Some(source) = &failure.source
        {
            self.hint(&format!("  = chain: {}", failure::chain(source.as_ref())));
            self.hint(&format!("  = debug: {source:?}"));
        }
    }
}

fn painted(color: bool, paint: Paint, text: &str) -> String {
    if !color {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => "32",
        Paint::Bad => "1;31",
        Paint::Warn => "33",
        Paint::Busy => "36",
        Paint::Dim => "2",
        Paint::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

fn not_written(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::new(dybox_model::ExitCode::Unreachable, "stdout can't be written").source(error),
    }
}
