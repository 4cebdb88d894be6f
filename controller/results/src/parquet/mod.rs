//! The Parquet files of a campaign: samples, their texts and windows of telemetry, written and read back, and cells.

mod cells;
mod column_reader;
mod columns;
pub mod read;
mod samples;
pub mod stored;
mod telemetry;
mod texts;

pub use cells::write_cells;
pub use samples::{Names, SamplesWriter};
pub use telemetry::TelemetryWriter;
pub use texts::TextsWriter;
