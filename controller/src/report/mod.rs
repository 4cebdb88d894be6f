//! One view of a campaign -> JSON, Parquet, a table. Pure: bytes and text come out, and `commands/` writes them.
//!
//! Every format is drawn from the same [`view::Results`], so they can't tell different stories.

pub mod json;
pub mod notes;
pub mod parquet;
pub mod table;
pub mod view;
mod view_of;

pub use view::Results;
pub use view_of::{Read, view_of};
