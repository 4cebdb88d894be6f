//! The Parquet files of a campaign: samples written and read back, and cells.

mod cells;
pub mod read;
mod samples;

pub use cells::write_cells;
pub use samples::{Names, SamplesWriter};
