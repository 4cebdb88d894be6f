//! Agents as SageMaker's processing jobs, one a job: a matrix and a place -> requests -> jobs that are always stopped.
//!
//! [`request`], [`address`] and [`answer`] are pure. [`api`] signs and sends, [`ledger`] remembers on disk what may have
//! been started, and [`jobs`] starts, watches and stops by the two.

pub mod address;
pub mod answer;
pub mod api;
pub mod jobs;
pub mod ledger;
pub mod request;
