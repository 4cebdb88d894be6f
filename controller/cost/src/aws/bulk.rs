//! The bulk file of an offer: every product of a region, as AWS publishes it for download.

use super::product::{Offers, hourly};
use super::{Error, Product, Service};
use chrono::{DateTime, NaiveDate};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Prices of one service and region, of the day on which AWS published them.
#[derive(Debug, Clone, PartialEq)]
pub struct Bulk {
    pub version: String,
    pub published: NaiveDate,
    pub usd_per_hour: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    offer_code: String,
    version: String,
    publication_date: String,
    products: BTreeMap<String, Product>,
    terms: Terms,
}

#[derive(Deserialize)]
struct Terms {
    #[serde(default, rename = "OnDemand")]
    on_demand: BTreeMap<String, Offers>,
}

/// Takes the on-demand prices of a service in a region out of a bulk file; of all instance types, or of `only` these.
pub fn bulk(text: &[u8], service: Service, region: &str, only: &[String]) -> Result<Bulk, Error> {
    let form = |detail: String| Error::Form { detail };
    let file: File = serde_json::from_slice(text).map_err(|error| form(error.to_string()))?;
    if file.offer_code != service.offer() {
        let (service, expected) = (service.as_str(), service.offer());
        return Err(Error::Offer { found: file.offer_code, service, expected });
    }
    let published = DateTime::parse_from_rfc3339(&file.publication_date)
        .map_err(|_| form(format!("invalid publicationDate `{}`", file.publication_date)))?;
    let mut by_target: BTreeMap<&str, Vec<&Product>> = BTreeMap::new();
    for product in file.products.values() {
        let in_region = product.attributes.get("regionCode").is_some_and(|code| code == region);
        let target = service.target(product).filter(|_| in_region);
        if let Some(target) =
            target.filter(|&target| only.is_empty() || only.iter().any(|one| one == target))
        {
            by_target.entry(target).or_default().push(product);
        }
    }
    let named = |target: &str| (target.to_owned(), service.as_str(), region.to_owned());
    if let Some(missing) = only.iter().find(|one| !by_target.contains_key(one.as_str())) {
        let (target, service, region) = named(missing);
        return Err(Error::NoProduct { target, service, region });
    }
    let mut usd_per_hour = BTreeMap::new();
    for (target, products) in by_target {
        let [product] = products[..] else {
            let usage_type = |product: &&Product| {
                product.attributes.get("usagetype").cloned().unwrap_or_default()
            };
            let usage_types = products.iter().map(usage_type).collect();
            let (target, service, region) = named(target);
            return Err(Error::SeveralProducts { target, service, region, usage_types });
        };
        let none = Offers::new();
        let offers = file.terms.on_demand.get(&product.sku).unwrap_or(&none);
        usd_per_hour.insert(target.to_owned(), hourly(target, &product.sku, offers)?);
    }
    if usd_per_hour.is_empty() {
        return Err(form(format!("no {} in {region}", service.as_str())));
    }
    Ok(Bulk { version: file.version, published: published.date_naive(), usd_per_hour })
}
