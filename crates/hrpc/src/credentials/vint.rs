//! Hadoop's integers of variable length: one byte from -112 to 127, or a byte that tells sign and length, then the
//! magnitude, most significant byte first.

/// Takes an integer off the bytes.
pub(super) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    let first = i8::from_be_bytes([first]);
    let (length, negative) = match first {
        -112.. => {
            *bytes = rest;
            return Some(i64::from(first));
        }
        -120..=-113 => (-112 - i32::from(first), false),
        _ => (-120 - i32::from(first), true),
    };
    let (magnitude, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let value = magnitude.iter().fold(0_i64, |value, byte| (value << 8) | i64::from(*byte));
    *bytes = rest;
    Some(if negative { !value } else { value })
}

/// Appends an integer.
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    if let Ok(short) = i8::try_from(value)
        && short >= -112
    {
        out.extend_from_slice(&short.to_be_bytes());
        return;
    }
    let (base, magnitude) = if value < 0 { (-120_i8, !value) } else { (-112_i8, value) };
    let bytes = magnitude.to_be_bytes();
    let unused = bytes.iter().take_while(|byte| **byte == 0).count().min(7);
    let length = i8::try_from(bytes.len() - unused).expect("at most eight");
    out.extend_from_slice(&(base - length).to_be_bytes());
    out.extend_from_slice(&bytes[unused..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{put, take};

    #[test]
    fn known_values_are_written_as_hadoop_does() {
        for (value, hex) in [
            (0, "00"),
            (127, "7f"),
            (-112, "90"),
            (128, "8f80"),
            (-113, "8770"),
            (255, "8fff"),
            (256, "8e0100"),
            (-256, "87ff"),
            (-257, "860100"),
            (i64::MAX, "887fffffffffffffff"),
            (i64::MIN, "807fffffffffffffff"),
        ] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_comes_back(value in any::<i64>(), shift in 0..63_u32) {
            for value in [value, value >> shift] {
                let mut out = Vec::new();
                put(&mut out, value);
                let mut rest = &out[..];
                prop_assert_eq!(take(&mut rest), Some(value));
                prop_assert!(rest.is_empty());
            }
        }
    }
}
