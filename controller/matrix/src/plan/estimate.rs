//! How long a campaign will take, before it starts: roughly from assumptions (minutes or days), or from what earlier
//! campaigns took. The progress bar uses the campaign's own times instead.

use super::{Cell, Load, Plan, Sustained};
use crate::{Matrix, Target};
use model::endpoint::Place;
use model::engine::Dtype;
use std::time::Duration;

/// Assumed sustained rate of one CPU thread on T5, in GFLOP/s.
const GFLOPS_PER_THREAD: f64 = 15.0;
/// Assumed sustained rate of a GPU that decodes small batches, in GFLOP/s.
const GFLOPS_PER_GPU: f64 = 400.0;
/// Assumed tokens per dialogue.
const INPUT_TOKENS: f64 = 200.0;
const OUTPUT_TOKENS: f64 = 30.0;
/// Assumed seconds of a request to an endpoint, whose machine is unknown.
const ENDPOINT_SECONDS: f64 = 1.0;
/// Assumed runs of a search.
const SEARCH_RUNS: f64 = 30.0;
/// AWS instance families with GPUs.
const GPU_FAMILIES: [&str; 8] = ["g4dn.", "g5.", "g6.", "g6e.", "p3.", "p4d.", "p5.", "g4ad."];

/// How long the plan's cells take on one agent of their target.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// In the order of the plan's cells.
    cells: Vec<CellTime>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct CellTime {
    step: StepTime,
    /// Loading and warm-up of a run.
    start: f64,
    is_measured: bool,
}

/// What a cell of an earlier campaign took, on one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    pub target: String,
    /// [`Model::id`](crate::Model::id).
    pub model: String,
    pub dtype: Dtype,
    /// As [`Matrix::beams_asked`] counts them.
    pub num_beams: u32,
    pub batch_size: u32,
    /// Seconds per sample in closed loop; none under a load, which sets the pace itself.
    pub sample: Option<f64>,
    /// Seconds of loading and warm-up before a run.
    pub start: f64,
}

impl Estimate {
    /// Without any measurement.
    pub fn assumed(plan: &Plan, matrix: &Matrix) -> Self {
        let cell = |cell: &Cell| {
            let step = StepTime::of(matrix, cell);
            let warmup = f64::from(matrix.protocol.warmup * cell.batch_size);
            let start = warmup * seconds_per_sample(matrix, cell);
            CellTime { step, start, is_measured: false }
        };
        Self { cells: plan.cells.iter().map(cell).collect() }
    }

    /// From earlier campaigns, the most relevant first. A cell that they measured takes as long as it did there. Another
    /// cell takes the assumed time, corrected by the mean ratio of measured to assumed times: of its model on its
    /// target, otherwise of its target.
    pub fn measured(plan: &Plan, matrix: &Matrix, paces: &[Pace]) -> Self {
        let mut estimate = Self::assumed(plan, matrix);
        for (time, cell) in estimate.cells.iter_mut().zip(&plan.cells) {
            let (target, model) = (&matrix.targets[cell.target], &matrix.models[cell.model].id);
            let same_target = |pace: &&Pace| pace.target == target.name.as_str();
            let same_model = |pace: &&Pace| pace.model == *model;
            let here: Vec<&Pace> = paces.iter().filter(same_target).collect();
            let alike: Vec<&Pace> = here.iter().copied().filter(same_model).collect();
            let alike = if alike.is_empty() { &here } else { &alike };
            if let Some(start) = mean(alike.iter().map(|pace| pace.start)) {
                time.start = start;
            }
            let exact = here.iter().find(|pace| {
                same_model(pace)
                    && (pace.dtype, pace.batch_size) == (cell.dtype, cell.batch_size)
                    && pace.num_beams == matrix.beams_asked(cell)
                    && pace.sample.is_some()
            });
            if let Some(sample) = exact.and_then(|pace| pace.sample) {
                time.step.busy = if cell.sustained().is_some() { 0.0 } else { sample };
                time.is_measured = true;
            } else {
                let assumed = |pace: &Pace| {
                    assumed_sample(&pace.model, target) * cost_of_beams(pace.num_beams)
                };
                let ratio = |pace: &&Pace| Some(pace.sample? / assumed(pace));
                time.step.busy *= mean(alike.iter().filter_map(ratio)).unwrap_or(1.0);
                // The load sets the pace, so only the start matters.
                time.is_measured = cell.load.is_some() && !alike.is_empty();
            }
        }
        estimate
    }

