//! AWS's price lists: products and their terms -> prices of a book. Pure: files and the network stay outside.
//!
//! The bulk file and the Price List API hold the same products and terms in two frames. A price is taken only where
//! exactly one product and one hourly dimension match; several mean that a filter is missing, and a
//! guess would be somebody's money. Format: AWS Price List, `formatVersion` `v1.0` and `aws_v1`.

mod bulk;
mod product;
mod service;

pub use bulk::{Bulk, bulk};
pub use product::{Product, price_of, product};
pub use service::Service;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not an AWS price list: {detail}")]
    Form { detail: String },
    #[error("price list is for {found}, but prices of {service} are in the list for {expected}")]
    Offer { found: String, service: &'static str, expected: &'static str },
    #[error(
        "AWS has no price for {target} as {service} in {region}; check the instance type and the region"
    )]
    NoProduct { target: String, service: &'static str, region: String },
    #[error("{} products match {target} as {service} in {region}, expected one: {}", usage_types.len(), usage_types.join(", "))]
    SeveralProducts {
        target: String,
        service: &'static str,
        region: String,
        usage_types: Vec<String>,
    },
    #[error(
        "{target} has {found} hourly on-demand prices above zero in USD, expected one: SKU {sku}"
    )]
    Dimensions { target: String, sku: String, found: usize },
}
