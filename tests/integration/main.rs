//! Whole scenarios: the real controller and agents, started as a user starts them, on real files, sockets and signals.
//!
//! A test belongs here if it needs a running program, and to the crate of the code otherwise: pure functions, plans,
//! statistics, reports, parsers and the simulated networks are tested there. The harness in `src/` builds the programs
//! before their first use, so that a scenario never tests a stale one.
//!
//! Scenarios run two or more at a time. One that saturates the processor or depends on real time holds
//! [`scenarios::processor`]. One that needs a server or data from outside is ignored; its reason names the command
//! that runs it.

mod bad_days;
mod bad_input;
mod bundles;
mod datasets;
mod doctor;
mod dtypes;
mod endpoint;
mod failures;
mod generation;
mod gpu;
mod heat;
mod hostile;
mod hub;
mod joining;
mod kills;
mod launch;
mod limits;
mod llm_servers;
mod load_agents;
mod loads;
mod losses;
mod nginx;
mod quickstart;
mod release;
mod replay;
mod s3;
mod sagemaker_streams;
mod samsum;
mod schema;
mod serve;
mod several_gpus;
mod sharing;
mod storage;
mod strangers;
mod streams;
mod style;
mod telemetry;
mod tracing;
mod trees;
mod watching;
