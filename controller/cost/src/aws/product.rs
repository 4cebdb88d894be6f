//! One product of a price list, and its hourly price.

use super::passed_over::{PassedOver, Reason};
use super::{Error, Service};
use chrono::{DateTime, NaiveDate};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Units of AWS's lists that are an hour, in lower case.
const HOUR: [&str; 4] = ["hrs", "hr", "hours", "hour"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Product {
    #[serde(default)]
    pub(super) sku: String,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

impl Product {
    pub(super) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.as_str()
    }
}

/// A row that can have another form, which must not end the reading of all others.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Row<T> {
    Read(T),
    Malformed(IgnoredAny),
}

impl<T: Default> Default for Row<T> {
    fn default() -> Self {
        Self::Read(T::default())
    }
}

pub(super) type Offers = Row<BTreeMap<String, Offer>>;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offer {
    #[serde(default)]
    effective_date: Value,
    #[serde(default)]
    price_dimensions: BTreeMap<String, Dimension>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    #[serde(default)]
    unit: Value,
    #[serde(default)]
    price_per_unit: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Listed {
    product: Product,
    #[serde(default)]
    terms: Terms,
}

#[derive(Default, Deserialize)]
struct Terms {
    #[serde(default, rename = "OnDemand")]
    on_demand: Offers,
}

/// Reads one product as `GetProducts` lists it: JSON in a text of its own.
pub fn product(text: &str) -> Result<(Product, OnDemand), Error> {
    let listed: Listed =
        serde_json::from_str(text).map_err(|error| Error::Form { detail: error.to_string() })?;
    Ok((listed.product, OnDemand(listed.terms.on_demand)))
}

#[derive(Debug, Clone, PartialEq)]
pub struct OnDemand(Offers);

/// The price of `target` on a day, of which `found` are all products that the filters left. There is at least one
/// reason if there is no price.
pub fn price_of(
    target: &str,
    service: Service,
    region: &str,
    day: NaiveDate,
    found: &[(Product, OnDemand)],
) -> Prices {
    let mut candidates = Candidates::new(service, day);
    for (product, on_demand) in found {
        if service.target(product) == Some(target) {
            candidates.add(target, product, Some(&on_demand.0));
        }
    }
    if candidates.targets().is_empty() {
        candidates.pass_over(not_listed(target, service, region));
    }
    candidates.prices()
}

pub(super) fn not_listed(target: &str, service: Service, region: &str) -> PassedOver {
    let reason = Reason::NotListed { service: service.as_str(), region: region.to_owned() };
    PassedOver { target: Some(target.to_owned()), sku: None, reason }
}

/// The prices of instance types, and the rows that give none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    pub usd_per_hour: BTreeMap<String, f64>,
    pub passed_over: Vec<PassedOver>,
}

/// Products of a service and region, gathered to find the instance types with exactly one price.
#[derive(Debug)]
pub(super) struct Candidates {
    service: Service,
    /// The day of the prices.
    day: NaiveDate,
    by_target: BTreeMap<String, Vec<Candidate>>,
    passed_over: Vec<PassedOver>,
}

#[derive(Debug)]
struct Candidate {
    usd: f64,
    usage_type: String,
}

impl Candidates {
    pub(super) fn new(service: Service, day: NaiveDate) -> Self {
        Self { service, day, by_target: BTreeMap::new(), passed_over: Vec::new() }
    }

    /// Adds a product whose instance type is `target`.
    pub(super) fn add(&mut self, target: &str, product: &Product, offers: Option<&Offers>) {
        let Hourly { usd, reasons } = match self.service.other_market(product) {
            Some(found) => Hourly::without(Reason::MarketOption { found: found.to_owned() }),
            None => hourly(offers, self.day),
        };
        let row = |reason| PassedOver {
            target: Some(target.to_owned()),
            sku: Some(product.sku.clone()),
            reason,
        };
        self.passed_over.extend(reasons.into_iter().map(row));
        if let Some(usd) = usd {
            let usage_type = product.attribute("usagetype").unwrap_or(&product.sku).to_owned();
            self.by_target
                .entry(target.to_owned())
                .or_default()
                .push(Candidate { usd, usage_type });
        }
    }

