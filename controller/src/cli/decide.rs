//! `controller decide`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `controller decide`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller decide latest --traffic examples/traffic-office.toml
  controller decide latest --traffic traffic.toml --formats html,pdf --output-dir reports
  controller decide latest --traffic traffic.toml --policies deploy/policy --name summaries
  controller decide results.json --traffic traffic.toml --json | jq '.choices[0]'

All figures are predictions: batch times are measured, and queues, scaling and the month are
simulated. docs/decide.md describes the model. Prices are those of the results; to use others,
recreate results.json with controller report --prices.

Exit codes: 0 a fleet meets or may meet the objective · 1 every fleet misses it · 2 invalid input")]
pub struct Decide {
    /// Campaign id, `latest`, a results.json, or a bundle (.tar)
    #[arg(default_value = "latest")]
    pub campaign: String,
    /// Traffic file: rates or a trace, the objective, and how the fleet may scale
    #[arg(long, value_name = "FILE.toml")]
    pub traffic: PathBuf,
    /// Number of simulations of each option, from 5; fewer are run for very large traffic
    #[arg(long, value_name = "N", default_value_t = 40,
          value_parser = clap::value_parser!(u32).range(5..=10_000))]
    pub simulations: u32,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Print the decision as JSON
    #[arg(long)]
    pub json: bool,
    /// Pages to write: html, pdf, markdown
    #[arg(long, value_name = "FORMAT", num_args = 1.., value_delimiter = ',', requires = "output_dir")]
    pub formats: Vec<Page>,
    /// Folder for the pages, as decision.html, decision.pdf and decision.md
    #[arg(long, value_name = "DIR", requires = "formats")]
    pub output_dir: Option<PathBuf>,
    /// Folder for the policy of an option, as files for its platform
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Rank of the option whose policy is written [default: 1, unless it misses the objective]
    #[arg(long, value_name = "N", requires = "policies")]
    pub option: Option<usize>,
    /// Name of the endpoint or deployment in the policy
    #[arg(long, value_name = "NAME", default_value = "fleet", requires = "policies")]
    pub name: String,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Page {
    Html,
    Pdf,
    Markdown,
}
