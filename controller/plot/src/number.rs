//! Numbers as people read them. Files for programs hold them unrounded.

pub fn digits(value: f64) -> String {
    significant(value, 4.0)
}

/// Three significant digits, with commas between thousands.
pub fn shown(value: f64) -> String {
    with_commas(&significant(value, 3.0))
}

pub fn count(count: u64) -> String {
    with_commas(&count.to_string())
}

/// Above so many percent, further digits say nothing.
const MOST_PERCENT: f64 = 10_000.0;

/// A share in percent, with about three digits and without the sign: `12.5`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > MOST_PERCENT {
        return format!("over {MOST_PERCENT}");
    }
    let digits = match percent.abs() {
        hundreds if hundreds >= 100.0 => 0,
        tens if tens >= 10.0 => 1,
        ones if ones >= 0.995 => 2,
        _ => 3,
    };
    without_zeros(&format!("{percent:.digits$}")).to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A ratio as a signed change in percent: 1.5 is `+50`.
pub fn signed_percent(ratio: f64) -> String {
    let text = percent(ratio - 1.0);
    match text.strip_prefix("over ") {
        Some(most) => format!("over +{most}"),
        None if ratio > 1.0 => format!("+{text}"),
        None => text,
    }
}

/// A tick of an axis whose ticks are `step` apart: with enough decimals to distinguish adjacent ticks.
pub fn tick(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // On a logarithmic axis steps grow; a tick there is one digit after zeros.
    let size = if step.is_finite() { step.min(value.abs()) } else { value.abs() };
    with_commas(without_zeros(&decimals(value, 2.0 - size.log10().floor())))
}

fn significant(value: f64, digits: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    decimals(value, digits - 1.0 - value.abs().log10().floor())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
fn decimals(value: f64, count: f64) -> String {
    let count = count.clamp(0.0, 12.0) as usize;
    format!("{value:.count$}")
}

fn with_commas(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut grouped = String::from(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_significant_digits() {
        let written = [0.000_123_45, 0.5, 3.241_592, 1234.56, 1_234_567.0].map(digits);
        assert_eq!(written, ["0.0001234", "0.5000", "3.242", "1235", "1234567"]);
    }

    #[test]
    fn people_read_three_digits_and_thousands() {
        let written = [0.000_106_7, -0.5, 42.0, 12_345.6, -1_234_567.0].map(shown);
        assert_eq!(written, ["0.000107", "-0.500", "42.0", "12,346", "-1,234,567"]);
        assert_eq!([0, 999, 1000, 100_000].map(count), ["0", "999", "1,000", "100,000"]);
    }

    #[test]
    fn percentages_beyond_ten_thousand_have_no_digits() {
        assert_eq!(percent(99.5), "9950");
        assert_eq!(percent(1e12), "over 10000");
        assert_eq!(signed_percent(1e12), "over +10000");
        assert_eq!([1.5, 0.5].map(signed_percent), ["+50", "-50"]);
    }

    #[test]
    fn ticks_have_no_more_digits_than_they_need() {
        assert_eq!([0.0, 50.0, 100.0].map(|at| tick(at, 50.0)), ["0", "50", "100"]);
        assert_eq!([0.25, 0.5].map(|at| tick(at, 0.25)), ["0.25", "0.5"]);
        assert_eq!(
            [0.0002, 0.001, 5000.0].map(|at| tick(at, 0.0008)),
            ["0.0002", "0.001", "5,000"]
        );
        assert_eq!(tick(1.2e-5, 2e-6), "0.000012");
    }
}