    pub(super) fn pass_over(&mut self, row: PassedOver) {
        self.passed_over.push(row);
    }

    /// The instance types that have a row, with a price or without.
    pub(super) fn targets(&self) -> BTreeSet<&str> {
        let passed_over = self.passed_over.iter().filter_map(|row| row.target.as_deref());
        self.by_target.keys().map(String::as_str).chain(passed_over).collect()
    }

    pub(super) fn prices(self) -> Prices {
        let mut prices = Prices { passed_over: self.passed_over, ..Prices::default() };
        for (target, candidates) in self.by_target {
            if let [Candidate { usd, .. }] = candidates[..] {
                prices.usd_per_hour.insert(target, usd);
            } else {
                let usage_types = candidates.into_iter().map(|found| found.usage_type).collect();
                let reason = Reason::SeveralProducts { usage_types };
                prices.passed_over.push(PassedOver { target: Some(target), sku: None, reason });
            }
        }
        prices
    }
}

/// The price of one product, and a reason for each dimension that isn't its price.
struct Hourly {
    usd: Option<f64>,
    reasons: Vec<Reason>,
}

impl Hourly {
    fn without(reason: Reason) -> Self {
        Self { usd: None, reasons: vec![reason] }
    }
}

/// The one hourly price in USD that is in force on `day`.
fn hourly(offers: Option<&Offers>, day: NaiveDate) -> Hourly {
    let offers = match offers {
        None => return Hourly::without(Reason::NoTerms),
        Some(Row::Malformed(_)) => return Hourly::without(Reason::Malformed),
        Some(Row::Read(offers)) => offers,
    };
    let mut reasons = Vec::new();
    let mut in_force: BTreeMap<Option<NaiveDate>, Vec<f64>> = BTreeMap::new();
    for offer in offers.values() {
        let from = offer.effective_date.as_str().and_then(date);
        for dimension in offer.price_dimensions.values() {
            match (dimension.usd_per_hour(), from) {
                (Err(reason), _) => reasons.push(reason),
                (Ok(usd), Some(from)) if from > day => {
                    reasons.push(Reason::NotYet { usd, from, day });
                }
                (Ok(usd), from) => in_force.entry(from).or_default().push(usd),
            }
        }
    }
    let Some((newest, current)) = in_force.pop_last() else {
        if reasons.is_empty() {
            reasons.push(Reason::NoTerms);
        }
        return Hourly { usd: None, reasons };
    };
    if let Some(by) = newest {
        let replaced = in_force.into_values().flatten();
        reasons.extend(replaced.map(|usd| Reason::Replaced { usd, by }));
    }
    match current[..] {
        [usd] => Hourly { usd: Some(usd), reasons },
        _ => {
            reasons.push(Reason::SeveralPrices { usd: current });
            Hourly { usd: None, reasons }
        }
    }
}

fn date(text: &str) -> Option<NaiveDate> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.date_naive())
}

impl Dimension {
    /// Zero dollars are free tiers and reservations: no price.
    fn usd_per_hour(&self) -> Result<f64, Reason> {
        let unit = self.unit.as_str().unwrap_or("none");
        if !HOUR.contains(&unit.to_lowercase().as_str()) {
            return Err(Reason::Unit { found: unit.to_owned() });
        }
        let price = match self.price_per_unit.get("USD") {
            Some(price) => price,
            None if self.price_per_unit.is_empty() => &Value::Null,
            None => {
                let found = self.price_per_unit.keys().cloned().collect();
                return Err(Reason::Currency { found });
            }
        };
        let (found, usd) = match price {
            Value::String(text) => (text.clone(), text.trim().parse().ok()),
            Value::Null => ("none".to_owned(), None),
            other => (other.to_string(), other.as_f64()),
        };
        usd.filter(|usd: &f64| usd.is_finite() && *usd > 0.0).ok_or(Reason::Value { found })
    }
}
