//! Sizes, durations and cpus as a job file writes them. Units are always explicit.

use dybox_model::Millis;

/// A text that is no size or no span: why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadUnit {
    /// `true`: the number is fine and the unit is missing or ambiguous.
    pub(crate) unit: bool,
    pub(crate) why: String,
    pub(crate) write: String,
}

/// Units of size, each with its bytes.
pub(crate) const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// `512MiB`, `2 GB`, `1.5GiB` -> bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, BadUnit> {
    let (number, unit) = split_number(text.trim());
    let Some(number_value) = decimal(number) else {
        return Err(BadUnit {
            unit: false,
            why: format!("{text:?} is no size"),
            write: "write a number and a unit, like 512MiB or 2GiB".to_owned(),
        });
    };
    if let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) {
        let bytes = u128::from(number_value.0) * u128::from(*factor) / u128::from(number_value.1);
        return u64::try_from(bytes).ok().filter(|&bytes| bytes < 1 << 60).ok_or_else(|| BadUnit {
            unit: false,
            why: format!("{text:?} is more than any machine has"),
            write: "write a smaller size, like 2GiB".to_owned(),
        });
    }
    let guess = match unit.chars().next().map(|c| c.to_ascii_lowercase()) {
        Some('k') => "KiB",
        Some('g') => "GiB",
        Some('t') => "TiB",
        Some('b') => "B",
        _ => "MiB",
    };
    let why = if unit.is_empty() {
        format!("{number} has no unit")
    } else {
        format!("{unit:?} is no unit of size; there are B, KiB, MiB, GiB, TiB, KB, MB, GB and TB")
    };
    Err(BadUnit { unit: true, why, write: format!("write {number}{guess}") })
}

/// `10m`, `1h30m`, `250ms` -> milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<Millis, BadUnit> {
    const LONGEST: u64 = 3_650 * 86_400_000;
    let bad = |unit, why: String, write: String| Err(BadUnit { unit, why, write });
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return bad(false, "an empty text is no duration".to_owned(), "write a number and a unit, like 10m".to_owned());
    }
    while !rest.is_empty() {
        let (number, tail) = split_number(rest);
        let Some(value) = number.parse::<u64>().ok().filter(|_| !number.is_empty()) else {
            let write = "write whole numbers with units, like 90s, 10m or 1h30m".to_owned();
            return bad(false, format!("{text:?} is no duration"), write);
        };
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return bad(true, format!("{number} has no unit"), format!("write {number}s, or {number}m")),
            other => {
                let why = format!("{other:?} is no unit of time; there are ms, s, m, h and d");
                return bad(true, why, format!("write {number}s, or {number}m"));
            }
        };
        total = total.saturating_add(value.saturating_mul(factor));
        rest = tail.trim_start();
    }
    if total > LONGEST {
        return bad(false, format!("{text:?} is more than ten years"), "write less, like 24h".to_owned());
    }
    Ok(Millis(total))
}

/// The number at the start of a text, and the rest without space before it.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number, rest.trim_start())
}

/// `1.5` as a fraction: 15 / 10.
fn decimal(text: &str) -> Option<(u64, u64)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits_only = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() + part.len() > 17 || !digits_only(whole) || !digits_only(part) {
        return None;
    }
    if part.is_empty() && text.contains('.') {
        return None;
    }
    Some((format!("{whole}{part}").parse().ok()?, 10_u64.pow(part.len() as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_mean_what_is_written() {
        let seen = ["512MiB", "2 GB", "2GiB", "1.5GiB", "6MiB", "900B", "0.5KiB"].map(|text| parse_size(text).unwrap());
        assert_eq!(seen, [512 << 20, 2_000_000_000, 2 << 30, 3 << 29, 6 << 20, 900, 512]);
    }

    #[test]
    fn a_size_without_a_clear_unit_is_refused_with_what_to_write() {
        let write = |text: &str| parse_size(text).unwrap_err().write;
        assert_eq!(write("512"), "write 512MiB");
        assert_eq!(write("512m"), "write 512MiB");
        assert_eq!(write("2Gi"), "write 2GiB");
        assert_eq!(write("much"), "write a number and a unit, like 512MiB or 2GiB");
        assert_eq!(write("-1MiB"), "write a number and a unit, like 512MiB or 2GiB");
        assert_eq!(write("99999999TiB"), "write a smaller size, like 2GiB");
    }

    #[test]
    fn durations_add_up() {
        let seen = ["10m", "1h30m", "250ms", "1d", "1h 5s", "0s"].map(|text| parse_duration(text).unwrap().0);
        assert_eq!(seen, [600_000, 5_400_000, 250, 86_400_000, 3_605_000, 0]);
        for text in ["", "10", "10x", "1.5h", "-5s", "h", "99999999999999999999s", "9999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
