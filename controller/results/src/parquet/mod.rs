//! The Parquet files of a campaign: samples written and read back, windows of telemetry, and cells.

mod cells;
mod columns;
pub mod read;
mod samples;
mod telemetry;

pub use cells::write_cells;
pub use samples::{Names, SamplesWriter};
pub use telemetry::TelemetryWriter;
