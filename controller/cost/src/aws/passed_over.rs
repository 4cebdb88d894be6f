//! Rows of a price list that give no price, each with its reason.

use chrono::NaiveDate;
use model::text::plain;
use std::{collections::BTreeMap, fmt};

/// A row of the wanted service and region that gives no price, or one that can't be read.
#[derive(Debug, Clone, PartialEq)]
pub struct PassedOver {
    /// The instance type; `None` if the row is malformed.
    pub target: Option<String>,
    /// `None` if the reason is not one of a single product.
    pub sku: Option<String>,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Reason {
    #[error("market option {}, expected OnDemand", short(found))]
    MarketOption { found: String },
    #[error("no on-demand terms")]
    NoTerms,
    #[error("unit {}, expected Hrs", short(found))]
    Unit { found: String },
    #[error("currency {}, expected USD", shortened(found))]
    Currency { found: Vec<String> },
    #[error("price {}, expected USD above zero", short(found))]
    Value { found: String },
    #[error("{usd} USD per hour takes effect on {from}, after {day}")]
    NotYet { usd: f64, from: NaiveDate, day: NaiveDate },
    #[error("{usd} USD per hour is replaced by a price of {by}")]
    Replaced { usd: f64, by: NaiveDate },
    #[error("{} hourly prices, expected one: {}", usd.len(), shortened(usd))]
    SeveralPrices { usd: Vec<f64> },
    /// The filters for a service leave more than one product with a price.
    #[error("{} products match, expected one: {}", usage_types.len(), shortened(usage_types))]
    SeveralProducts { usage_types: Vec<String> },
    #[error(
        "AWS has no price for it as {service} in {region}; check the instance type and the region"
    )]
    NotListed { service: &'static str, region: String },
    #[error("not in the format of an AWS price list")]
    Malformed,
}

impl Reason {
    /// What the reason is about, in one or two words.
    fn kind(&self) -> &'static str {
        match self {
            Self::MarketOption { .. } => "market option",
            Self::NoTerms => "no terms",
            Self::Unit { .. } => "unit",
            Self::Currency { .. } => "currency",
            Self::Value { .. } => "price",
            Self::NotYet { .. } | Self::Replaced { .. } => "date",
            Self::SeveralPrices { .. } => "several prices",
            Self::SeveralProducts { .. } => "several products",
            Self::NotListed { .. } => "not listed",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.target, &self.sku) {
            (Some(target), Some(sku)) => write!(f, "{} (SKU {})", short(target), short(sku))?,
            (Some(target), None) => f.write_str(&short(target))?,
            (None, Some(sku)) => write!(f, "SKU {}", short(sku))?,
            (None, None) => f.write_str("a row")?,
        }
        write!(f, ": {}", self.reason)
    }
}

/// One line for each of the first `most` rows, and one that counts the reasons of the others.
pub fn lines(rows: &[PassedOver], most: usize) -> Vec<String> {
    let (shown, others) = rows.split_at(rows.len().min(most));
    let mut lines: Vec<String> = shown.iter().map(ToString::to_string).collect();
    if !others.is_empty() {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for row in others {
            *kinds.entry(row.reason.kind()).or_default() += 1;
        }
        let kinds: Vec<String> =
            kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        lines.push(format!("and {} more: {}", others.len(), kinds.join(", ")));
    }
    lines
}

/// `; it has it in eu-west-3`, or nothing.
pub(super) fn regions(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!("; it has it in {}", shortened(found)) }
}

/// A text of a file, for display. The names in AWS's lists are shorter.
fn short(text: &str) -> String {
    const MOST_CHARS: usize = 48;
    let plain = plain(text, MOST_CHARS);
    if text.chars().count() > MOST_CHARS { format!("{plain}…") } else { plain }
}

fn shortened<T: ToString>(items: &[T]) -> String {
    const MOST_ITEMS: usize = 4;
    let shown = items.iter().take(MOST_ITEMS).map(|item| short(&item.to_string()));
    let dots = (items.len() > MOST_ITEMS).then(|| "…".to_owned());
    shown.chain(dots).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(reason: Reason) -> PassedOver {
        PassedOver { target: Some("ml.p5".to_owned()), sku: Some("A".to_owned()), reason }
    }

    #[test]
    fn a_long_list_ends_with_the_count_of_the_other_reasons() {
        let unit = || row(Reason::Unit { found: "GB-Mo".to_owned() });
        let rows = [unit(), unit(), row(Reason::NoTerms), unit()];
        assert_eq!(
            lines(&rows, 1),
            ["ml.p5 (SKU A): unit GB-Mo, expected Hrs", "and 3 more: 1 no terms, 2 unit"]
        );
        assert_eq!(lines(&rows, 4).len(), 4);
        assert_eq!(lines(&[], 4), [""; 0]);
    }

    #[test]
    fn texts_of_the_file_are_bounded_and_plain() {
        let found = vec!["\u{1b}[2J".to_owned() + &"x".repeat(1000); 100];
        let text = row(Reason::Currency { found }).to_string();
        assert!(text.chars().count() < 300 && !text.contains('\u{1b}'), "{text}");
    }
}
