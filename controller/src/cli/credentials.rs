//! `controller certs` and `controller agents`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `controller certs`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller certs init --host bench.example.com --host 192.0.2.7
  controller certs agent gpu-1           create or renew an agent's certificate
  controller certs controller            renew the controller's; a running controller reloads it")]
pub struct Certs {
    #[command(subcommand)]
    pub command: CertsCommand,
}

#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Create a certificate authority, a controller certificate and an agent certificate
    Init {
        #[command(flatten)]
        place: CertsPlace,
        /// Name or address under which agents reach the controller; repeatable
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// Renew the controller's certificate
    Controller {
        #[command(flatten)]
        place: CertsPlace,
        /// Name or address under which agents reach the controller; repeatable [default: unchanged]
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// Create or renew an agent's certificate
    Agent {
        /// Name of the agent, used to revoke it
        name: String,
        #[command(flatten)]
        place: CertsPlace,
    },
}

/// The folder of the certificates, and their validity.
#[derive(Debug, Args)]
pub struct CertsPlace {
    /// Folder of the certificates
    #[arg(long, value_name = "DIR", default_value = ".fleetmark/certs")]
    pub dir: PathBuf,
    /// Validity in days
    #[arg(long, value_name = "N", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

/// `controller agents`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller agents add gpu-1                     writes gpu-1.token
  controller agents revoke gpu-1                  disconnects it; its shard is reassigned
  controller agents add gpu-1 --output new.token  rotate a token: copy the new file, then
  controller agents revoke gpu-1 --keep-latest    revoke the older tokens")]
pub struct Agents {
    #[command(subcommand)]
    pub command: AgentsCommand,
}

#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// Create a token for an agent; only its hash is stored
    Add {
        /// Name of the agent, used to revoke it
        name: String,
        /// Token file, readable only by you [default: NAME.token]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Data folder with the campaigns
        #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
        data_dir: PathBuf,
    },
    /// Revoke all tokens and certificates of an agent
    Revoke {
        /// Name of the agent
        name: String,
        /// Revoke only older tokens; keep the latest token and the certificates
        #[arg(long)]
        keep_latest: bool,
        /// Data folder with the campaigns
        #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
        data_dir: PathBuf,
    },
    /// List tokens and revocations
    List {
        /// Data folder with the campaigns
        #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
        data_dir: PathBuf,
    },
}
