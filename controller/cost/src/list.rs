//! A list of a price book as TOML: the prices of one source on one day.

use super::price::Terms;
use chrono::NaiveDate;
use std::{collections::BTreeMap, fmt};

#[derive(Debug, Clone, PartialEq)]
pub struct PriceList {
    pub provider: String,
    pub terms: Terms,
    pub operating_system: String,
    pub source: String,
    pub date: NaiveDate,
    pub usd_per_hour: BTreeMap<String, f64>,
}

impl fmt::Display for PriceList {
    /// The TOML of a book. JSON strings are valid TOML strings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        writeln!(f, "[[list]]")?;
        writeln!(f, "provider = {}", text(&self.provider))?;
        writeln!(f, "service = {}", text(&self.terms.service))?;
        writeln!(f, "region = {}", text(&self.terms.region))?;
        writeln!(f, "operating_system = {}", text(&self.operating_system))?;
        writeln!(f, "purchase = {}", text(&self.terms.purchase))?;
        writeln!(f, "currency = \"USD\"")?;
        writeln!(f, "source = {}", text(&self.source))?;
        writeln!(f, "date = {}", self.date)?;
        writeln!(f, "\n[list.usd_per_hour]")?;
        self.usd_per_hour
            .iter()
            .try_for_each(|(target, usd)| writeln!(f, "{} = {usd}", text(target)))
    }
}
