//! Timestamps of traces -> seconds.

use chrono::NaiveDate;

/// A point in time: seconds since 1970, or since an unknown start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Time {
    Absolute(f64),
    Relative(f64),
}

/// Numbers above this are seconds since 1970 (1973 or later).
const LEAST_ABSOLUTE_S: f64 = 1e8;
/// Numbers above this can't be seconds: the year 5138.
const MOST_S: f64 = 1e11;

/// A number of seconds, or a date and time as RFC 3339 or `YYYY-MM-DD HH:MM:SS.FFF`, in UTC without an offset.
pub(super) fn parse(text: &[u8]) -> Result<Time, String> {
    let text = text.trim_ascii();
    if let Some(seconds) = date_time(text) {
        return Ok(Time::Absolute(seconds));
    }
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match number.filter(|number| number.is_finite() && *number >= 0.0) {
        Some(number) => seconds(number),
        None => Err(format!(
            "expected a time (seconds, or such as 2026-11-23T08:45:00Z), found `{}`",
            String::from_utf8_lossy(&text[..text.len().min(40)]).escape_debug()
        )),
    }
}

/// A time given as a number of seconds.
pub(super) fn seconds(number: f64) -> Result<Time, String> {
    if !number.is_finite() || number < 0.0 {
        return Err(format!("expected a time of at least 0 seconds, found {number}"));
    }
    if number > MOST_S {
        return Err(format!("{number} is too large for seconds: divide milliseconds by 1,000"));
    }
    Ok(if number >= LEAST_ABSOLUTE_S { Time::Absolute(number) } else { Time::Relative(number) })
}

fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0_u32, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
    })
}

fn date_time(text: &[u8]) -> Option<f64> {
    let [at_4, at_7, between, at_13, at_16] = [4, 7, 10, 13, 16].map(|at| text.get(at).copied());
    let separators = [at_4?, at_7?, at_13?, at_16?];
    if separators != *b"--::" || !matches!(between?, b'T' | b't' | b' ') {
        return None;
    }
    let part = |from: usize| digits(text.get(from..from + 2)?);
    let year = i32::try_from(digits(&text[..4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, part(5)?, part(8)?)?;
    let (hour, minute, second) = (part(11)?, part(14)?, part(17)?);
    // A leap second counts into the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    let mut fraction = 0.0;
    if let Some(after) = rest.strip_prefix(b".") {
        let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let shown = digits(&after[..length.min(9)])?;
        fraction = f64::from(shown) / 10_f64.powi(i32::try_from(length.min(9)).ok()?);
        rest = &after[length..];
    }
    let days = date.signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days();
    let seconds = days as f64 * 86_400.0 + f64::from(hour * 3600 + minute * 60 + second);
    Some(seconds - offset_s(rest)? + fraction)
}

/// `Z`, `+02:00`, `+0200` or nothing.
fn offset_s(text: &[u8]) -> Option<f64> {
    let sign = match text {
        b"" | b"Z" | b"z" => return Some(0.0),
        [b'+', ..] => 1.0,
        [b'-', ..] => -1.0,
        _ => return None,
    };
    let hours = digits(text.get(1..3)?)?;
    let minutes = match &text[3..] {
        b"" => 0,
        [b':', minutes @ ..] | minutes => digits(minutes)?,
    };
    (hours < 24 && minutes < 60).then(|| sign * f64::from(hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_traces_write_them() {
        let absolute = |text: &str| match parse(text.as_bytes()) {
            Ok(Time::Absolute(seconds)) => Some(seconds),
            other => panic!("{text}: {other:?}"),
        };
        // date -u -d '2023-11-16 18:15:46' +%s
        assert!(
            (absolute("2023-11-16 18:15:46.6805900").unwrap() - 1_700_158_546.680_59).abs() < 1e-6
        );
        assert_eq!(absolute("2023-11-16T18:15:46Z"), Some(1_700_158_546.0));
        assert_eq!(absolute("2023-11-16T20:15:46+02:00"), Some(1_700_158_546.0));
        assert_eq!(absolute("1700158546.5"), Some(1_700_158_546.5));
        assert_eq!(parse(b" 5.25 "), Ok(Time::Relative(5.25)));
    }

    #[test]
    fn wrong_times_are_refused() {
        for wrong in [
            "",
            "noon",
            "-1",
            "nan",
            "2023-13-01 00:00:00",
            "2023-11-16T25:00:00Z",
            "1700158546000",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
