//! Sizes and durations as people read them.

/// `512 B`, `64 KiB`, `1.5 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut unit, mut scale) = (0, 1024_u64);
    // From 1023.95 on it would be shown as 1024.0 of this unit.
    while unit + 1 < UNITS.len() && bytes / scale >= 1000 {
        unit += 1;
        scale <<= 10;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    if tenths.is_multiple_of(10) || tenths >= 1000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// `350 ms`, `12 s`, `3 m 5 s`, `2 h 4 m`, `5 d 3 h`.
#[must_use]
pub fn duration(usec: u64) -> String {
    let (ms, s) = (usec / 1000, usec / 1_000_000);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{big} {big_unit}")
        } else {
            format!("{big} {big_unit} {small} {small_unit}")
        }
    };
    match s {
        0 => format!("{ms} ms"),
        1..=9 if (ms / 100) % 10 > 0 => format!("{s}.{} s", (ms / 100) % 10),
        1..=59 => format!("{s} s"),
        60..=3599 => two(s / 60, "m", s % 60, "s"),
        3600..=86_399 => two(s / 3600, "h", s / 60 % 60, "m"),
        _ => two(s / 86_400, "d", s / 3600 % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (65536, "64 KiB"),
            (1_048_575, "1 MiB"),
            (1_363_149, "1.3 MiB"),
            (140 << 20, "140 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn durations() {
        for (usec, shown) in [
            (0, "0 ms"),
            (350_999, "350 ms"),
            (1_000_000, "1 s"),
            (3_240_000, "3.2 s"),
            (12_300_000, "12 s"),
            (60_000_000, "1 m"),
            (185_000_000, "3 m 5 s"),
            (7_440_000_000, "2 h 4 m"),
            (442_800_000_000, "5 d 3 h"),
        ] {
            assert_eq!(duration(usec), shown, "{usec}");
        }
        let _ = duration(u64::MAX);
    }
}
