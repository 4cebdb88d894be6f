//! What a person types. Defaults and examples stand here and in `--help`, which is golden-tested.

use clap::{Args, Parser, Subcommand, ValueEnum};
use matrix::Format;
use ops::{logs, metrics};
use stats::comparison::regression::{Limit, Metric};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Benchmarks T5 summarization across instance types, and says what a thousand summaries cost.
#[derive(Debug, Parser)]
#[command(name = "controller", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  controller run examples/quickstart.toml
  controller plan examples/g4dn-vs-m5.toml
  controller report latest --output results.json
  controller compare old.json new.json --max-regression latency_p95=5%,cost=3%

Exit codes: 0 ok · 1 measured, and a threshold failed · 2 wrong input · 3 incomplete campaign · 70 bug")]
pub struct Cli {
    #[command(flatten)]
    pub log: logs::Options,
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
    /// Compare two campaigns, and fail where one got worse
    Compare(Compare),
    /// List campaigns, and draw a metric over time
    History(History),
    /// Show what a price book holds, and bring it up to date
    Prices(Prices),
    /// Try the messages that a matrix asks for
    Notify(Notify),
    /// Make and renew certificates, so that agents of other machines can join
    Certs(Certs),
    /// Give agents tokens of their own, and revoke tokens and certificates, also while a campaign runs
    Agents(Agents),
    /// Start agents on a platform that bills for them, and stop them on every way out
    Launch(Launch),
    /// Look at this machine and what a matrix needs, and say what to do
    Doctor(Doctor),
    /// Say whether the controller of this machine answers, for whatever restarts it
    Health(Health),
}

/// `controller run`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller run examples/quickstart.toml
  controller run matrix.toml --runs 5 --batch-sizes 1 8 --output results.json
  controller run --resume latest
  controller run matrix.toml --listen 127.0.0.1:7437     wait for agents that are started by hand
  controller run matrix.toml --listen 0.0.0.0:7437       over TLS, after controller certs init")]
pub struct Run {
    /// The matrix; leave it out with --resume
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub matrix: Option<PathBuf>,
    /// Go on with a campaign that was interrupted: its id, or latest
    #[arg(long, value_name = "CAMPAIGN", conflicts_with_all = ["runs", "batch_sizes", "samples"])]
    pub resume: Option<String>,
    /// Go on with the campaign of this matrix that was begun in this data folder, where there is one
    #[arg(long = "continue", conflicts_with = "resume")]
    pub go_on: bool,
    /// Where results go; samples go beside it as FILE.samples.parquet [default: the campaign's folder]
    #[arg(long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// What to measure instead of what the matrix says
    #[command(flatten)]
    pub overrides: Overrides,
    /// Stop before the campaign costs more, instead of where the matrix says
    #[arg(long, value_name = "USD")]
    pub max_usd: Option<f64>,
    /// Where agents dial in; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Serve TLS with the certificates of this folder [default off loopback: certs in the data folder]
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Serve Prometheus metrics: a port on loopback, or ADDRESS:PORT [default: not served]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<metrics::Address>,
    /// Where campaigns are kept
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// Show nothing on the way
    #[arg(long)]
    pub quiet: bool,
    /// Print events instead of a table, one JSON object a line
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Serve a page that follows the campaign; off loopback only with --web-token-file
    #[arg(long, value_name = "ADDR")]
    pub web: Option<SocketAddr>,
    /// A secret that viewers of the page must know: ADDR/?token=…
    #[arg(long, value_name = "FILE", requires = "web")]
    pub web_token_file: Option<PathBuf>,
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

impl From<&Overrides> for matrix::Overrides {
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
  controller report latest --formats markdown,junit,github --output-dir ci
  controller report latest --prices deploy/prices/aws.toml
  controller report s3://bucket/prefix/CAMPAIGN/results.json")]
pub struct Report {
    /// Its id, latest, or the address of a results.json in S3
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
    /// Price the campaign anew, by this price book
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Where campaigns are kept
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
    /// Add the prices of a bulk price file of AWS (needs no credentials)
    Import(ImportPrices),
    /// Add today's prices from AWS's Price List API (needs pricing:GetProducts)
    Refresh(RefreshPrices),
}

/// `controller prices import`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  curl -O https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/us-east-1/index.json
  controller prices import index.json --service sagemaker-hosting --region us-east-1")]
pub struct ImportPrices {
    /// The file, as JSON
    pub file: PathBuf,
    /// Which of its prices
    #[command(flatten)]
    pub bought: Bought,
}

/// `controller prices refresh`
#[derive(Debug, Args)]
pub struct RefreshPrices {
    /// Which prices
    #[command(flatten)]
    pub bought: Bought,
    /// Where the Price List API is
    #[arg(long, value_name = "URL", default_value = "https://api.pricing.us-east-1.amazonaws.com")]
    pub endpoint: String,
}

/// What is bought, where, and which book should know its price.
#[derive(Debug, Args)]
pub struct Bought {
    /// sagemaker-hosting, sagemaker-async, sagemaker-batch-transform or ec2: their prices for one type differ
    #[arg(long, value_name = "SERVICE")]
    pub service: cost::aws::Service,
    /// Such as us-east-1
    #[arg(long, value_name = "REGION")]
    pub region: String,
    /// Instance types [default: all of the file; those that the book has]
    #[arg(long, value_name = "TARGET", num_args = 1.., value_delimiter = ',')]
    pub targets: Vec<String>,
    /// The price book that takes them
    #[arg(long, value_name = "FILE", default_value = "deploy/prices/aws.toml")]
    pub book: PathBuf,
}

/// `controller compare`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller compare quickstart-20261123-084507-123 latest
  controller compare main.json branch.json --format markdown
  controller compare main.json branch.json --max-regression latency_p95=5%,cost=3% --strict

Metrics: latency_mean, latency_p50, latency_p90, latency_p95, latency_p99, throughput, cost,
rougeL, and ttft_mean, ttft_p50, ttft_p90, ttft_p95, ttft_p99. A limit fails (exit 1) where the
whole interval is past it; a percentage below zero asks for an improvement. Campaigns that
cannot be compared are refused (exit 2).")]
pub struct Compare {
    /// What is compared with: a campaign's id, latest, or a results.json
    pub baseline: String,
    /// What is compared: likewise
    pub candidate: String,
    /// How much worse metrics may become
    #[arg(long, value_name = "METRIC=N%", num_args = 1.., value_delimiter = ',')]
    pub max_regression: Vec<Limit>,
    /// Fail where a limit is undecided, too
    #[arg(long, requires = "max_regression")]
    pub strict: bool,
    /// Differences below this count as equal
    #[arg(long, value_name = "N%")]
    pub equal_within: Option<Percent>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: CompareFormat,
    /// Where campaigns are kept
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
}

/// How a comparison is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For the terminal
    Table,
    /// For pull requests
    Markdown,
    /// For programs
    Json,
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
            .ok_or_else(|| format!("expected a percentage above zero such as 3%, found \"{text}\""))
    }
}

