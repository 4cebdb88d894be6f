//! Durations as text.

use std::time::Duration;

/// The longest time of a load: ten years.
pub(super) const MAX_DURATION: Duration = Duration::from_hours(3650 * 24);

/// Parses `90s`, `5m`, `2h` or `1d`; above zero.
pub fn duration(text: &str) -> Option<Duration> {
    time_of(text).filter(|time| !time.is_zero())
}

/// The same from zero on.
pub(super) fn time_of(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.chars().next_back()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].trim().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}
