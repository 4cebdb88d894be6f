//! Agents as SageMaker processing jobs, one job per agent: matrix + options -> requests -> jobs,
//! which are stopped on any exit.
//!
//! [`request`], [`address`] and [`answer`] are pure. [`api`] signs and sends requests,
//! [`launch_record`] stores on disk which jobs may exist, and [`jobs`] starts, watches and stops
//! them.

pub mod address;
pub mod answer;
pub mod api;
pub mod jobs;
pub mod launch_record;
pub mod request;
