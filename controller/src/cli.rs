//! The command line. Its `--help` output is covered by snapshots.

mod bundle;
mod credentials;
mod decide;

pub use bundle::{Bundle, Verify};
pub use credentials::{Agents, AgentsCommand, Certs, CertsCommand, CertsPlace};
pub use decide::{Decide, Page};

use clap::{Args, Parser, Subcommand, ValueEnum};
use matrix::Format;
use model::engine::Dtype;
use ops::{command_line, logs, metrics};
use stats::comparison::regression::{Limit, Metric};
use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// Benchmark LLM summarization inference: latency, throughput and cost per 1,000 requests
#[derive(Debug, Parser)]
#[command(name = "controller", version = env!("FLEETMARK_VERSION"), propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  controller run examples/quickstart.toml
  controller plan examples/g4dn-vs-m5.toml
  controller report latest --output results.json
  controller compare old.json new.json --max-regression latency_p95=5%,cost=3%

Exit codes: 0 success · 1 a gate, limit or verification failed · 2 invalid input · 3 incomplete
campaign · 4 a limit or the origin of a bundle is undecided · 70 bug")]
pub struct Cli {
    #[command(flatten)]
    pub log: logs::Options,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub enum Command {
    /// Write a commented matrix to start from
    Init(Init),
    /// Run a matrix on agents and write the results
    Run(Run),
    /// Show what a matrix would measure, without running it
    Plan(Plan),
    /// Write results and reports of an earlier campaign
    Report(Report),
    /// Compare two campaigns, and optionally fail on a regression
    Compare(Compare),
    /// Predict which fleet serves a traffic at the lowest cost, and by which scaling policy
    Decide(Decide),
    /// Write results and everything they are computed from as one signed archive
    Bundle(Bundle),
    /// Check a bundle's signature and hashes, and recompute its figures from its samples
    Verify(Verify),
    /// List campaigns, or plot a metric over time
    History(History),
    /// Delete campaigns
    Delete(Delete),
    /// Delete all but the newest campaigns of each matrix
    Prune(Prune),
    /// List, import or refresh the prices of a price book
    Prices(Prices),
    /// Test the notifications of a matrix
    Notify(Notify),
    /// Create and renew the TLS certificates for agents on other machines
    Certs(Certs),
    /// Add and revoke agents' tokens and certificates, even during a campaign
    Agents(Agents),
    /// Start agents on a cloud platform, and stop them on exit
    Launch(Launch),
    /// Check this machine and the requirements of a matrix
    Doctor(Doctor),
    /// Check that the controller on this machine responds
    Health(Health),
    /// Print the JSON Schema of matrix.toml or results.json, for editors and programs
    #[command(after_help = "Example:
  controller schema matrix > matrix.schema.json     and `#:schema matrix.schema.json` in line 1")]
    Schema(Schema),
    /// Print the completion script of a shell
    #[command(after_help = "Examples:
  controller completions bash > /etc/bash_completion.d/controller
  controller completions zsh > \"${fpath[1]}/_controller\"")]
    Completions(command_line::Completions),
    /// Write man pages
    #[command(after_help = "Example:\n  controller man ~/.local/share/man/man1")]
    Man(command_line::Man),
}

/// `controller init`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller init mine.toml && controller plan mine.toml")]
pub struct Init {
    /// Matrix file to write; an existing file is kept
    #[arg(default_value = "matrix.toml")]
    pub matrix: PathBuf,
}

/// `controller schema`
#[derive(Debug, Args)]
pub struct Schema {
    /// File format
    pub of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// matrix.toml
    Matrix,
    /// results.json
    Results,
}

