//! AWS's price lists: products and their terms -> prices of a book. Pure: files and the network stay outside.
//!
//! The bulk file and the Price List API hold the same products and terms in two frames. A price is taken only where
//! exactly one product and one hourly dimension stand behind it; several mean that a filter is missing, and a
//! guess would be somebody's money. Format: AWS Price List, `formatVersion` `v1.0` and `aws_v1`.

mod bulk;
mod product;
mod service;

pub use bulk::{Bulk, bulk};
pub use product::{Product, price_of, product};
pub use service::Service;

/// A price can't be taken from what AWS says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not of the form.
    #[error("not an AWS price list: {detail}")]
    Form {
        /// What is wrong.
        detail: String,
    },
    /// Another offer than the service that was asked for.
    #[error(
        "this price list is for {found}, but prices of {service} are in the list for {expected}"
    )]
    Offer {
        /// As the file says.
        found: String,
        /// What was asked for.
        service: &'static str,
        /// Where it stands.
        expected: &'static str,
    },
    /// No product.
    #[error(
        "AWS has no price for {target} as {service} in {region}: check its name and the region"
    )]
    NoProduct {
        /// The instance type.
        target: String,
        /// What it is bought as.
        service: &'static str,
        /// Where.
        region: String,
    },
    /// Several products.
    #[error("{} products match {target} as {service} in {region}, expected one: {}", usage_types.len(), usage_types.join(", "))]
    SeveralProducts {
        /// The instance type.
        target: String,
        /// What it is bought as.
        service: &'static str,
        /// Where.
        region: String,
        /// Of the products.
        usage_types: Vec<String>,
    },
    /// No hourly dimension, or several.
    #[error(
        "{target} has {found} hourly on-demand prices above zero in USD, expected one: SKU {sku}"
    )]
    Dimensions {
        /// The instance type.
        target: String,
        /// The product.
        sku: String,
        /// How many there are.
        found: usize,
    },
}
