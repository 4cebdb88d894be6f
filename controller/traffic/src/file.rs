//! The traffic file: what arrives, what must hold, and how the fleet may scale.

use super::profile::Profile;
use super::reader::{Problems, Section, only};
use super::trace::Format;
use chrono_tz::{TZ_VARIANTS, Tz};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

/// The content of a traffic file.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficFile {
    pub source: Source,
    pub time_zone: Tz,
    /// Factor of every rate, for planned growth.
    pub growth: f64,
    /// Factor of every rate for which the fleet is sized; costs are those without it.
    pub peak_factor: f64,
    pub objective: Objective,
    pub fleet: Fleet,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Profile(Profile),
    Trace {
        /// As written in the file; relative to its folder.
        path: String,
        /// `None`: detected from its first line.
        format: Option<Format>,
    },
}

/// What must hold over the simulated period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// Request latency, queueing included, in milliseconds.
    pub latency_ms: f64,
    /// This percentage of requests must be answered within it.
    pub percentile: f64,
    /// The largest share of requests that may fail, 0 to 1.
    pub max_error_share: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Endpoints with target tracking.
    Sagemaker,
    /// A horizontal pod autoscaler with one pod per instance.
    Kubernetes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    Random,
    /// To the instance with the fewest requests.
    LeastOutstanding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// A fixed number of instances.
    Fixed,
    /// Scaled by requests per instance.
    Tracking,
    /// A number of instances for each hour of the day or week.
    Scheduled,
}

/// How the fleet serves and scales.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    pub platform: Platform,
    pub policies: Vec<PolicyKind>,
    /// Targets of which a fleet may have a fixed number that is used first, beside scaled instances of another target.
    #[serde(default)]
    pub base_targets: Vec<String>,
    pub min_instances: u32,
    pub max_instances: u32,
    /// From the decision to scale out until the machine runs; not billed.
    pub provisioning_s: f64,
    /// From the running machine to the loaded model, billed; null: as measured.
    pub load_s: Option<f64>,
    pub routing: Routing,
    /// Requests that wait in front of one instance; more are rejected.
    pub max_queue: u32,
    /// How long the oldest request waits for others to be decoded with.
    pub max_batch_delay_ms: f64,
    /// Of one instance; 0: no spot instances.
    pub spot_interruptions_per_hour: f64,
    /// Ranked beside the fleets.
    #[serde(default)]
    pub serverless: Option<Serverless>,
}

/// A serverless endpoint of SageMaker and its prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Serverless {
    /// The measured target whose times of single requests stand for the endpoint: an assumption.
    pub target: String,
    /// Of a sandbox, in MiB.
    pub memory_mb: u32,
    /// USD for a second of processing, for each GiB of memory.
    pub usd_per_gb_second: f64,
    /// Requests at the same time; more are throttled.
    pub max_concurrency: u32,
    /// For which an idle sandbox is kept.
    pub idle_minutes: f64,
    /// The start of a sandbox, not billed; null: the measured load time.
    pub cold_start_s: Option<f64>,
    /// USD for a GiB of requests and responses.
    pub data_usd_per_gb: f64,
    /// KiB of a request and its response.
    pub data_kb_per_request: f64,
}

/// `problems` have their line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("{name} is not TOML: {detail}")]
    Syntax { name: String, detail: String },
    #[error("{name} is invalid:\n  {}", problems.join("\n  "))]
    Content { name: String, problems: Vec<String> },
}

impl TrafficFile {
    /// Reads the text of a traffic file; `name` is how errors refer to it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let root = DeTable::parse(text).map_err(|error| Error::Syntax {
            name: name.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        let root = root.get_ref();
        let mut problems = Problems::new(text);
        only(root, &["traffic", "objective", "fleet"], &mut problems);
        let demand = read_demand(Section::of(root, "traffic", &mut problems));
        let objective = read_objective(Section::of(root, "objective", &mut problems));
        let fleet = read_fleet(Section::of(root, "fleet", &mut problems));
        let serverless =
            Section::within(root, ["fleet", "serverless"], "fleet.serverless", &mut problems);
        let serverless = serverless.map(|section| read_serverless(section, fleet.platform));
        let fleet = Fleet { serverless: serverless.flatten(), ..fleet };
        let problems = problems.take();
        match (demand, objective) {
            (Some(demand), Some(objective)) if problems.is_empty() => Ok(Self {
                source: demand.source,
                time_zone: demand.time_zone,
                growth: demand.growth,
                peak_factor: demand.peak_factor,
                objective,
                fleet,
            }),
            _ => Err(Error::Content { name: name.to_owned(), problems }),
        }
    }
}

