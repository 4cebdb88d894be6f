//! The harness of the scenarios: builds the programs, runs them in temporary folders, and reads their
//! results.

pub mod aws;
pub mod bad_endpoint;
pub mod collector;
pub mod generate;
pub mod hub;
pub mod kills;
mod process;
mod programs;
pub mod s3;
pub mod sagemaker;
mod samples;
pub mod scripted;
pub mod serving;
pub mod strangers;
pub mod waiting;
mod workspace;

pub use process::{Finished, JoinCommand, Running, children_of, option, signal};
pub use programs::{library, program, repository};
pub use samples::{Row, columns, counted};
pub use workspace::Workspace;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Exclusive use of the processor. Scenarios that saturate it hold this guard, and so do scenarios whose
/// result depends on real time, so that the former never disturb the latter. All others run in parallel.
pub fn processor() -> MutexGuard<'static, ()> {
    static PROCESSOR: Mutex<()> = Mutex::new(());
    PROCESSOR.lock().unwrap_or_else(PoisonError::into_inner)
}
