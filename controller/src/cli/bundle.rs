//! `controller bundle` and `controller verify`.

use clap::Args;
use std::path::PathBuf;

/// `controller bundle`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller bundle latest
  controller bundle latest --key signing.key --output results.bundle.tar
  controller bundle latest --texts                 lets verify recompute quality and agreement

The bundle holds results, samples, telemetry, plan, matrix, prices and versions. Dialogues and
summaries are left out unless --texts is given. docs/bundles.md says what a signature proves.")]
pub struct Bundle {
    /// Campaign id, or `latest`
    #[arg(default_value = "latest")]
    pub campaign: String,
    /// Bundle to write [default: CAMPAIGN.bundle.tar]
    #[arg(long, value_name = "FILE.tar")]
    pub output: Option<PathBuf>,
    /// Signing key: Ed25519 or P-256, PEM with PKCS #8 [default: `certs/controller.key` in the data
    /// folder]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Write the bundle without a signature
    #[arg(long, conflicts_with = "key")]
    pub unsigned: bool,
    /// Include the dialogues, their reference summaries and all summaries
    #[arg(long)]
    pub texts: bool,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// `controller verify`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller verify results.bundle.tar --certificate controller.pem
  controller verify results.bundle.tar --public-key signing.pub
  controller verify results.bundle.tar --certificate controller.pem --agent-ca ca.pem

Exit codes: 0 verified · 1 changed, signed by another key, or a figure differs · 2 invalid input ·
4 intact, but no trusted key was given, the bundle is not signed, or with --agent-ca an attempt is
not signed by its agent")]
pub struct Verify {
    /// Bundle to check
    pub bundle: PathBuf,
    /// Trusted public key, PEM; repeatable
    #[arg(long, value_name = "FILE")]
    pub public_key: Vec<PathBuf>,
    /// Certificate with the trusted key, PEM; its validity is not checked; repeatable
    #[arg(long, value_name = "FILE")]
    pub certificate: Vec<PathBuf>,
    /// CA that must have issued the certificates of all agents, PEM; its validity is not checked;
    /// repeatable
    #[arg(long, value_name = "FILE")]
    pub agent_ca: Vec<PathBuf>,
}
