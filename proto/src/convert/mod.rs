//! Wire types <-> domain types, one file per message family.

mod endpoint;
mod engine;
mod failure;
mod generation;
mod histogram;
mod host;
mod instruments;
mod load;
mod sample;
mod segment;
mod telemetry;
mod version;

pub use sample::SampleError;

/// An empty string of proto3 is "not given".
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
