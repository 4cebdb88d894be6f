//! AWS's price lists: products and their terms -> prices of a book. Pure: files and the network stay outside.
//!
//! The bulk file and the Price List API hold the same products and terms in two frames. An instance type gets a price
//! only if exactly one product and one hourly dimension have one; several mean that a filter is missing, and a
//! guess would be somebody's money. Every other row is passed over with its reason, so that it doesn't end the others.
//! Format: AWS Price List, `formatVersion` `v1.0` and `aws_v1`.

mod bulk;
mod passed_over;
mod product;
mod service;

pub use bulk::{Bulk, bulk};
pub use passed_over::{PassedOver, Reason, lines};
pub use product::{Prices, Product, price_of, product};
pub use service::Service;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not an AWS price list: {detail}")]
    Form { detail: String },
    #[error("price list is for {found}, but prices of {service} are in the list for {expected}")]
    Offer { found: String, service: &'static str, expected: &'static str },
    #[error("price list of {offer} has no {service} in {region}{}", passed_over::regions(found))]
    NoRegion {
        offer: String,
        service: &'static str,
        region: String,
        /// The regions in which it has that service.
        found: Vec<String>,
    },
}
