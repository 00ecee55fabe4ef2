//! Cpus and memory.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// What a task needs or a grant gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpu_milli: u32,
    /// Bytes of memory; no swap comes on top.
    pub memory: u64,
}

impl Resources {
    /// Whether this much fits into `room`.
    #[must_use]
    pub const fn fits(self, room: Resources) -> bool {
        self.cpu_milli <= room.cpu_milli && self.memory <= room.memory
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

impl Sub for Resources {
    type Output = Self;

    /// What is left; never below zero.
    fn sub(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_sub(other.cpu_milli),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}

/// Bytes as people read them: `512MiB`, `1.5GiB`, `900B`. At most one digit after the point.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    match tenths % 10 {
        0 => format!("{}{}", tenths / 10, UNITS[unit]),
        tenth => format!("{}.{}{}", tenths / 10, tenth, UNITS[unit]),
    }
}

/// Thousandths of a cpu as people write them: `0.25`, `1`, `1.5`.
#[must_use]
pub fn format_cpus(milli: u32) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number of cpus in thousandths, from a configuration file or a flag.
///
/// # Errors
/// What is to be written, as a lower-case fragment.
pub fn parse_cpus(text: &str) -> Result<u32, String> {
    let why = || "write a number of cpus above 0, like 4 or 0.5".to_owned();
    let number: f64 = text.trim().parse().map_err(|_| why())?;
    let milli = (number * 1000.0).round();
    // NaN fails the comparison too.
    if (1.0..=f64::from(u32::MAX)).contains(&milli) { Ok(milli as u32) } else { Err(why()) }
}

/// An amount of memory with its unit in bytes, from a configuration file or a flag.
///
/// # Errors
/// What is to be written, as a lower-case fragment.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("a unit is missing: write \"{text}MiB\" or \"{text}GiB\""));
    }
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..at].parse().map_err(|_| "write a number and a unit, like 8GiB".to_owned())?;
    let unit: u64 = match text[at..].trim() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("the units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB".to_owned()),
    };
    let bytes = number * unit as f64;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err("write an amount above 0".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_written_in_a_job_file() {
        let seen = [900, 512 << 20, 3 << 29, 1 << 40].map(format_bytes);
        assert_eq!(seen, ["900B", "512MiB", "1.5GiB", "1TiB"]);
        assert_eq!([250, 1000, 1500, 10_000].map(format_cpus), ["0.25", "1", "1.5", "10"]);
    }
}
