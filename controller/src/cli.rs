//! What a person types. Defaults and examples stand here and in `--help`, which is golden-tested.

use crate::matrix::Format;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Benchmarks T5 summarization across instance types, and says what a thousand summaries cost.
#[derive(Debug, Parser)]
#[command(name = "controller", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  controller run examples/quickstart.toml
  controller plan examples/g4dn-vs-m5.toml
  controller report latest --output results.json

Exit codes: 0 ok · 1 measured, and a threshold failed · 2 wrong input · 3 incomplete campaign · 70 bug")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a matrix on agents and write its results
    Run(Run),
    /// Show what a matrix would measure, without running it
    Plan(Plan),
    /// Write the results of a campaign again
    Report(Report),
    /// Show what a price book holds
    Prices(Prices),
    /// Try the messages that a matrix asks for
    Notify(Notify),
    /// Check the statistics themselves: measure worlds whose truth is known, and count
    Simulate(Simulate),
}

/// `controller run`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller run examples/quickstart.toml
  controller run matrix.toml --runs 5 --batch-sizes 1 8 --output results.json
  controller run --resume latest
  controller run matrix.toml --listen 127.0.0.1:7437     wait for agents that are started by hand")]
pub struct Run {
    /// The matrix; leave it out with --resume
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub matrix: Option<PathBuf>,
    /// Go on with a campaign that was interrupted: its id, or latest
    #[arg(long, value_name = "CAMPAIGN", conflicts_with_all = ["runs", "batch_sizes", "samples"])]
    pub resume: Option<String>,
    /// Where results go; samples go beside it as FILE.samples.parquet [default: the campaign's folder]
    #[arg(long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// What to measure instead of what the matrix says
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where agents dial in; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where campaigns are kept
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// Show nothing on the way
    #[arg(long)]
    pub quiet: bool,
}

/// What the command line says instead of the matrix.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Repeats of every cell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: Option<u32>,
    /// Batch sizes, for every target
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch_sizes: Option<Vec<u32>>,
    /// Dialogues to measure; 0 for all
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
}

impl From<&Overrides> for crate::matrix::Overrides {
    fn from(overrides: &Overrides) -> Self {
        Self {
            runs: overrides.runs,
            samples: overrides.samples,
            batch_sizes: overrides.batch_sizes.clone(),
        }
    }
}

/// `controller plan`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller plan examples/quickstart.toml --runs 5")]
pub struct Plan {
    /// The matrix
    pub matrix: PathBuf,
    /// What to measure instead of what the matrix says
    #[command(flatten)]
    pub overrides: Overrides,
}

/// `controller report`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller report latest --output results.json
  controller report latest --formats html,pdf --output-dir reports
  controller report latest --formats markdown,junit,github --output-dir ci")]
pub struct Report {
    /// Its id, or latest
    #[arg(default_value = "latest")]
    pub campaign: String,
    /// Where results go [default: the campaign's folder]
    #[arg(long, value_name = "FILE.json", conflicts_with = "output_dir")]
    pub output: Option<PathBuf>,
    /// What is written: json, html, pdf, markdown, junit, csv; github prints annotations [default: json and what the
    /// matrix says]
    #[arg(long, value_name = "FORMAT", num_args = 1.., value_delimiter = ',')]
    pub formats: Option<Vec<Format>>,
    /// Where all of it goes [default: the campaign's folder]
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Where campaigns are kept
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// `controller prices`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller prices list --book deploy/prices/aws.toml")]
pub struct Prices {
    /// What to do
    #[command(subcommand)]
    pub command: PricesCommand,
}

/// What to do with prices.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// List every price with its terms, its day and its source
    List {
        /// The price book
        #[arg(long, value_name = "FILE", default_value = "deploy/prices/aws.toml")]
        book: PathBuf,
    },
}

/// `controller notify`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  SLACK_WEBHOOK_URL=https://hooks.slack.com/... controller notify test matrix.toml"
)]
pub struct Notify {
    /// What to do
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// What to do with messages.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a message that says it is a test to everybody whom [notify] names
    Test {
        /// The matrix
        matrix: PathBuf,
    },
}

/// `controller simulate`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller simulate --trials 10000 --seed 1")]
pub struct Simulate {
    /// Trials for each row of the tables
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub trials: u32,
    /// All chance follows from it
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
}