struct DemandRead {
    source: Source,
    time_zone: Tz,
    growth: f64,
    peak_factor: f64,
}

fn read_demand(mut section: Section<'_, '_, '_>) -> Option<DemandRead> {
    let time_zone = match section.text("time_zone") {
        None => Some(Tz::UTC),
        Some(text) => {
            let zone = text.parse::<Tz>().ok();
            if zone.is_none() {
                section.problem("time_zone", &unknown_zone(&text));
            }
            zone
        }
    };
    let rate = section.number("rate", 1e-6..=1e6);
    let hours = section.weights("hours", 24);
    let days = section.weights("days", 7);
    let path = section.text("trace");
    let format = section.word("trace_format", Format::WORDS);
    let growth = section.number("growth", 0.01..=1000.0);
    let peak_factor = section.number("peak_factor", 1.0..=100.0);
    let source = match (section.has("rate"), section.has("trace")) {
        (true, true) => {
            section.problem("trace", "expected either rate or trace");
            None
        }
        (false, false) => {
            section.problem("rate", "is missing, for example: rate = 2.5 (requests per second)");
            None
        }
        (true, false) => {
            if section.has("trace_format") {
                section.problem("trace_format", "applies to a trace only");
            }
            rate.map(|rate| Source::Profile(Profile::new(rate, hours, days)))
        }
        (false, true) => {
            for key in ["hours", "days"] {
                if section.has(key) {
                    section.problem(key, "applies to a rate only: a trace has its own times");
                }
            }
            path.map(|path| Source::Trace { path, format })
        }
    };
    section.finish();
    let (growth, peak_factor) = (growth.unwrap_or(1.0), peak_factor.unwrap_or(1.0));
    Some(DemandRead { source: source?, time_zone: time_zone?, growth, peak_factor })
}

fn unknown_zone(text: &str) -> String {
    let names: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let nearest = names
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, text).total_cmp(&strsim::jaro_winkler(b, text)));
    let nearest = nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    format!("unknown time zone `{text}`: expected an IANA name such as Europe/Berlin{nearest}")
}

fn read_objective(mut section: Section<'_, '_, '_>) -> Option<Objective> {
    if !section.has("latency_ms") {
        section.problem("latency_ms", "is missing, for example: latency_ms = 2000");
    }
    let latency_ms = section.number("latency_ms", 0.001..=1e9);
    let percentile = section.number("percentile", 1.0..=99.9);
    let max_error_share = section.number("max_error_share", 0.0..=1.0);
    section.finish();
    Some(Objective {
        latency_ms: latency_ms?,
        percentile: percentile.unwrap_or(95.0),
        max_error_share: max_error_share.unwrap_or(0.001),
    })
}

fn read_fleet(mut section: Section<'_, '_, '_>) -> Fleet {
    let platforms = [("sagemaker", Platform::Sagemaker), ("kubernetes", Platform::Kubernetes)];
    let kinds = [
        ("fixed", PolicyKind::Fixed),
        ("tracking", PolicyKind::Tracking),
        ("scheduled", PolicyKind::Scheduled),
    ];
    let routings = [("random", Routing::Random), ("least_outstanding", Routing::LeastOutstanding)];
    let platform = section.word("platform", &platforms).unwrap_or(Platform::Sagemaker);
    let policies = section.words("policies", &kinds);
    let base_targets = section.texts("base_targets").unwrap_or_default();
    let is_fixed_only = policies.as_deref() == Some(&[PolicyKind::Fixed]);
    if is_fixed_only && !base_targets.is_empty() {
        section.problem("base_targets", "needs a policy that scales: tracking or scheduled");
    }
    let min_instances = section.whole("min_instances", 0..=1000);
    let max_instances = section.whole("max_instances", 1..=1000);
    let provisioning_s = section.number("provisioning_s", 0.0..=86_400.0);
    let load_s = section.number("load_s", 0.0..=86_400.0);
    let routing = section.word("routing", &routings);
    let max_queue = section.whole("max_queue", 1..=1_000_000);
    let max_batch_delay_ms = section.number("max_batch_delay_ms", 0.0..=60_000.0);
    let spot = section.number("spot_interruptions_per_hour", 0.0..=60.0);
    let (min, max) = (min_instances.unwrap_or(1), max_instances.unwrap_or(100));
    if min > max {
        section.problem("min_instances", &format!("is above max_instances, {max}"));
    }
    section.expect("serverless");
    section.finish();
    let default_s = match platform {
        Platform::Sagemaker => 240.0,
        Platform::Kubernetes => 120.0,
    };
    Fleet {
        platform,
        base_targets,
        policies: policies.unwrap_or_else(|| kinds.iter().map(|(_, kind)| *kind).collect()),
        min_instances: min,
        max_instances: max,
        provisioning_s: provisioning_s.unwrap_or(default_s),
        load_s,
        routing: routing.unwrap_or(Routing::LeastOutstanding),
        max_queue: max_queue.unwrap_or(256),
        max_batch_delay_ms: max_batch_delay_ms.unwrap_or(0.0),
        spot_interruptions_per_hour: spot.unwrap_or(0.0),
        serverless: None,
    }
}