/// `controller run`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller run examples/quickstart.toml
  controller run matrix.toml --runs 5 --batch-sizes 1 8 --output results.json
  controller run --resume latest
  controller run matrix.toml --listen 127.0.0.1:7437     wait for agents started by hand
  controller run matrix.toml --listen 0.0.0.0:7437       over TLS, after controller certs init")]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub struct Run {
    /// Matrix file; omit with --resume
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub matrix: Option<PathBuf>,
    /// Resume an interrupted campaign: its id, or `latest`
    #[arg(long, value_name = "CAMPAIGN", conflicts_with_all = ["runs", "batch_sizes", "samples"])]
    pub resume: Option<String>,
    /// Resume the campaign of this matrix in the data folder if there is one; otherwise start it
    #[arg(long = "continue", conflicts_with = "resume")]
    pub go_on: bool,
    /// Results file; samples are written next to it, as FILE.samples.parquet [default: in the
    /// campaign's folder]
    #[arg(long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Stop before the campaign costs more than this; overrides the matrix
    #[arg(long, value_name = "USD")]
    pub max_usd: Option<f64>,
    /// Address to listen on for agents; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Folder with the TLS certificates [default: none on loopback, else `certs` in the data folder]
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Environment variable local agents may send to endpoints; repeatable [default: the matrix's]
    #[arg(long, value_name = "NAME")]
    pub endpoint_env: Vec<String>,
    /// Allow local agents to call endpoints over plain HTTP on other machines
    #[arg(long)]
    pub allow_plain_http: bool,
    /// Environment variable that [notify] may use; repeatable [default: the matrix's]
    #[arg(long, value_name = "NAME")]
    pub notify_env: Vec<String>,
    /// Serve Prometheus metrics on PORT (loopback) or ADDRESS:PORT [default: off]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<metrics::Address>,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// Print only the verdict, in one line
    #[arg(long)]
    pub quiet: bool,
    /// Print events as JSON Lines instead of the summary
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Serve a live page of the campaign; requires --web-token-file unless on loopback
    #[arg(long, value_name = "ADDR")]
    pub web: Option<SocketAddr>,
    /// File with the secret that the live page requires: ADDR/?token=…
    #[arg(long, value_name = "FILE", requires = "web")]
    pub web_token_file: Option<PathBuf>,
}

/// Options that override the matrix.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Number of runs of each cell
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(limits(matrix::RUNS)))]
    pub runs: Option<u32>,
    /// Batch sizes of all targets
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(limits(matrix::BATCH_SIZES)))]
    pub batch_sizes: Option<Vec<u32>>,
    /// Number of dialogues to measure; 0 selects all
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Dtypes of all targets
    #[arg(long, value_name = "DTYPE", num_args = 1.., value_delimiter = ',')]
    pub dtypes: Option<Vec<Dtype>>,
    /// Set a key of the matrix, such as protocol.warmup=2 or target.cpu.agents=3; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Measure only the cells whose id contains TEXT; repeatable
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
}

impl From<&Overrides> for matrix::Overrides {
    fn from(overrides: &Overrides) -> Self {
        Self {
            runs: overrides.runs,
            samples: overrides.samples,
            batch_sizes: overrides.batch_sizes.clone(),
            dtypes: overrides.dtypes.clone(),
            set: overrides.set.clone(),
            only: overrides.only.clone(),
        }
    }
}

