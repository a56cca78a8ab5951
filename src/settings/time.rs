//! Option values that are times: a whole number and `us`, `ms` or `s`; without a unit milliseconds, as in the C daemon.

use std::time::Duration;

use super::BadOption;

/// The longest time that an option takes.
const MAX: Duration = Duration::from_secs(3600);

/// Reads a time up to an hour.
///
/// # Errors
/// When `value` is no such time; the error names `option`.
pub(super) fn parse(option: &str, value: &str) -> Result<Duration, BadOption> {
    let (digits, unit) =
        value.split_at(value.find(|char: char| !char.is_ascii_digit()).unwrap_or(value.len()));
    let time = digits.parse().ok().and_then(|count: u64| match unit {
        "us" => Some(Duration::from_micros(count)),
        "" | "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        _ => None,
    });
    time.filter(|time| *time <= MAX).ok_or_else(|| {
        BadOption(format!("{option}: {value:?} is not a time up to an hour, like 500us, 10ms or 1s"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("-t", "7"), Ok(Duration::from_millis(7)));
        assert_eq!(parse("-t", "7us"), Ok(Duration::from_micros(7)));
        assert_eq!(parse("-t", "3600s"), Ok(Duration::from_secs(3600)));
        for bad in ["", "ms", "-1", "1.5s", "1 s", "1m", "3601s", "99999999999999999999"] {
            assert!(parse("-t", bad).is_err(), "{bad:?}");
        }
    }
}
