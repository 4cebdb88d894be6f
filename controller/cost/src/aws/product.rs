//! One product of a price list, and its hourly price.

use super::{Error, Service};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Product {
    pub sku: String,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

pub(super) type Offers = BTreeMap<String, Offer>;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offer {
    #[serde(default)]
    price_dimensions: BTreeMap<String, Dimension>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    unit: String,
    #[serde(default)]
    price_per_unit: BTreeMap<String, String>,
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
pub struct OnDemand(pub(super) Offers);

/// US dollars per hour of `target`, of which `found` are all products that the filters left.
pub fn price_of(
    target: &str,
    service: Service,
    region: &str,
    found: &[(Product, OnDemand)],
) -> Result<f64, Error> {
    let of_service: Vec<_> =
        found.iter().filter(|(product, _)| service.target(product) == Some(target)).collect();
    let (target, service, region) = (target.to_owned(), service.as_str(), region.to_owned());
    match of_service[..] {
        [] => Err(Error::NoProduct { target, service, region }),
        [(product, on_demand)] => hourly(&target, &product.sku, &on_demand.0),
        _ => {
            let usage_type = |(product, _): &&(Product, OnDemand)| {
                product.attributes.get("usagetype").unwrap_or(&product.sku).clone()
            };
            let usage_types = of_service.iter().map(usage_type).collect();
            Err(Error::SeveralProducts { target, service, region, usage_types })
        }
    }
}

/// The one hourly dimension in USD. Rows of zero dollars are free tiers and reservations: no price.
pub(super) fn hourly(target: &str, sku: &str, offers: &Offers) -> Result<f64, Error> {
    let dimensions = offers.values().flat_map(|offer| offer.price_dimensions.values());
    let hourly = dimensions.filter(|dimension| dimension.unit.eq_ignore_ascii_case("hrs"));
    let usd = |dimension: &Dimension| dimension.price_per_unit.get("USD")?.parse::<f64>().ok();
    let prices: Vec<f64> =
        hourly.filter_map(usd).filter(|usd| usd.is_finite() && *usd > 0.0).collect();
    match prices[..] {
        [price] => Ok(price),
        _ => Err(Error::Dimensions {
            target: target.to_owned(),
            sku: sku.to_owned(),
            found: prices.len(),
        }),
    }
}