    /// How many cells an earlier campaign measured.
    pub fn measured_cells(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_measured).count()
    }

    /// Seconds of work for one agent of each target, over the whole plan.
    pub fn seconds_per_target(&self, plan: &Plan, matrix: &Matrix) -> Vec<f64> {
        let mut seconds = vec![0.0; matrix.targets.len()];
        // Without the runs that adaptive precision may add.
        let searches = plan.searches(matrix);
        let candidates_of =
            |cell: usize| searches.iter().find(|search| search.contains(&cell)).map_or(1, Vec::len);
        for run in &plan.runs {
            let cell = &plan.cells[run.cell];
            // A search measures few of its candidates, and where isn't known.
            let is_candidate = cell.is_candidate(matrix);
            let counted = if is_candidate { 1 } else { matrix.protocol.least_runs() };
            if run.number > counted {
                continue;
            }
            let share =
                if is_candidate { SEARCH_RUNS / candidates_of(run.cell) as f64 } else { 1.0 };
            let CellTime { step, start, .. } = self.cells[run.cell];
            // The agents share the samples; one agent executes a sustained load, unless several load an endpoint.
            let agents = f64::from(matrix.targets[cell.target].agents);
            let is_endpoint = matrix.models[cell.model].endpoint.is_some();
            let sharing = match cell.sustained() {
                _ if is_endpoint => f64::from(cell.agents),
                Some(_) => 1.0,
                None => agents,
            };
            let steps = plan.steps_of(run.cell) as f64 / sharing;
            // At a low rate the arrivals take longer than the work.
            seconds[cell.target] += share * (steps * step.busy.max(step.least) + start);
        }
        seconds
    }

    /// Local agents share this machine and run in turn; other targets run in parallel.
    pub fn campaign_seconds(&self, plan: &Plan, matrix: &Matrix) -> f64 {
        let seconds = self.seconds_per_target(plan, matrix);
        let pairs = || matrix.targets.iter().zip(&seconds);
        let here: f64 = pairs().filter(|(target, _)| target.local.is_some()).map(|(_, s)| s).sum();
        let elsewhere = pairs().filter(|(target, _)| target.local.is_none()).map(|(_, s)| *s);
        elsewhere.fold(here, f64::max)
    }
}

fn mean(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = figures.fold((0_u32, 0.0), |(count, sum), figure| (count + 1, sum + figure));
    (count > 0).then(|| sum / f64::from(count))
}

/// How long a step of a cell takes on one agent: a sample, or a window of a sustained load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepTime {
    /// Assumed seconds of work.
    pub busy: f64,
    /// Seconds that pass even on an infinitely fast machine: the mean gap between arrivals, or the window.
    pub least: f64,
}

impl StepTime {
    pub fn of(matrix: &Matrix, cell: &Cell) -> Self {
        if let Some(Sustained { window_ns, .. }) = cell.sustained() {
            return Self { busy: 0.0, least: window_ns as f64 / 1e9 };
        }
        // Where it changes, as if it were the lowest.
        let rate = lowest_rate(matrix, cell);
        // An endpoint answers requests at the same time, so that only their arrivals take time, or those that each user
        // waits for.
        let is_endpoint = matrix.models[cell.model].endpoint.is_some();
        let users = cell.load.filter(|load| is_endpoint && load.request_rate.is_none());
        let users = users.map_or(1, |load| load.concurrency / cell.agents.max(1));
        Self {
            busy: match rate {
                Some(_) if is_endpoint => 0.0,
                _ => seconds_per_sample(matrix, cell) / f64::from(users.max(1)),
            },
            least: 1.0 / rate.unwrap_or(f64::INFINITY),
        }
    }
}

/// An attempt is only given up when it takes this many times longer than estimated: the estimate may be off by ten.
const TIMEOUT_FACTOR: f64 = 20.0;
/// No attempt without progress is given up earlier, unless the matrix sets a timeout.
const LEAST_TIMEOUT: Duration = Duration::from_mins(10);

/// How long an attempt may take without a stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressDeadline {
    /// From the offer to the first batch, loading and warm-up included.
    pub first: Duration,
    /// From one batch to the next.
    pub next: Duration,
}

