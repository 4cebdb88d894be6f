//! The agent: runs leased shards of inference on one machine and streams every sample to the
//! controller.

pub mod commands;
pub mod controller_client;
pub mod doctor;
pub mod driver_memory;
pub mod engines;
pub mod http_authority;
pub mod http_server;
pub mod instance_type;
pub mod metrics;
pub mod model_source;
pub mod options;
pub mod runner;
pub mod server_metrics;
pub mod visible_gpu;
pub mod workload;
