//! A traffic file, and the recorded trace that it names -> arrival times, rates by hour, and summaries.
//!
//! Pure: text and bytes come in, and seeds are arguments. Times are seconds since the beginning of the simulated
//! period: Monday or midnight of a profile, the first request of a trace.

#![forbid(unsafe_code)]

mod arrivals;
mod demand;
mod file;
mod profile;
mod reader;
mod summary;
mod time;
pub mod trace;

pub use arrivals::{Arrivals, Request};
pub use demand::{Demand, Slots};
pub use file::{
    Error, Fleet, Objective, Platform, PolicyKind, Routing, Serverless, Source, TrafficFile,
};
pub use profile::Profile;
pub use summary::{Dispersion, Summary};
pub use trace::Trace;