impl ProgressDeadline {
    pub fn of(matrix: &Matrix, cell: &Cell) -> Self {
        // Time that passes even on an infinitely fast machine: a window, or twenty mean gaps between arrivals.
        let pause = match cell.load {
            None => 0.0,
            Some(Load { sustained: Some(Sustained { window_ns, .. }), .. }) => {
                window_ns as f64 / 1e9
            }
            Some(load) => {
                let gaps = 20.0 / lowest_rate(matrix, cell).unwrap_or(f64::INFINITY);
                let recorded = matrix.loads.recorded(cell.scenario, &load, matrix.seed);
                recorded.map_or(gaps, |all| gaps.max(all.longest_gap_ns() as f64 / 1e9))
            }
        };
        let batch = f64::from(cell.batch_size) * seconds_per_sample(matrix, cell);
        let after = |batches: u32| {
            let estimated = seconds(TIMEOUT_FACTOR * batch * f64::from(batches)).max(LEAST_TIMEOUT);
            matrix.progress_timeout.unwrap_or(estimated).saturating_add(seconds(pause))
        };
        Self { first: after(matrix.protocol.warmup + 1), next: after(1) }
    }
}

/// The lowest rate of an open loop.
fn lowest_rate(matrix: &Matrix, cell: &Cell) -> Option<f64> {
    let lowest = matrix.loads.rate_profile(cell.scenario).map_or(1.0, |profile| profile.range().0);
    Some(cell.load?.request_rate? * lowest / f64::from(cell.agents.max(1)))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

fn seconds_per_sample(matrix: &Matrix, cell: &Cell) -> f64 {
    let greedy = assumed_sample(&matrix.models[cell.model].id, &matrix.targets[cell.target]);
    greedy * cost_of_beams(matrix.beams_asked(cell))
}

/// Assumed time of a beam search, in times of greedy decoding. The beams share the encoder and the
/// weights that are read for each token.
fn cost_of_beams(num_beams: u32) -> f64 {
    1.0 + 0.4 * f64::from(num_beams.saturating_sub(1))
}

/// Seconds per sample.
fn assumed_sample(model: &str, target: &Target) -> f64 {
    if Place::of(model).is_some() {
        return ENDPOINT_SECONDS;
    }
    gflop_per_sample(model) / gflops(target)
}

fn gflops(target: &Target) -> f64 {
    if let Some(local) = target.local {
        return GFLOPS_PER_THREAD * f64::from(local.threads);
    }
    let name = target.name.as_str();
    if GPU_FAMILIES.iter().any(|family| name.trim_start_matches("ml.").starts_with(family)) {
        return GFLOPS_PER_GPU;
    }
    GFLOPS_PER_THREAD * physical_cores(name)
}

/// AWS sizes: `xlarge` has 4 vCPUs, `4xlarge` four times as many, and smaller sizes have 2, if not 1.
fn physical_cores(instance_type: &str) -> f64 {
    let (family, size) = instance_type.rsplit_once('.').unwrap_or_default();
    let virtual_cpus = match size.strip_suffix("xlarge") {
        Some("") => 4.0,
        Some(times) => times.parse::<f64>().map_or(4.0, |times| 4.0 * times),
        None => 2.0,
    };
    virtual_cpus / threads_per_core(family)
}

/// A vCPU of Graviton, and of AMD from the seventh generation on, is a core; of others it is one of a core's two
/// threads.
fn threads_per_core(family: &str) -> f64 {
    let family = family.trim_start_matches("ml.");
    let digits = |c: char| c.is_ascii_digit();
    let name = family.trim_start_matches(|c: char| !digits(c));
    let attributes = name.trim_start_matches(digits);
    let generation: u32 = name.strip_suffix(attributes).and_then(|n| n.parse().ok()).unwrap_or(0);
    let is_graviton = attributes.starts_with('g') || family == "a1";
    let is_late_amd = attributes.starts_with('a') && generation >= 7;
    if is_graviton || is_late_amd { 1.0 } else { 2.0 }
}

/// Two operations per weight and token, encoder and decoder about half of the weights each.
fn gflop_per_sample(model: &str) -> f64 {
    let mega_parameters = [("tiny", 3.0), ("small", 77.0), ("base", 248.0), ("large", 783.0)]
        .iter()
        .find(|(name, _)| model.contains(name))
        .map_or(248.0, |(_, size)| *size);
    mega_parameters * (INPUT_TOKENS + OUTPUT_TOKENS) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Overrides;
    use std::path::Path;

    const MATRIX: &str = r#"
        name = "n"
        [protocol]
        runs = 2
        warmup = 0
        [dataset]
        source = "builtin:dialogues"
        [[model]]
        name = "tiny"
        id = "builtin:tiny"
        [factors]
        dtypes = ["f32"]
        batch_sizes = [1, 8]
        [[target]]
        name = "here"
        usd_per_hour = 1.0
    "#;

    fn pace(target: &str, batch_size: u32, sample: f64) -> Pace {
        let (target, model) = (target.to_owned(), "builtin:tiny".to_owned());
        Pace {
            target,
            model,
            dtype: Dtype::F32,
            num_beams: 1,
            batch_size,
            sample: Some(sample),
            start: 5.0,
        }
    }

    /// Seconds for 100 samples per run.
    fn estimated(paces: &[Pace]) -> (f64, usize) {
        let checked = Matrix::check(MATRIX, "m.toml", Path::new("/"), &Overrides::default());
        let matrix = checked.unwrap();
        let plan = Plan::make(&matrix, 100).unwrap();
        let estimate = Estimate::measured(&plan, &matrix, paces);
        (estimate.campaign_seconds(&plan, &matrix), estimate.measured_cells())
    }

    #[test]
    fn a_measured_cell_takes_as_long_as_it_did() {
        let paces = [pace("here", 1, 2.0), pace("here", 8, 1.0), pace("here", 1, 50.0)];
        let (seconds, measured) = estimated(&paces);
        // Two runs of (200 + 5) and (100 + 5) s.
        assert!((seconds - 620.0).abs() < 1e-6, "{seconds}");
        assert_eq!(measured, 2);
    }

    #[test]
    fn beams_take_longer_and_are_not_taken_for_greedy_decoding() {
        let text = MATRIX.replace("[1, 8]", "[1]\nnum_beams = [1, 4]");
        let checked = Matrix::check(&text, "m.toml", Path::new("/"), &Overrides::default());
        let matrix = checked.unwrap();
        let plan = Plan::make(&matrix, 100).unwrap();
        let estimate = Estimate::measured(&plan, &matrix, &[pace("here", 1, 2.0)]);
        // Two runs of (200 + 5) and (2.2 * 200 + 5) s.
        let seconds = estimate.campaign_seconds(&plan, &matrix);
        assert!((seconds - 1300.0).abs() < 1e-6, "{seconds}");
        assert_eq!(estimate.measured_cells(), 1);
    }

    #[test]
    fn other_cells_are_corrected_by_the_measured_ones() {
        let (seconds, measured) = estimated(&[pace("here", 1, 2.0)]);
        // The assumption doesn't depend on the batch size, so both batch sizes take 2 s per sample.
        assert!((seconds - 820.0).abs() < 1e-6, "{seconds}");
        assert_eq!(measured, 1);
        assert_eq!(estimated(&[pace("elsewhere", 1, 2.0)]), estimated(&[]));
    }

    #[test]
    fn arrivals_at_an_endpoint_take_no_longer_than_they_are_apart() {
        let matrix = MATRIX
            .replace("builtin:tiny", "http://127.0.0.1:1/v1/completions")
            .replace("batch_sizes = [1, 8]", r#"scenarios = ["single_stream", "server"]"#)
            .replace("warmup = 0", "warmup = 0\nserver = { request_rates = [4] }")
            .replace(
                "[factors]",
                "[model.endpoint]\napi = \"openai-completions\"\nmodel = \"m\"\n[factors]",
            );
        let checked = Matrix::check(&matrix, "m.toml", Path::new("/"), &Overrides::default());
        let matrix = checked.unwrap();
        let plan = Plan::make(&matrix, 100).unwrap();
        let seconds = Estimate::measured(&plan, &matrix, &[]).campaign_seconds(&plan, &matrix);
        // Two runs of 100 s, one request after the other, and of 25 s.
        assert!((seconds - 250.0).abs() < 1e-6, "{seconds}");
    }

    #[test]
    fn cores_scale_with_the_instance_size() {
        assert!((physical_cores("ml.m5.xlarge") - 2.0).abs() < f64::EPSILON);
        assert!((physical_cores("ml.m5.4xlarge") - 8.0).abs() < f64::EPSILON);
        assert!((physical_cores("ml.t3.medium") - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_virtual_cpu_of_graviton_is_a_core() {
        for (instance_type, cores) in [
            ("ml.m5.xlarge", 2.0),
            ("ml.m6g.xlarge", 4.0),
            ("ml.c7gn.2xlarge", 8.0),
            ("im4gn.xlarge", 4.0),
            ("a1.xlarge", 4.0),
            ("t4g.medium", 2.0),
            ("ml.c6i.xlarge", 2.0),
            ("ml.m6a.xlarge", 2.0),
            ("ml.m7a.xlarge", 4.0),
            ("u-6tb1.56xlarge", 112.0),
            ("here", 1.0),
        ] {
            let found = physical_cores(instance_type);
            assert!((found - cores).abs() < f64::EPSILON, "{instance_type}: {found}");
        }
    }
}
