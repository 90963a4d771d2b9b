//! Sizes and times as people write them.

/// `4GiB`, `512 MiB`, `1.5GB`, `65536`: bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("is not a size; write it like \"512MiB\" or \"4GiB\"".to_owned()),
    };
    scaled(number, factor).ok_or_else(|| "is not a size that fits; write it like \"512MiB\" or \"4GiB\"".to_owned())
}

/// `2h`, `90m`, `1h30m`, `45s`, `7200`: seconds.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    let wrong = || "is not a time; write it like \"45s\", \"90m\" or \"1h30m\"".to_owned();
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let factor: u64 = match &after[..letters] {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "" if digits == text.trim().len() => 1,
            _ => return Err(wrong()),
        };
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        total = number.checked_mul(factor).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
        rest = after[letters..].trim_start();
    }
    Ok(total)
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// A decimal number times a factor, without the roundings of floating point.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 6 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let parts: u64 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let scale = 10u64.pow(u32::try_from(part.len()).ok()?);
    whole
        .checked_mul(factor)?
        .checked_add(u64::try_from(u128::from(parts) * u128::from(factor) / u128::from(scale)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let good = [
            ("4GiB", 4 << 30),
            ("512 MiB", 512 << 20),
            ("1.5k", 1536),
            ("2MB", 2_000_000),
            ("65536", 65536),
            ("1t", 1 << 40),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "4 giga", "-1", "1.", "1e9", "99999999999TiB", "1.2.3G", "4GiB!"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let good = [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("7200", 7200), ("1d 2h", 93_600)];
        for (text, seconds) in good {
            assert_eq!(time(text), Ok(seconds), "{text}");
        }
        for text in ["", "h", "2 hours", "1h30", "-1s", "99999999999999999999d", "1.5h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
