//! Prices and numbers in the text of a plan.

#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pub usd_per_hour: f64,
    /// Such as `matrix`, or the price book's source and date.
    pub source: String,
}

pub(super) fn count(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        _ if noun.ends_with("batch") => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

/// Rounded to cents, or to two significant digits below one cent: `0.0040`.
pub(super) fn usd(amount: f64) -> String {
    let digits = if amount > 0.0 { (1.0 - amount.log10().floor()).clamp(2.0, 12.0) } else { 2.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "2 to 12")]
    let digits = digits as usize;
    format!("{amount:.digits$}")
}
