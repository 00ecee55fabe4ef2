//! Times for people and for programs.

use std::time::{SystemTime, UNIX_EPOCH};

use dybox_model::{Millis, format_duration};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time now.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn timestamp(at: Millis) -> Timestamp {
    i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// RFC 3339 in UTC with milliseconds, for JSON.
pub(crate) fn rfc3339(at: Millis) -> String {
    format!("{:.3}", timestamp(at))
}

/// In the zone of this machine, to the second.
pub(crate) fn local(at: Millis) -> String {
    timestamp(at).to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago: `now`, `12s ago`, `3m ago`, `5h ago`, `2d ago`.
pub(crate) fn ago(now: Millis, at: Millis) -> String {
    match now.since(at).0 / 1000 {
        0 => "now".to_owned(),
        secs @ 1..60 => format!("{secs}s ago"),
        secs @ 60..3600 => format!("{}m ago", secs / 60),
        secs @ 3600..86_400 => format!("{}h ago", secs / 3600),
        secs => format!("{}d ago", secs / 86_400),
    }
}

/// A span in seconds, for JSON.
pub(crate) fn seconds(span: Millis) -> f64 {
    span.0 as f64 / 1000.0
}

/// A span for people, or `-`.
pub(crate) fn span_or_dash(span: Option<Millis>) -> String {
    span.map_or_else(|| "-".to_owned(), format_duration)
}

/// What `--since` takes: a span back from now (`90s`, `10m`, `2h`, `1d`) or an RFC 3339 time.
pub(crate) fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Since::At(Millis(u64::try_from(at.as_millisecond()).unwrap_or(0))));
    }
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| WHAT_SINCE.to_owned())?;
    let unit = match &text[at..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(WHAT_SINCE.to_owned()),
    };
    Ok(Since::Back(Millis(number.saturating_mul(unit))))
}

const WHAT_SINCE: &str = "write a span like 90s, 10m, 2h, 1d, or a time like 2026-01-31T08:00:00Z";

/// A point in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long before now.
    Back(Millis),
    /// This point.
    At(Millis),
}

impl Since {
    /// As a point.
    pub(crate) fn point(self, now: Millis) -> Millis {
        match self {
            Self::Back(span) => now.since(span),
            Self::At(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_for_programs() {
        assert_eq!(rfc3339(Millis(1_763_712_000_123)), "2025-11-21T08:00:00.123Z");
        assert_eq!(ago(Millis(10_000_000), Millis(2_000_000)), "2h ago");
        assert_eq!(ago(Millis(0), Millis(5)), "now");
    }

    #[test]
    fn since_takes_spans_and_times() {
        assert_eq!(since("10m"), Ok(Since::Back(Millis(600_000))));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(Millis(1000))));
        assert!(since("10").is_err() && since("soon").is_err());
        assert_eq!(Since::Back(Millis(5)).point(Millis(3)), Millis(0));
    }
}
