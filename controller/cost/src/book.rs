//! A price book: TOML lists of prices, each list has the prices of one source on one day.
//!
//! ```toml
//! version = 1
//!
//! [[list]]
//! provider         = "aws"
//! service          = "sagemaker-hosting"   # hosting, ec2 and batch transform are different services
//! region           = "us-east-1"
//! region_assumed   = false                 # optional: the source leaves the region open
//! operating_system = "linux"
//! purchase         = "on-demand"
//! currency         = "USD"
//! source           = "AWS Price List API"
//! date             = 2026-09-28
//! usd_per_hour     = { "ml.m5.xlarge" = 0.23 }
//! ```
//!
//! For one target on one set of terms the newest price wins; two of one day must agree.

use super::price::{Price, Terms};
use chrono::NaiveDate;
use std::collections::BTreeMap;
use toml::{Table, Value};

pub const VERSION: i64 = 1;

#[derive(Debug, Clone, PartialEq)]
pub struct PriceBook {
    name: String,
    prices: BTreeMap<(String, Terms), Price>,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    #[error("{name} is not TOML: {detail}")]
    Syntax { name: String, detail: String },
    /// Each problem with its TOML path.
    #[error("{name} is invalid:\n  {}", problems.join("\n  "))]
    Content { name: String, problems: Vec<String> },
    /// `instead`: other terms for this target, or targets with a similar name.
    #[error(
        "no price for {target} ({terms}) in {name}{}\n  set `usd_per_hour` for the target in the matrix, or add it to a price book:\n  \
         [[list]] with service = \"{}\", region = \"{}\", purchase = \"{}\", source, date and\n  usd_per_hour = {{ \"{target}\" = ... }}",
        nearest(instead), terms.service, terms.region, terms.purchase
    )]
    Unknown { name: String, target: String, terms: Box<Terms>, instead: Vec<String> },
}

fn nearest(instead: &[String]) -> String {
    if instead.is_empty() { String::new() } else { format!("; it has {}", instead.join("; ")) }
}

impl PriceBook {
    /// Reads the text of a book; `name` is what errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let raw: Table = text.parse().map_err(|error: toml::de::Error| Error::Syntax {
            name: name.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        check(name, &raw).map_err(|problems| Error::Content { name: name.to_owned(), problems })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its targets and their prices, by name and terms.
    pub fn prices(&self) -> impl Iterator<Item = (&str, &Price)> {
        self.prices.iter().map(|((target, _), price)| (target.as_str(), price))
    }

    /// What an hour of `target` costs on these terms.
    pub fn lookup(&self, target: &str, terms: &Terms) -> Result<&Price, Error> {
        let unknown = || Error::Unknown {
            name: self.name.clone(),
            target: target.to_owned(),
            terms: Box::new(terms.clone()),
            instead: self.instead(target),
        };
        self.prices.get(&(target.to_owned(), terms.clone())).ok_or_else(unknown)
    }

    fn instead(&self, target: &str) -> Vec<String> {
        let words = |is_it: &dyn Fn(&str) -> bool, most| -> Vec<String> {
            let found = self.prices.keys().filter(|(name, _)| is_it(name)).take(most);
            found.map(|(name, terms)| format!("{name} ({terms})")).collect()
        };
        let other_terms = words(&|name| name == target, usize::MAX);
        if !other_terms.is_empty() {
            return other_terms;
        }
        words(&|name| strsim::jaro_winkler(name, target) > 0.93, 3)
    }
}

