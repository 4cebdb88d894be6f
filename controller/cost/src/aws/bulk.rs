//! The bulk file of an offer: every product of a region, as AWS publishes it for download.

use super::passed_over::{PassedOver, Reason};
use super::product::{Candidates, Offers, Row, not_listed};
use super::{Error, Prices, Product, Service};
use chrono::{DateTime, NaiveDate};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Prices of one service and region, of the day on which AWS published them.
#[derive(Debug, Clone, PartialEq)]
pub struct Bulk {
    pub version: String,
    pub published: NaiveDate,
    pub prices: Prices,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    offer_code: String,
    version: String,
    publication_date: String,
    products: BTreeMap<String, Row<Product>>,
    #[serde(default)]
    terms: Terms,
}

#[derive(Default, Deserialize)]
struct Terms {
    #[serde(default, rename = "OnDemand")]
    on_demand: BTreeMap<String, Offers>,
}

/// Takes the on-demand prices of a service in a region out of a bulk file; of all instance types, or of `only` these.
///
/// # Errors
/// If the file as a whole is another one. A row without a price is passed over.
pub fn bulk(text: &str, service: Service, region: &str, only: &[String]) -> Result<Bulk, Error> {
    let form = |detail: String| Error::Form { detail };
    let file: File = serde_json::from_str(text).map_err(|error| form(error.to_string()))?;
    if file.offer_code != service.offer() {
        let (service, expected) = (service.as_str(), service.offer());
        return Err(Error::Offer { found: file.offer_code, service, expected });
    }
    let published = DateTime::parse_from_rfc3339(&file.publication_date)
        .map_err(|_| form(format!("invalid publicationDate `{}`", file.publication_date)))?
        .date_naive();
    let mut candidates = Candidates::new(service, published);
    let mut regions = BTreeSet::new();
    for (sku, product) in &file.products {
        let Row::Read(product) = product else {
            let (sku, reason) = (Some(sku.clone()), Reason::Malformed);
            candidates.pass_over(PassedOver { target: None, sku, reason });
            continue;
        };
        let Some(target) = service.target(product) else { continue };
        let in_region = product.attribute("regionCode");
        regions.extend(in_region);
        if in_region == Some(region)
            && (only.is_empty() || only.iter().any(|wanted| wanted == target))
        {
            candidates.add(target, product, file.terms.on_demand.get(sku));
        }
    }
    if candidates.targets().is_empty() && !regions.contains(region) {
        let (offer, service, region) = (file.offer_code, service.as_str(), region.to_owned());
        let found = regions.into_iter().map(str::to_owned).collect();
        return Err(Error::NoRegion { offer, service, region, found });
    }
    let unlisted = {
        let listed = candidates.targets();
        only.iter().filter(|wanted| !listed.contains(wanted.as_str())).cloned().collect::<Vec<_>>()
    };
    for target in unlisted {
        candidates.pass_over(not_listed(&target, service, region));
    }
    Ok(Bulk { version: file.version, published, prices: candidates.prices() })
}
