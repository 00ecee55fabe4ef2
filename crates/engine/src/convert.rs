//! The engine's texts -> model types.

use dybox_model::Millis;

/// A time of the engine; its zero time (`0001-01-01T00:00:00Z`) is no time.
pub(crate) fn time(text: Option<&str>) -> Option<Millis> {
    let stamp: jiff::Timestamp = text?.parse().ok()?;
    u64::try_from(stamp.as_millisecond()).ok().filter(|&ms| ms > 0).map(Millis)
}

/// Names come with a slash in front.
pub(crate) fn name(text: &str) -> String {
    text.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_times_are_read_and_its_zero_is_none() {
        assert_eq!(time(Some("1970-01-01T00:00:01.25Z")), Some(Millis(1250)));
        assert_eq!(time(Some("2026-11-21T08:00:00.123456789+01:00")), Some(Millis(1_795_244_400_123)));
        assert_eq!(time(Some("0001-01-01T00:00:00Z")), None);
        assert_eq!(time(Some("")), None);
        assert_eq!(time(None), None);
    }
}
