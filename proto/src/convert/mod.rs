//! Wire types <-> checked domain types, a file per message family. What the wire can't promise is checked here.

mod endpoint;
mod engine;
mod failure;
mod generation;
mod histogram;
mod instruments;
mod load;
mod sample;
mod telemetry;
mod version;

pub use sample::SampleError;

/// proto3's empty text is "not given".
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
