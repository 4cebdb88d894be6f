//! Estimates and a price become cost.
//!
//! In comes the text of a price book and what the statistics found; out go dollars that carry the
//! interval of the throughput they rest on, and the price with its source and date. Nothing is rounded
//! before it is multiplied. Files, the network and today's date stay outside.

#![forbid(unsafe_code)]

pub mod aws;
pub mod book;
pub mod campaign;
pub mod candidate;
pub mod decision;
pub mod list;
pub mod offered;
pub mod pareto;
pub mod price;
pub mod ranking;
pub mod rate;
pub mod request;

pub use book::PriceBook;
pub use candidate::Candidate;
pub use price::{Price, Terms};
pub use request::{
    usd_per_1000_good_requests, usd_per_1000_requests, usd_per_million_output_tokens,
};
