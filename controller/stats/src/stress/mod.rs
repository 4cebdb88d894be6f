//! A sustained run becomes verdicts: does it drift, is it throttled, does it leak, do others disturb it?
//!
//! In come figures by window of time, out go findings with their interval, the smallest effect that would have
//! been found, and how much longer to measure where the data is inconclusive. Formulas, sources and how often they
//! are right: docs/stress.md.

pub mod change;
pub mod detectable;
pub mod drift;
pub mod estimates;
pub mod finding;
pub mod influence;
pub mod interference;
pub mod judge;
pub mod leak;
pub mod observed;
pub mod robust;
pub mod slope;
pub mod steady;
pub mod throttling;
pub mod window;

pub use drift::Drift;
pub use finding::Finding;
pub use interference::Interference;
pub use judge::{Conditions, Verdicts, judge};
pub use leak::Leak;
pub use throttling::Throttling;
pub use window::{Device, Observed, Window, Windows};

/// The chance with which the printed minimum detectable effect is found.
pub const POWER: f64 = 0.9;
