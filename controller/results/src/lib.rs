//! A stored campaign -> [`Results`]: the types of results.json, built from rows, and samples as Parquet.
//!
//! Pure: bytes and text come out, and the controller's commands write them. Every report is made from [`Results`].

#![forbid(unsafe_code)]

pub mod build;
mod capacity;
pub mod conditions;
pub mod json;
mod offered_load;
pub mod parquet;
mod schema;

pub use capacity::{CapacityOf, CapacitySearch};
pub use matrix::{Scale, Varied};
pub use offered_load::{Load, RateAt, ReplayedLengths, ReplayedTrace};
pub use schema::*;