fn read_serverless(mut section: Section<'_, '_, '_>, platform: Platform) -> Option<Serverless> {
    if platform != Platform::Sagemaker {
        section.problem("target", "a serverless endpoint needs platform = \"sagemaker\"");
    }
    for (key, example) in [
        ("target", "\"ml.m5.large\""),
        ("memory_mb", "4096"),
        ("usd_per_gb_second", "0.00002 (the price of your region)"),
        ("max_concurrency", "20"),
        ("idle_minutes", "5"),
    ] {
        if !section.has(key) {
            section.problem(key, &format!("is missing, for example: {key} = {example}"));
        }
    }
    let target = section.text("target");
    let memory_mb = section.whole("memory_mb", 1024..=6144);
    if memory_mb.is_some_and(|memory_mb| memory_mb % 1024 != 0) {
        section.problem("memory_mb", "expected 1024, 2048, 3072, 4096, 5120 or 6144");
    }
    let usd_per_gb_second = section.number("usd_per_gb_second", 0.0..=1.0);
    let max_concurrency = section.whole("max_concurrency", 1..=200);
    let idle_minutes = section.number("idle_minutes", 0.0..=1440.0);
    let cold_start_s = section.number("cold_start_s", 0.0..=3600.0);
    let data_usd_per_gb = section.number("data_usd_per_gb", 0.0..=100.0);
    let data_kb_per_request = section.number("data_kb_per_request", 0.0..=1e6);
    if data_usd_per_gb.is_some() != data_kb_per_request.is_some() {
        section.problem("data_usd_per_gb", "is used with data_kb_per_request only");
    }
    section.finish();
    Some(Serverless {
        target: target?,
        memory_mb: memory_mb?,
        usd_per_gb_second: usd_per_gb_second?,
        max_concurrency: max_concurrency?,
        idle_minutes: idle_minutes?,
        cold_start_s,
        data_usd_per_gb: data_usd_per_gb.unwrap_or_default(),
        data_kb_per_request: data_kb_per_request.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: &str = "[objective]\nlatency_ms = 500\n";

    fn problems(text: &str) -> Vec<String> {
        match TrafficFile::parse("traffic.toml", text) {
            Err(Error::Content { problems, .. }) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_short_file_has_defaults() {
        let file = TrafficFile::parse("t", &format!("[traffic]\nrate = 2\n{OBJECTIVE}")).unwrap();
        assert_eq!(file.time_zone, Tz::UTC);
        assert_eq!((file.growth, file.peak_factor), (1.0, 1.0));
        assert_eq!((file.objective.percentile, file.objective.max_error_share), (95.0, 0.001));
        assert_eq!((file.fleet.min_instances, file.fleet.max_instances), (1, 100));
        assert_eq!(file.fleet.policies.len(), 3);
    }

    #[test]
    fn every_problem_has_its_line() {
        let found = problems(
            "[traffic]\nrate = 0\ntime_zone = \"Europe/Berln\"\nhours = [1, 2]\ndays = [0, 0, 0, 0, 0, 0, 0]\n[objective]\npercentil = 95\n[flet]\n",
        );
        let expected = [
            "line 2: traffic.rate: expected a number from 0.000001 to 1000000",
            "line 3: traffic.time_zone: unknown time zone `Europe/Berln`: expected an IANA name such as Europe/Berlin; did you mean `Europe/Berlin`?",
            "line 4: traffic.hours: expected 24 numbers of at least 0",
            "line 5: traffic.days: all rates are zero: expected at least one above 0",
            "line 6: objective.latency_ms: is missing, for example: latency_ms = 2000",
            "line 7: objective.percentil: unknown `percentil`: did you mean `percentile`? (expected `latency_ms`, `percentile`, `max_error_share`)",
            "line 8: unknown `flet`: did you mean `fleet`? (expected `traffic`, `objective`, `fleet`)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_rate_and_a_trace_exclude_each_other() {
        let found = problems(&format!("[traffic]\nrate = 1\ntrace = \"a.csv\"\n{OBJECTIVE}"));
        assert_eq!(found, ["line 3: traffic.trace: expected either rate or trace"]);
        let found =
            problems(&format!("[traffic]\ntrace = \"a.csv\"\ndays = [1,1,1,1,1,1,1]\n{OBJECTIVE}"));
        assert_eq!(
            found,
            ["line 3: traffic.days: applies to a rate only: a trace has its own times"]
        );
    }

    #[test]
    fn targets_of_a_base_are_listed() {
        let of = |fleet: &str| format!("[traffic]\nrate = 1\n{OBJECTIVE}[fleet]\n{fleet}\n");
        let file = TrafficFile::parse("t", &of("base_targets = [\"a\", \"b\"]")).unwrap();
        assert_eq!(file.fleet.base_targets, ["a", "b"]);
        for (fleet, problem) in [
            ("base_targets = \"a\"", "fleet.base_targets: expected a list of strings"),
            ("base_targets = [\"a\", 1]", "fleet.base_targets: expected a list of strings"),
            ("base_targets = []", "fleet.base_targets: expected at least one entry"),
            (
                "base_targets = [\"a\"]\npolicies = [\"fixed\"]",
                "fleet.base_targets: needs a policy that scales: tracking or scheduled",
            ),
        ] {
            assert_eq!(problems(&of(fleet)), [format!("line 6: {problem}")]);
        }
    }

    #[test]
    fn a_serverless_endpoint_has_prices_of_the_user() {
        let of = |fleet: &str| format!("[traffic]\nrate = 1\n{OBJECTIVE}[fleet]\n{fleet}\n");
        let given = "target = \"m5\", memory_mb = 4096, usd_per_gb_second = 2e-5, max_concurrency = 20, idle_minutes = 5";
        let text = of(&format!("min_instances = 0\nserverless = {{ {given} }}"));
        let file = TrafficFile::parse("t", &text).unwrap();
        assert_eq!(file.fleet.min_instances, 0);
        let found = file.fleet.serverless.unwrap();
        assert_eq!((found.memory_mb, found.max_concurrency, found.cold_start_s), (4096, 20, None));
        for (more, problem) in [
            (
                ", memory = 1",
                "fleet.serverless.memory: unknown `memory`: did you mean `memory_mb`?",
            ),
            (
                ", data_usd_per_gb = 1",
                "fleet.serverless.data_usd_per_gb: is used with data_kb_per_request only",
            ),
        ] {
            let found = problems(&of(&format!("serverless = {{ {given}{more} }}")));
            assert!(found.len() == 1 && found[0].contains(problem), "{found:?}");
        }
        let odd = given.replace("4096", "5000");
        let found = problems(&of(&format!("[fleet.serverless]\n{}", odd.replace(", ", "\n"))));
        assert_eq!(
            found,
            ["line 8: fleet.serverless.memory_mb: expected 1024, 2048, 3072, 4096, 5120 or 6144"]
        );
        let found = problems(&of("serverless = { target = \"m5\" }\nplatform = \"kubernetes\""));
        assert!(
            found.iter().any(|one| one.contains("needs platform = \"sagemaker\"")),
            "{found:?}"
        );
        assert!(found.iter().any(|one| one.contains("usd_per_gb_second: is missing")), "{found:?}");
        let found = problems(&of("serverless = 3"));
        assert_eq!(found, ["line 6: fleet.serverless: expected a table ([fleet.serverless])"]);
    }

    #[test]
    fn counts_must_agree() {
        let fleet = "[fleet]\nmin_instances = 5\nmax_instances = 4\n";
        let found = problems(&format!("[traffic]\nrate = 1\n{OBJECTIVE}{fleet}"));
        assert_eq!(found, ["line 6: fleet.min_instances: is above max_instances, 4"]);
    }
}