/// `controller history`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller history
  controller history --metric latency_p95 --name quickstart")]
pub struct History {
    /// The metric to draw for every cell; without it campaigns are only listed
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<Metric>,
    /// Only campaigns of this matrix
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only cells whose name holds this
    #[arg(long, value_name = "TEXT")]
    pub cell: Option<String>,
    /// So many of the newest campaigns
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// Where campaigns are kept
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
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

/// `controller certs`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller certs init --host bench.example.com --host 192.0.2.7
  controller certs agent gpu-1           one more agent, or a new certificate for it
  controller certs controller            the same again; a running controller takes it up")]
pub struct Certs {
    /// What to do
    #[command(subcommand)]
    pub command: CertsCommand,
}

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make an authority, and with it a certificate for the controller and one for agents
    Init {
        /// Where and for how long
        #[command(flatten)]
        place: CertsPlace,
        /// A name or address by which agents reach the controller; may be given several times
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// Make the controller's certificate anew
    Controller {
        /// Where and for how long
        #[command(flatten)]
        place: CertsPlace,
        /// A name or address by which agents reach the controller [default: those that it has]
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// Make a certificate for an agent, or make it anew
    Agent {
        /// What it is known by when it is to be revoked
        name: String,
        /// Where and for how long
        #[command(flatten)]
        place: CertsPlace,
    },
}

/// Where certificates lie and how long they hold.
#[derive(Debug, Args)]
pub struct CertsPlace {
    /// The folder of certificates
    #[arg(long, value_name = "DIR", default_value = ".fleetmark/certs")]
    pub dir: PathBuf,
    /// For how many days
    #[arg(long, value_name = "N", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

/// `controller agents`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller agents add gpu-1                     writes gpu-1.token
  controller agents revoke gpu-1                  its stream is closed at once, its shard goes to another
  controller agents add gpu-1 --output new.token  then copy it, and:
  controller agents revoke gpu-1 --keep-latest    a token is rotated without a break")]
pub struct Agents {
    /// What to do
    #[command(subcommand)]
    pub command: AgentsCommand,
}

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// Make a token for one agent; only its hash is kept here
    Add {
        /// What it is known by when it is to be revoked
        name: String,
        /// Where the token goes, readable by you alone [default: NAME.token]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Where campaigns are kept
        #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
        data_dir: PathBuf,
    },
    /// Take back an agent's tokens, and every certificate that was made for it until now
    Revoke {
        /// Its name
        name: String,
        /// Only its older tokens; the latest holds on, and so do certificates
        #[arg(long)]
        keep_latest: bool,
        /// Where campaigns are kept
        #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
        data_dir: PathBuf,
    },
    /// List tokens that were given, and what was revoked
    List {
        /// Where campaigns are kept
        #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
        data_dir: PathBuf,
    },
}

/// `controller launch`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  controller launch sagemaker --help
  controller launch sagemaker --stop       end what an earlier launch left running")]
pub struct Launch {
    /// Where agents run
    #[command(subcommand)]
    pub command: LaunchCommand,
}

/// Where agents run.
#[derive(Debug, Subcommand)]
pub enum LaunchCommand {
    /// Run the agents of every ml. target as SageMaker's processing jobs, one a job
    Sagemaker(Box<LaunchSagemaker>),
}

/// `controller launch sagemaker`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["dry_run", "yes", "stop"])))]
#[command(after_help = "Example, beside a controller run MATRIX --listen 0.0.0.0:7437:
  controller launch sagemaker matrix.toml --controller https://bench.example.com:7437 \\
    --identity s3://bucket/fleetmark/identity --role-arn arn:aws:iam::123456789012:role/fleetmark-agent \\
    --image-uri 123456789012.dkr.ecr.us-east-1.amazonaws.com/fleetmark-agent:0.1.0 \\
    --gpu-image-uri 123456789012.dkr.ecr.us-east-1.amazonaws.com/fleetmark-agent-cuda:0.1.0 --dry-run

--yes instead of --dry-run sends the requests, waits, and stops what it started: when all is over,
after an error, at Ctrl-C and SIGTERM. Were this program killed, SageMaker ends each job after
--max-runtime, and --stop does it at once.")]
pub struct LaunchSagemaker {
    /// The matrix: an agent for each of its targets whose name begins with ml.
    #[arg(required_unless_present = "stop", conflicts_with = "stop")]
    pub matrix: Option<PathBuf>,
    /// The agent for CPUs, in ECR: deploy/docker/agent.Dockerfile
    #[arg(long, value_name = "URI")]
    pub image_uri: Option<String>,
    /// The agent for NVIDIA GPUs, in ECR: deploy/docker/agent-cuda.Dockerfile
    #[arg(long, value_name = "URI")]
    pub gpu_image_uri: Option<String>,
    /// The role of the jobs
    #[arg(long, value_name = "ARN", required_unless_present = "stop")]
    pub role_arn: Option<String>,
    /// Where the controller listens for agents of other machines: https://HOST:PORT
    #[arg(long, value_name = "URL", required_unless_present = "stop")]
    pub controller: Option<launch::sagemaker::address::ControllerUrl>,
    /// The folder in S3 that holds the agents' token and the ca.pem of controller certs
    #[arg(long, value_name = "S3", required_unless_present = "stop")]
    pub identity: Option<fetch::s3::Address>,
    /// Subnets of a VPC that the jobs are in [default: no VPC]
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub subnets: Vec<String>,
    /// Security groups of the jobs, with --subnets
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub security_groups: Vec<String>,
    /// SageMaker ends a job after this time, whatever becomes of this program: such as 90m or 4h
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = duration)]
    pub max_runtime: Duration,
    /// Disk of a job, for images and models
    #[arg(long, value_name = "GB", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub volume_gb: u32,
    /// A variable of the container; whoever may describe the job reads it. May be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<Pair>,
    /// A tag for the bill, beside Project and fleetmark:…; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<Pair>,
    /// Where the jobs run [default: as AWS's variables and profiles say]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Print the requests as JSON, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Send them, wait for the end, and stop what was started
    #[arg(long)]
    pub yes: bool,
    /// Stop what earlier launches may have left running
    #[arg(long)]
    pub stop: bool,
    /// Where it is kept what was launched
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// The first wait after trouble, in milliseconds; jobs are looked at every 15 of them
    #[arg(long, value_name = "MS", default_value_t = 1000, hide = true)]
    pub pace_ms: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    matrix::duration(text).ok_or_else(|| "expected a time such as 90m or 4h".to_owned())
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair(String, String);

impl Pair {
    /// The name, and the value.
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

Exit codes: 0 ok · 1 something that was asked for is impossible · 2 wrong input")]
pub struct Doctor {
    /// What is to be run: its sources, prices, messages and agents are looked at, too
    pub matrix: Option<PathBuf>,
    /// Where agents shall dial in
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The folder of certificates [default off loopback: certs in the data folder]
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Where campaigns are kept
    #[arg(long, value_name = "DIR", default_value = ".fleetmark")]
    pub data_dir: PathBuf,
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// `controller health`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  controller health --metrics 9464")]
pub struct Health {
    /// Where the controller serves its metrics: a port on loopback, or ADDRESS:PORT
    #[arg(long, value_name = "ADDR")]
    pub metrics: metrics::Address,
}
