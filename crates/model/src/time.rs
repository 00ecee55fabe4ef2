//! Time as a value: nobody in the pure crates reads a clock.

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, or a span when two are subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// A span or point of so many whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// This point, `span` later. Saturates instead of wrapping.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long ago `earlier` was; zero when it lies in the future (clocks jump).
    #[must_use]
    pub const fn since(self, earlier: Millis) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// A span as people read it: `0.4s`, `12.0s`, `3m05s`, `2h07m`.
#[must_use]
pub fn format_duration(span: Millis) -> String {
    let secs = span.0 / 1000;
    match secs {
        0..60 => format!("{}.{}s", secs, span.0 % 1000 / 100),
        60..3600 => format!("{}m{:02}s", secs / 60, secs % 60),
        _ => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        let seen: Vec<_> = [0, 449, 12_000, 185_000, 7_620_000].map(|ms| format_duration(Millis(ms))).into();
        assert_eq!(seen, ["0.0s", "0.4s", "12.0s", "3m05s", "2h07m"]);
    }

    #[test]
    fn a_clock_that_jumps_back_gives_no_negative_span() {
        assert_eq!(Millis(5).since(Millis(9)), Millis(0));
    }
}