fn check(name: &str, raw: &Table) -> Result<PriceBook, Vec<String>> {
    let mut problems = Vec::new();
    let mut top = Fields { path: String::new(), table: raw, problems: &mut problems };
    top.only(&["version", "list"]);
    if raw.get("version").and_then(Value::as_integer) != Some(VERSION) {
        problems.push(format!("version: expected {VERSION}"));
    }
    let lists = raw.get("list").map_or(Some(&[][..]), |list| list.as_array().map(Vec::as_slice));
    if lists.is_none() {
        problems.push("list: expected an array of tables ([[list]])".to_owned());
    }
    // By day, so that two prices of one day are found whatever came after them.
    let mut by_day: ByDay = BTreeMap::new();
    for (index, list) in lists.unwrap_or_default().iter().enumerate() {
        let path = format!("list[{index}]");
        let Value::Table(table) = list else {
            problems.push(format!("{path}: expected a table"));
            continue;
        };
        for (target, price) in
            read_list(Fields { path: path.clone(), table, problems: &mut problems })
        {
            let path = format!("{path}.usd_per_hour.\"{target}\"");
            insert(&mut by_day, target, price, path, &mut problems);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let newest =
        |(key, days): (_, BTreeMap<_, (Price, _)>)| Some((key, days.into_values().next_back()?.0));
    let prices = by_day.into_iter().filter_map(newest).collect();
    Ok(PriceBook { name: name.to_owned(), prices })
}

/// The prices of a target on its terms by day, each with its TOML path.
type ByDay = BTreeMap<(String, Terms), BTreeMap<NaiveDate, (Price, String)>>;

fn insert(
    by_day: &mut ByDay,
    target: String,
    price: Price,
    path: String,
    problems: &mut Vec<String>,
) {
    let days = by_day.entry((target, price.terms())).or_default();
    match days.get(&price.date) {
        Some((known, where_known))
            if known.usd_per_hour.to_bits() != price.usd_per_hour.to_bits() =>
        {
            problems.push(format!(
                "{path}: {} USD per hour, but {where_known} has {} on the same day, {}",
                price.usd_per_hour, known.usd_per_hour, price.date
            ));
        }
        Some(_) => {}
        None => {
            days.insert(price.date, (price, path));
        }
    }
}

fn read_list(mut fields: Fields<'_>) -> Vec<(String, Price)> {
    fields.only(&[
        "provider",
        "service",
        "region",
        "region_assumed",
        "operating_system",
        "purchase",
        "currency",
        "source",
        "date",
        "usd_per_hour",
    ]);
    let texts =
        ["provider", "service", "region", "operating_system", "purchase", "currency", "source"]
            .map(|key| fields.text(key));
    let region_assumed = fields.flag("region_assumed");
    let date = fields.date("date");
    let hours = fields.prices("usd_per_hour");
    if let Some(currency) = &texts[5]
        && currency != "USD"
    {
        fields.problem("currency", format!("unsupported currency `{currency}`: expected USD"));
    }
    let (
        [
            Some(provider),
            Some(service),
            Some(region),
            Some(operating_system),
            Some(purchase),
            Some(currency),
            Some(source),
        ],
        Some(date),
    ) = (texts, date)
    else {
        return Vec::new();
    };
    let price = |usd_per_hour| Price {
        provider: provider.clone(),
        service: service.clone(),
        region: region.clone(),
        region_assumed,
        operating_system: operating_system.clone(),
        purchase: purchase.clone(),
        currency: currency.clone(),
        usd_per_hour,
        source: source.clone(),
        date,
    };
    hours.into_iter().map(|(target, usd_per_hour)| (target, price(usd_per_hour))).collect()
}

struct Fields<'a> {
    path: String,
    table: &'a Table,
    problems: &'a mut Vec<String>,
}

impl Fields<'_> {
    fn problem(&mut self, key: &str, what: impl std::fmt::Display) {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.problems.push(format!("{}{dot}{key}: {what}", self.path));
    }

    fn only(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(key, format!("unknown key; expected one of {}", known.join(", ")));
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.get(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text.clone()),
            Some(_) => self.problem(key, "expected a string"),
            None => self.problem(key, "missing"),
        }
        None
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.table.get(key) {
            Some(Value::Boolean(flag)) => return *flag,
            Some(_) => self.problem(key, "expected true or false"),
            None => {}
        }
        false
    }

    fn date(&mut self, key: &str) -> Option<NaiveDate> {
        let found = match self.table.get(key) {
            Some(Value::Datetime(date)) => date.to_string(),
            Some(Value::String(date)) => date.clone(),
            Some(_) => String::new(),
            None => {
                self.problem(key, "missing");
                return None;
            }
        };
        let date = NaiveDate::parse_from_str(&found, "%Y-%m-%d").ok();
        if date.is_none() {
            self.problem(key, "expected a date such as 2026-09-28");
        }
        date
    }

    fn prices(&mut self, key: &str) -> Vec<(String, f64)> {
        let Some(Value::Table(table)) = self.table.get(key) else {
            self.problem(key, "expected a table such as { \"ml.m5.xlarge\" = 0.23 }");
            return Vec::new();
        };
        let mut prices = Vec::new();
        for (target, value) in table {
            let price = match value {
                Value::Float(price) => Some(*price),
                Value::Integer(price) => Some(*price as f64),
                _ => None,
            };
            match price.filter(|price| price.is_finite() && *price > 0.0) {
                Some(price) => prices.push((target.clone(), price)),
                None => {
                    self.problem(&format!("{key}.\"{target}\""), "expected a number above zero");
                }
            }
        }
        prices
    }
}