/// `controller plan`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller plan examples/quickstart.toml --runs 5")]
pub struct Plan {
    /// Matrix file
    pub matrix: PathBuf,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Data folder with the campaigns whose measured times the estimate uses
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// `controller report`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller report latest --output results.json
  controller report latest --formats html,pdf --output-dir reports
  controller report latest --formats markdown,junit,github --output-dir ci
  controller report latest --output - | jq .recommendation
  controller report latest --prices deploy/prices/aws.toml
  controller report CAMPAIGN.bundle.tar --formats html --output-dir reports
  controller report s3://bucket/prefix/CAMPAIGN/results.json")]
pub struct Report {
    /// Campaign id, `latest`, a bundle (.tar), or the S3 address of a results.json
    #[arg(default_value = "latest")]
    pub campaign: String,
    /// Results file; `-` prints one format, by default json, and writes no files [default: in the
    /// campaign's folder]
    #[arg(long, value_name = "FILE.json", conflicts_with = "output_dir")]
    pub output: Option<PathBuf>,
    /// Formats to write: json, html, pdf, markdown, junit, csv, mlperf; `github` prints annotations
    /// [default: json and the formats of the matrix]
    #[arg(long, value_name = "FORMAT", num_args = 1.., value_delimiter = ',')]
    pub formats: Option<Vec<Format>>,
    /// Output folder [default: the campaign's folder]
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Price book to compute the costs with [default: the prices at the time of the campaign]
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// `controller prices`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller prices list --book deploy/prices/aws.toml
  controller prices import index.json --service sagemaker-hosting --region us-east-1
  controller prices refresh --service sagemaker-hosting --region us-east-1 --targets ml.g4dn.xlarge")]
pub struct Prices {
    #[command(subcommand)]
    pub command: PricesCommand,
}

#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// List all prices with terms, date and source
    List {
        /// Price book
        #[arg(long, value_name = "FILE", default_value = "deploy/prices/aws.toml")]
        book: PathBuf,
    },
    /// Import prices from an AWS bulk price file (no credentials needed)
    Import(ImportPrices),
    /// Fetch current prices from the AWS Price List API (needs pricing:GetProducts)
    Refresh(RefreshPrices),
}

/// `controller prices import`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  curl -O https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/us-east-1/index.json
  controller prices import index.json --service sagemaker-hosting --region us-east-1")]
pub struct ImportPrices {
    /// Bulk price file (JSON)
    pub file: PathBuf,
    #[command(flatten)]
    pub bought: Bought,
}

/// `controller prices refresh`
#[derive(Debug, Args)]
pub struct RefreshPrices {
    #[command(flatten)]
    pub bought: Bought,
    /// Endpoint of the Price List API
    #[arg(long, value_name = "URL", default_value = "https://api.pricing.us-east-1.amazonaws.com")]
    pub endpoint: String,
}

/// The prices to add, and the price book to add them to.
#[derive(Debug, Args)]
pub struct Bought {
    /// Service: sagemaker-hosting, sagemaker-async, sagemaker-batch-transform or ec2
    #[arg(long, value_name = "SERVICE")]
    pub service: cost::aws::Service,
    /// AWS region, such as us-east-1
    #[arg(long, value_name = "REGION")]
    pub region: String,
    /// Instance types [default: import: all in the file; refresh: all in the price book]
    #[arg(long, value_name = "TARGET", num_args = 1.., value_delimiter = ',')]
    pub targets: Vec<String>,
    /// Price book to update
    #[arg(long, value_name = "FILE", default_value = "deploy/prices/aws.toml")]
    pub book: PathBuf,
}

/// `controller compare`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller compare quickstart-20261123-084507-123 latest
  controller compare main.json branch.json --format markdown
  controller compare main.json branch.json --max-regression latency_p95=5%,cost=3% --strict
  controller compare main.json branch.json --max-regression cost=3% --format junit > compare.xml

Metrics: latency_mean, latency_p50, latency_p90, latency_p95, latency_p99, throughput, cost,
rougeL, and ttft_mean, ttft_p50, ttft_p90, ttft_p95, ttft_p99. A limit fails (exit 1) if the
whole confidence interval exceeds it; a negative percentage requires an improvement. Campaigns
that can't be compared are rejected (exit 2).")]
pub struct Compare {
    /// Baseline: a campaign id, `latest`, a results.json, or a bundle (.tar)
    pub baseline: String,
    /// Candidate: a campaign id, `latest`, a results.json, or a bundle (.tar)
    pub candidate: String,
    /// Largest allowed regression of a metric
    #[arg(long, value_name = "METRIC=N%", num_args = 1.., value_delimiter = ',')]
    pub max_regression: Vec<Limit>,
    /// Exit with 0 instead of 4 if limits are undecided and none is exceeded
    #[arg(long, requires = "max_regression")]
    pub allow_undecided: bool,
    /// Exit with 1 instead of 4 if a limit is undecided
    #[arg(long, requires = "max_regression", conflicts_with = "allow_undecided")]
    pub strict: bool,
    /// Treat differences below this as equal
    #[arg(long, value_name = "N%")]
    pub equal_within: Option<Percent>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: CompareFormat,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For the terminal
    Table,
    /// For pull requests
    Markdown,
    /// For programs
    Json,
    /// Test results in XML: a test per pair of cells
    Junit,
    /// Annotations of GitHub workflows
    Github,
}

/// A share, written as a percentage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let number = number.filter(|number| number.is_finite() && *number > 0.0);
        number
            .map(|number| Self(number / 100.0))
            .ok_or_else(|| format!("expected a percentage above zero such as 3%, found `{text}`"))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller delete quickstart-20261123-084507-123")]
pub struct Delete {
    /// Campaign ids, as `controller history` lists them
    #[arg(required = true, value_name = "CAMPAIGN")]
    pub campaigns: Vec<String>,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller prune --keep 10 --dry-run
  controller prune --keep 3 --name nightly")]
pub struct Prune {
    /// Number of campaigns to keep per matrix, the newest ones
    #[arg(long, value_name = "N")]
    pub keep: usize,
    /// Only campaigns of the matrix with this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// List what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// `controller history`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller history
  controller history --metric latency_p95 --name quickstart")]
pub struct History {
    /// Plot this metric for each cell [default: list the campaigns only]
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<Metric>,
    /// Include only campaigns of the matrix with this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Include only cells whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub cell: Option<String>,
    /// Number of campaigns, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// Print the list as JSON
    #[arg(long, conflicts_with = "metric")]
    pub json: bool,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// `controller notify`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  SLACK_WEBHOOK_URL=https://hooks.slack.com/... controller notify test matrix.toml"
)]
pub struct Notify {
    #[command(subcommand)]
    pub command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message to all channels in [notify]
    Test {
        /// Matrix file
        matrix: PathBuf,
        /// Environment variable that [notify] may use; repeatable [default: the matrix's]
        #[arg(long, value_name = "NAME")]
        notify_env: Vec<String>,
    },
}

/// `controller launch`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller launch sagemaker --help
  controller launch sagemaker --stop       stop the jobs of an earlier launch")]
pub struct Launch {
    #[command(subcommand)]
    pub command: LaunchCommand,
}

#[derive(Debug, Subcommand)]
pub enum LaunchCommand {
    /// Run the agents of all `ml.` targets as SageMaker processing jobs, one job per agent
    Sagemaker(Box<LaunchSagemaker>),
}

/// `controller launch sagemaker`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["dry_run", "yes", "stop"])))]
#[command(
    after_help = "Example, with `controller run MATRIX --listen 0.0.0.0:7437` on this machine:
  controller launch sagemaker matrix.toml --controller https://bench.example.com:7437 \\
    --identity s3://bucket/fleetmark/identity --role-arn arn:aws:iam::123456789012:role/fleetmark-agent \\
    --image-uri 123456789012.dkr.ecr.us-east-1.amazonaws.com/fleetmark-agent:0.1.0 --dry-run

With --yes instead of --dry-run, the command sends the requests, waits, and stops its jobs at the
end, after an error, and on Ctrl-C or SIGTERM. If the command is killed, SageMaker stops each job
after --max-runtime; --stop stops them at once."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub struct LaunchSagemaker {
    /// Matrix file; each target whose name starts with `ml.` gets its agents
    #[arg(required_unless_present = "stop", conflicts_with = "stop")]
    pub matrix: Option<PathBuf>,
    /// ECR image of the agent (deploy/docker/agent.Dockerfile)
    #[arg(long, value_name = "URI")]
    pub image_uri: Option<String>,
    /// IAM role of the jobs
    #[arg(long, value_name = "ARN", required_unless_present = "stop")]
    pub role_arn: Option<String>,
    /// Controller URL, as reachable from the jobs: https://HOST:PORT
    #[arg(long, value_name = "URL", required_unless_present = "stop")]
    pub controller: Option<launch::sagemaker::address::ControllerUrl>,
    /// S3 folder with the agents' token and the ca.pem of `controller certs`
    #[arg(long, value_name = "S3", required_unless_present = "stop")]
    pub identity: Option<fetch::s3::Address>,
    /// VPC subnets of the jobs [default: no VPC]
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub subnets: Vec<String>,
    /// Security groups of the jobs; requires --subnets
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub security_groups: Vec<String>,
    /// Time after which SageMaker stops a job, such as 90m or 4h
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = duration)]
    pub max_runtime: Duration,
    /// Disk size of a job in GB, for image and models
    #[arg(long, value_name = "GB", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub volume_gb: u32,
    /// Environment variable of the container, visible to anyone who may describe the job; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<Pair>,
    /// Allow the jobs to call endpoints over plain HTTP on other machines
    #[arg(long)]
    pub allow_plain_http: bool,
    /// Additional tag of the jobs, for cost allocation; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<Pair>,
    /// AWS region of the jobs [default: from the AWS environment and profiles]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Print the requests as JSON without sending them
    #[arg(long)]
    pub dry_run: bool,
    /// Send the requests, wait for the jobs, and stop them at the end
    #[arg(long)]
    pub yes: bool,
    /// Stop the jobs of earlier launches
    #[arg(long)]
    pub stop: bool,
    /// Data folder with the record of launched jobs
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// First retry delay in milliseconds; jobs are polled every 15 delays
    #[arg(long, value_name = "MS", default_value_t = 1000, hide = true)]
    pub pace_ms: u64,
}

/// The limits of the matrix, as clap's parsers take them.
fn limits(range: RangeInclusive<u32>) -> RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

fn duration(text: &str) -> Result<Duration, String> {
    matrix::duration(text).ok_or_else(|| "expected a time such as 90m or 4h".to_owned())
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair(String, String);

impl Pair {
    pub fn parts(&self) -> (String, String) {
        (self.0.clone(), self.1.clone())
    }
}

impl std::str::FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// `controller doctor`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller doctor
  controller doctor matrix.toml --listen 0.0.0.0:7437
  controller doctor matrix.toml --json | jq '.findings[] | select(.status == \"trouble\")'

Exit codes: 0 no problem found · 1 a campaign would fail · 2 invalid input")]
pub struct Doctor {
    /// Matrix file whose data, models, prices, notifications and agents are checked as well
    pub matrix: Option<PathBuf>,
    /// Address to listen on for agents
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Folder with the TLS certificates [default: none on loopback, else `certs` in the data folder]
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Data folder with the campaigns
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// Print a JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `controller health`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller health --metrics 9464")]
pub struct Health {
    /// The controller's metrics address: PORT (loopback) or ADDRESS:PORT
    #[arg(long, value_name = "ADDR")]
    pub metrics: metrics::Address,
}
