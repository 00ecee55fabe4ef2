//! Sizes, cpus and durations as other tools write them, as ours.

/// Bytes as a size with a unit, exact.
pub(super) fn size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

fn parted(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok().filter(|number: &f64| number.is_finite())?;
    Some((number, text[end..].trim()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no negative number is read")]
fn bytes(number: f64, factor: f64) -> Option<u64> {
    let bytes = (number * factor).round();
    (bytes < 1e18).then_some(bytes as u64)
}

/// `512m`, `1gb`, `64k`: compose's units are powers of 1024.
pub(super) fn compose_size(text: &str) -> Option<String> {
    let (number, unit) = parted(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1_048_576.0,
        "g" | "gb" | "gib" => 1_073_741_824.0,
        "t" | "tb" | "tib" => 1_099_511_627_776.0,
        _ => return None,
    };
    bytes(number, factor).map(size)
}

/// `128Mi`, `1G`, `500M`: Kubernetes' quantities.
pub(super) fn kubernetes_size(text: &str) -> Option<String> {
    let (number, unit) = parted(text)?;
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    bytes(number, factor).map(size)
}

/// `2 GiB`, `512 MB`, or a number of MiB: Skein's.
pub(super) fn skein_size(text: &str) -> Option<String> {
    let (number, unit) = parted(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "mib" => 1_048_576.0,
        "b" => 1.0,
        "kib" => 1024.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return None,
    };
    bytes(number, factor).map(size)
}

/// `0.5`, `2`, `250m`.
pub(super) fn cpus(text: &str) -> Option<String> {
    let (number, unit) = parted(text)?;
    let cpus = match unit {
        "" => number,
        "m" => number / 1000.0,
        _ => return None,
    };
    (cpus > 0.0).then(|| format!("{}", (cpus * 1000.0).round().max(1.0) / 1000.0))
}

/// `1m30s`, `90`, `1.5s`, `2h`: a number alone counts seconds.
pub(super) fn duration(text: &str) -> Option<String> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = parted(rest)?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let factor = match tail[..end].trim() {
            "us" | "µs" => 0.001,
            "ms" => 1.0,
            "" | "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number * factor;
        rest = tail[end..].trim();
    }
    millis(bytes(total, 1.0)?)
}

/// Milliseconds as `1h30m`; nothing for none.
fn millis(mut left: u64) -> Option<String> {
    let mut out = String::new();
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= factor {
            out.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_every_tool_become_ours() {
        assert_eq!(compose_size("512m").as_deref(), Some("512MiB"));
        assert_eq!(compose_size("1.5GB").as_deref(), Some("1536MiB"));
        assert_eq!(compose_size("1048576").as_deref(), Some("1MiB"));
        assert_eq!(kubernetes_size("128Mi").as_deref(), Some("128MiB"));
        assert_eq!(kubernetes_size("1G").as_deref(), Some("1000000000B"));
        assert_eq!(skein_size("2 GiB").as_deref(), Some("2GiB"));
        assert_eq!(skein_size("512").as_deref(), Some("512MiB"));
        assert_eq!(cpus("250m").as_deref(), Some("0.25"));
        assert_eq!(cpus("2").as_deref(), Some("2"));
        assert_eq!(duration("1m30s").as_deref(), Some("1m30s"));
        assert_eq!(duration("90").as_deref(), Some("1m30s"));
        assert_eq!(duration("1.5s").as_deref(), Some("1s500ms"));
        for bad in ["", "x", "1x", "-1"] {
            assert!(compose_size(bad).is_none() && cpus(bad).is_none() && duration(bad).is_none(), "{bad}");
        }
    }
}
