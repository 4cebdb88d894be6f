//! One view of a campaign -> JSON, Parquet, a table. Pure: bytes and text come out, and `commands/` writes them.
//!
//! Every format is drawn from the same [`view::Results`], so they can't tell different stories.

pub mod annotations;
mod capacity;
pub mod chart;
pub mod compare;
mod conditions;
pub mod csv;
pub mod document;
mod endpoint;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod number;
mod pairs;
pub mod parquet;
pub mod pdf;
mod summary;
pub mod table;
pub mod typeface;
pub mod view;
mod view_of;

pub use view::Results;
pub use view_of::{
    Files, Observed, Observing, Read, Scorer, SustainedLoads, Windows, observation, precision_rule,
    view_of,
};

#[cfg(test)]
mod tests;
