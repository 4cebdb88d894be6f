//! Measured batch times, traffic and prices -> simulated fleets, their cost, and the one to choose.
//!
//! Pure: seeds are arguments, and numbers and codes come out. Every figure of a fleet is a prediction: the batch times
//! are measured, and queueing, scaling and the month are simulated. docs/decide.md describes the model.

#![forbid(unsafe_code)]

mod batch_times;
pub mod calibration;
pub mod candidate;
mod curve;
pub mod decision;
pub mod manifests;
pub mod options;
pub mod prediction;
mod serverless;
pub mod simulation;

pub use calibration::Calibrated;
pub use candidate::{CandidateFacts, NotSimulated, NotSimulatedBecause};
pub use decision::{
    Caveat, Decision, ENOUGH_RUNS, FirstTwo, Input, LEAST_SIMULATIONS, MeasureNext, Nothing,
    SCHEMA_VERSION, TrafficFacts, decide,
};
pub use prediction::{
    Attained, BaseOfChoice, Choice, HOURS_OF_MONTH, HourOfPeriod, Predicted, SizedPolicy,
};
