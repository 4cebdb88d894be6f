//! Results -> logs in the form of MLPerf's LoadGen, a summary and a detail file for each cell.
//!
//! The lines, keys and rules are those of LoadGen 6.0 (`loadgen/results.cc`, `test_settings_internal.cc` and
//! `logging.h` of mlcommons/inference), so that tools that read its logs read these. Settings that Fleetmark doesn't
//! have are 0, as LoadGen writes what isn't set.

use crate::one_line::one_line;
use crate::sentences::{beams, causes, counted, lookup};
use results::{Cell, Entry, Results};
use serde_json::{Value, json};
use stats::Scenario;
use stats::loadgen::{EarlyStopping, LoadGen, Target};
use stats::slo::Slo;
use stats::validity::Status;
use std::fmt::Write as _;

const RULE: &str = "================================================";

/// The percentile that is the result of SingleStream, and LoadGen's default in the other scenarios.
const SINGLE_STREAM_SHARE: f64 = 0.9;
const OTHER_SHARE: f64 = 0.99;

/// The logs of one cell.
#[derive(Debug)]
pub struct Logs {
    /// A plain name made from the cell's id; no two are equal.
    pub folder: String,
    /// `mlperf_log_summary.txt`.
    pub summary: String,
    /// `mlperf_log_detail.txt`.
    pub detail: String,
}

/// The logs of every cell that has a LoadGen scenario and a summary at least.
pub fn render(results: &Results) -> Vec<Logs> {
    let mut logs: Vec<Logs> = Vec::new();
    for entry in &results.results {
        for cell in &entry.cells {
            let Some(test) = Test::of(results, entry, cell) else { continue };
            let plain = folder(&cell.cell);
            let is_taken = |name: &str| logs.iter().any(|logs| logs.folder == name);
            let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
            let folder =
                std::iter::once(plain.clone()).chain(numbered).find(|name| !is_taken(name));
            logs.push(Logs {
                folder: folder.unwrap_or(plain),
                summary: test.summary(),
                detail: test.detail(),
            });
        }
    }
    logs
}

/// Letters, digits and `-_.@` of a cell's id, which may come from a stranger's results.json.
fn folder(cell: &str) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '@' => c,
        _ => '_',
    };
    let name: String = cell.chars().take(200).map(plain).collect();
    if name.starts_with('.') || name.is_empty() { format!("_{name}") } else { name }
}

/// A cell as one performance test of LoadGen.
struct Test<'a> {
    results: &'a Results,
    entry: &'a Entry,
    cell: &'a Cell,
    figures: &'a LoadGen,
    scenario: &'static str,
}

/// What LoadGen asks of a valid test.
struct Constraints {
    /// Null without a latency constraint, outside of Server.
    performance: Option<bool>,
    queries: bool,
    early_stopping: bool,
    /// Fleetmark's own verdict.
    usable: bool,
}

impl Constraints {
    fn are_met(&self) -> bool {
        self.performance != Some(false) && self.queries && self.early_stopping && self.usable
    }
}

impl<'a> Test<'a> {
    fn of(results: &'a Results, entry: &'a Entry, cell: &'a Cell) -> Option<Self> {
        let scenario = match cell.estimates.scenario {
            Scenario::Offline => "Offline",
            Scenario::SingleStream => "SingleStream",
            Scenario::Server if entry.load.is_some_and(|load| load.concurrency.is_some()) => {
                return None;
            }
            Scenario::Server => "Server",
            // LoadGen's Server is an open loop, and it has no sustained load.
            Scenario::Stress => return None,
        };
        Some(Self { results, entry, cell, figures: cell.loadgen.as_ref()?, scenario })
    }

    fn is_offline(&self) -> bool {
        self.cell.estimates.scenario == Scenario::Offline
    }

    fn is_server(&self) -> bool {
        self.cell.estimates.scenario == Scenario::Server
    }

    /// What was measured, on what.
    fn sut(&self) -> String {
        let Entry { target, measured_on, model, dtype, num_beams, .. } = self.entry;
        let batch_size = self.cell.batch_size;
        let mut searched =
            num_beams.map_or_else(String::new, |number| format!(", {}", beams(number)));
        let lookups = self.entry.prompt_lookup_num_tokens.into_iter().map(lookup);
        searched.extend(lookups.map(|lookup| format!(", {lookup}")));
        one_line(&format!(
            "{model} {dtype}{searched}, batch size {batch_size}, on {target} ({measured_on})"
        ))
        .into_owned()
    }

    fn target(&self) -> Option<&Target> {
        self.figures.target.as_ref()
    }

    fn target_latency_ns(&self) -> u64 {
        self.target().map_or(0, |target| target.latency_ns)
    }

    fn target_share(&self) -> f64 {
        match self.target() {
            Some(Target { slo: Slo { percentile, .. }, .. }) => percentile / 100.0,
            None if self.cell.estimates.scenario == Scenario::SingleStream => SINGLE_STREAM_SHARE,
            None => OTHER_SHARE,
        }
    }

    /// Requests that the plan has.
    fn planned(&self) -> u64 {
        self.cell.counted_samples + self.cell.failed_samples + self.cell.missing_samples
    }

    /// LoadGen's Offline sends all samples of a run as one query.
    fn samples_per_query(&self) -> u64 {
        if self.is_offline() { self.entry.num_samples.max(1) } else { 1 }
    }

    fn planned_queries(&self) -> u64 {
        self.planned().div_ceil(self.samples_per_query())
    }

    fn queries(&self) -> u64 {
        self.figures.sample_count.div_ceil(self.samples_per_query())
    }

    fn target_qps(&self) -> f64 {
        self.entry.load.and_then(|load| load.request_rate).unwrap_or(0.0)
    }

    fn constraints(&self) -> Constraints {
        let kept = |target: &Target| target.percentile_latency_ns <= target.latency_ns;
        Constraints {
            performance: self.is_server().then(|| self.target().is_some_and(kept)),
            queries: self.figures.sample_count >= self.planned(),
            early_stopping: match self.figures.early_stopping.first() {
                Some(first) => first.estimate.is_some(),
                None if self.is_server() => {
                    self.target().is_some_and(|target| target.missing_queries == 0)
                }
                None => true,
            },
            usable: self.cell.validity.status != Status::Invalid,
        }
    }

    /// What to do about constraints that aren't met, in LoadGen's words where it has them.
    fn recommendations(&self, constraints: &Constraints) -> Vec<String> {
        let mut found = Vec::new();
        if constraints.performance == Some(false) {
            found.push(match self.target() {
                Some(_) => "Reduce target QPS to improve latency.".to_owned(),
                None => "Set slo.request_latency_ms in the matrix: without it, there is no latency constraint.".to_owned(),
            });
        }
        if !constraints.queries {
            found.push("The test exited early, before enough queries were issued.\n   See the detailed log for why this may have occurred.".to_owned());
        }
        if !constraints.usable {
            let causes = one_line(&causes(&self.cell.validity)).into_owned();
            found.push(format!("Fleetmark: the cell is INVALID: {causes}"));
        }
        found
    }

    /// LoadGen's lines on early stopping; none in Offline.
    fn early_stopping(&self) -> Option<String> {
        if let [first, further @ ..] = self.figures.early_stopping.as_slice() {
            return Some(single_stream(first, further, self.figures.sample_count));
        }
        self.is_server().then(|| match self.target() {
            Some(Target { missing_queries: 0, .. }) => " * Run successful.".to_owned(),
            Some(Target { missing_queries, .. }) => format!(
                " * Run unsuccessful.\n * Processed {} queries.\n * Would need to run at least {missing_queries} more queries,\n with the run being successful if every additional\n query were under latency.",
                self.figures.sample_count
            ),
            None => " * Run unsuccessful.\n * There is no target latency.".to_owned(),
        })
    }

    /// What LoadGen would log as errors, then as warnings.
    fn troubles(&self) -> (Vec<String>, Vec<String>) {
        let failed = self.cell.failed_by.iter();
        let mut errors: Vec<String> = failed
            .map(|(kind, count)| format!("{}: {kind}", counted(*count, "failed request")))
            .collect();
        if self.cell.missing_samples > 0 {
            errors.push(format!("{} missing", counted(self.cell.missing_samples, "request")));
        }
        let mut warnings = Vec::new();
        match self.cell.validity.status {
            Status::Valid => {}
            Status::Degraded => warnings.push(causes(&self.cell.validity)),
            Status::Invalid => errors.push(causes(&self.cell.validity)),
        }
        (errors, warnings)
    }

    fn notice(&self) -> String {
        let runs = counted(self.cell.estimates.runs.len() as u64, "run");
        let is_joined = self.cell.estimates.runs.len() > 1;
        let joined = if is_joined { ", joined as if they were one" } else { "" };
        format!(
            "A measurement by Fleetmark {} in the form of LoadGen's log: {runs}{joined}. This is not an MLPerf result.",
            one_line(&self.results.campaign.controller_version)
        )
    }

    fn summary(&self) -> String {
        let constraints = self.constraints();
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        let yes = |is_met: bool| if is_met { "Yes" } else { "NO" };
        line(&self.notice());
        line(&format!("Campaign : {}", one_line(&self.results.campaign.id)));
        line(&format!("Cell     : {}", one_line(&self.cell.cell)));
        line(&format!("Validity : {}", self.cell.validity.status.as_str()));
        line(&heading("MLPerf Results Summary"));
        line(&format!("SUT name : {}", self.sut()));
        line(&format!("Scenario : {}", self.scenario));
        line("Mode     : PerformanceOnly");
        let figures = self.figures;
        if let Some(rate) = figures.completed_samples_per_s {
            match self.cell.estimates.scenario {
                Scenario::Offline => line(&format!("Samples per second: {}", general(rate))),
                Scenario::Server => line(&format!("Completed samples per second    : {rate:.2}")),
                Scenario::SingleStream | Scenario::Stress => {}
            }
        }
        if self.cell.estimates.scenario == Scenario::SingleStream {
            line(&format!("90.0th percentile latency (ns) : {}", figures.latency_ns.p90));
        }
        line(&format!("Result is : {}", if constraints.are_met() { "VALID" } else { "INVALID" }));
        if let Some(is_met) = constraints.performance {
            line(&format!("  Performance constraints satisfied : {}", yes(is_met)));
        }
        line("  Min duration satisfied : Yes");
        line(&format!("  Min queries satisfied : {}", yes(constraints.queries)));
        line(&format!("  Early stopping satisfied: {}", yes(constraints.early_stopping)));
        if !constraints.are_met() {
            line("Recommendations:");
            for recommendation in self.recommendations(&constraints) {
                line(&format!(" * {recommendation}"));
            }
        }
        if let Some(result) = self.early_stopping() {
            line("Early Stopping Result:");
            line(&result);
        }
        line(&format!("\n{}", heading("Additional Stats")));
        line(self.statistics().trim_end());
        line(&format!("\n{}", heading("Test Parameters Used")));
        for (name, value) in self.parameters() {
            line(&format!("{name}{value}"));
        }
        let (errors, warnings) = self.troubles();
        line(&match warnings.len() {
            0 => "\nNo warnings encountered during test.".to_owned(),
            1 => "\n1 warning encountered. See detailed log.".to_owned(),
            count => format!("\n{count} warnings encountered. See detailed log."),
        });
        line(&match errors.len() {
            0 => "\nNo errors encountered during test.".to_owned(),
            1 => "\n1 ERROR encountered. See detailed log.".to_owned(),
            count => format!("\n{count} ERRORS encountered. See detailed log."),
        });
        text
    }

    /// The rates beside the result, and the latencies.
    fn statistics(&self) -> String {
        let figures = self.figures;
        let mut text = String::new();
        let issued = figures.issued_samples_per_s.map(|rate| format!("{rate:.2}"));
        let mut add = |label: &str, value: &str| {
            writeln!(text, "{label:<32}: {value}").expect("memory can be written to");
        };
        if self.cell.estimates.scenario == Scenario::SingleStream {
            if let Some(issued) = &issued {
                add("QPS w/ loadgen overhead", issued);
            }
            if let Some(rate) = self.per_mean_latency() {
                add("QPS w/o loadgen overhead", &format!("{rate:.2}"));
            }
        }
        let mut latencies = String::new();
        for (name, value) in self.latencies() {
            let label = match name {
                "min" => "Min latency (ns)".to_owned(),
                "max" => "Max latency (ns)".to_owned(),
                "mean" => "Mean latency (ns)".to_owned(),
                percentile => format!("{percentile} percentile latency (ns)"),
            };
            writeln!(latencies, "{label:<32}: {value}").expect("memory can be written to");
        }
        match (self.cell.estimates.scenario, issued) {
            (Scenario::Server, Some(issued)) => {
                format!("Scheduled samples per second : {issued}\n{latencies}")
            }
            (Scenario::SingleStream, _) => format!("{text}\n{latencies}"),
            _ => latencies,
        }
    }

    fn per_mean_latency(&self) -> Option<f64> {
        let mean = self.figures.latency_ns.mean as f64;
        (mean > 0.0).then(|| 1e9 / mean)
    }

    fn latencies(&self) -> [(&'static str, u64); 9] {
        let latency = &self.figures.latency_ns;
        [
            ("min", latency.min),
            ("max", latency.max),
            ("mean", latency.mean),
            ("50.00", latency.p50),
            ("90.00", latency.p90),
            ("95.00", latency.p95),
            ("97.00", latency.p97),
            ("99.00", latency.p99),
            ("99.90", latency.p999),
        ]
    }

    /// The settings in the order of the summary.
    fn parameters(&self) -> [(&'static str, String); 20] {
        let seed = self.results.campaign.seed.to_string();
        let samples = self.results.dataset.samples.to_string();
        let queries = self.planned_queries().to_string();
        let zero = || "0".to_owned();
        [
            ("samples_per_query : ", self.samples_per_query().to_string()),
            ("target_qps : ", general(self.target_qps())),
            ("target_latency (ns): ", self.target_latency_ns().to_string()),
            ("max_async_queries : ", u8::from(!self.is_server()).to_string()),
            ("min_duration (ms): ", zero()),
            ("max_duration (ms): ", zero()),
            ("min_query_count : ", queries.clone()),
            ("max_query_count : ", queries),
            ("qsl_rng_seed : ", seed.clone()),
            ("sample_index_rng_seed : ", seed.clone()),
            ("schedule_rng_seed : ", seed),
            ("accuracy_log_rng_seed : ", zero()),
            ("accuracy_log_probability : ", zero()),
            ("accuracy_log_sampling_target : ", zero()),
            ("print_timestamps : ", zero()),
            ("performance_issue_unique : ", zero()),
            ("performance_issue_same : ", zero()),
            ("performance_issue_same_index : ", zero()),
            ("performance_sample_count : ", samples.clone()),
            ("accuracy_sample_count : ", samples),
        ]
    }

    fn detail(&self) -> String {
        let (errors, warnings) = self.troubles();
        let mut lines: Vec<String> =
            self.facts().into_iter().map(|(key, value)| logged(key, &value, Kind::Point)).collect();
        let note = |key, text: &String, kind| logged(key, &json!(one_line(text)), kind);
        lines.extend(
            warnings.iter().map(|text| note("warning_generic_message", text, Kind::Warning)),
        );
        lines.extend(errors.iter().map(|text| note("error_runtime", text, Kind::Error)));
        lines.extend(
            self.outcome().into_iter().map(|(key, value)| logged(&key, &value, Kind::Point)),
        );
        lines.push(logged("num_errors", &json!(errors.len()), Kind::Point));
        lines.concat()
    }

    /// What was tested, and with which settings.
    fn facts(&self) -> Vec<(&'static str, Value)> {
        let Results { campaign, dataset, .. } = self.results;
        let text = |text: &str| json!(one_line(text));
        let (queries, samples) = (self.planned_queries(), self.samples_per_query());
        vec![
            ("fleetmark_notice", json!(self.notice())),
            ("fleetmark_campaign", text(&campaign.id)),
            ("fleetmark_cell", text(&self.cell.cell)),
            ("fleetmark_validity", json!(self.cell.validity.status.as_str())),
            ("test_datetime", text(&self.entry.timestamp)),
            ("sut_name", json!(self.sut())),
            ("qsl_name", text(&dataset.source)),
            ("qsl_reported_total_count", json!(dataset.dialogues)),
            ("qsl_reported_performance_count", json!(dataset.samples)),
            ("effective_scenario", json!(self.scenario)),
            ("effective_test_mode", json!("PerformanceOnly")),
            ("effective_samples_per_query", json!(samples)),
            ("effective_target_qps", json!(self.target_qps())),
            ("effective_target_latency_ns", json!(self.target_latency_ns())),
            ("effective_target_latency_percentile", json!(self.target_share())),
            ("effective_max_async_queries", json!(u8::from(!self.is_server()))),
            ("effective_target_duration_ms", json!(0)),
            ("effective_min_duration_ms", json!(0)),
            ("effective_max_duration_ms", json!(0)),
            ("effective_min_query_count", json!(queries)),
            ("effective_max_query_count", json!(queries)),
            ("effective_min_sample_count", json!(queries * samples)),
            ("effective_qsl_rng_seed", json!(campaign.seed)),
            ("effective_sample_index_rng_seed", json!(campaign.seed)),
            ("effective_schedule_rng_seed", json!(campaign.seed)),
            ("effective_accuracy_log_rng_seed", json!(0)),
            ("effective_accuracy_log_probability", json!(0)),
            ("effective_accuracy_log_sampling_target", json!(0)),
            ("effective_print_timestamps", json!(false)),
            ("effective_performance_issue_unique", json!(false)),
            ("effective_performance_issue_same", json!(false)),
            ("effective_performance_issue_same_index", json!(0)),
            ("effective_performance_sample_count", json!(dataset.samples)),
            ("effective_accuracy_sample_count", json!(dataset.samples)),
            // Every run sends each dialogue once.
            ("effective_sample_concatenate_permutation", json!(true)),
        ]
    }

    fn outcome(&self) -> Vec<(String, Value)> {
        let constraints = self.constraints();
        let figures = self.figures;
        let mut found = Vec::new();
        let mut add = |key: &str, value: Value| found.push((key.to_owned(), value));
        let validity = if constraints.are_met() { "VALID" } else { "INVALID" };
        add("result_validity", json!(validity));
        if let Some(is_met) = constraints.performance {
            add("result_perf_constraints_met", json!(is_met));
        }
        add("result_min_duration_met", json!(true));
        add("result_min_queries_met", json!(constraints.queries));
        add("early_stopping_met", json!(constraints.early_stopping));
        if !constraints.are_met() {
            let reasons = self.recommendations(&constraints).join(" ").replace('\n', " ");
            add("result_invalid_reason", json!(reasons));
        }
        let early_stopping = self.early_stopping().unwrap_or_default().replace('\n', " ");
        add("early_stopping_result", json!(early_stopping));
        add("result_query_count", json!(self.queries()));
        match self.cell.estimates.scenario {
            Scenario::SingleStream => {
                add("result_qps_with_loadgen_overhead", json!(figures.issued_samples_per_s));
                add("result_qps_without_loadgen_overhead", json!(self.per_mean_latency()));
                let estimate = |place: usize| {
                    let found = figures.early_stopping.get(place).and_then(|found| found.estimate);
                    json!(found.map_or(0, |estimate| estimate.latency_ns))
                };
                add("early_stopping_latency_ss", estimate(0));
                add("early_stopping_latency_ms", estimate(1));
            }
            Scenario::Server => {
                // Without an objective, the target latency is 0 and every request is above it.
                let over = self.target().map_or(figures.sample_count, |target| target.over_latency);
                add("result_overlatency_query_count", json!(over));
                add("result_scheduled_samples_per_sec", json!(figures.issued_samples_per_s));
                add("result_completed_samples_per_sec", json!(figures.completed_samples_per_s));
            }
            Scenario::Offline => {
                add("result_samples_per_second", json!(figures.completed_samples_per_s));
            }
            Scenario::Stress => {}
        }
        for (name, value) in self.latencies() {
            let key = match name {
                "min" | "max" | "mean" => format!("result_{name}_latency_ns"),
                percentile => format!("result_{percentile}_percentile_latency_ns"),
            };
            add(&key, json!(value));
        }
        found
    }
}

fn heading(title: &str) -> String {
    format!("{RULE}\n{title}\n{RULE}")
}

fn single_stream(first: &EarlyStopping, further: &[EarlyStopping], count: u64) -> String {
    let EarlyStopping { share, needed_queries, estimate } = first;
    let Some(estimate) = estimate else {
        return format!(
            " * Only processed {count} queries.\n * Need to process at least {needed_queries} queries for early stopping."
        );
    };
    let mut text = format!(
        " * Processed at least {needed_queries} queries ({count}).\n * Would discard {} highest latency queries.\n * Early stopping {:.1}th percentile estimate: {}",
        estimate.discarded,
        share * 100.0,
        estimate.latency_ns
    );
    for EarlyStopping { share, needed_queries, estimate } in further {
        let percent = share * 100.0;
        text += &match estimate {
            Some(estimate) => format!(
                "\n * Early stopping {percent:.1}th percentile estimate: {}",
                estimate.latency_ns
            ),
            None => format!(
                "\n * Not enough queries processed for {percent:.1}th percentile\n early stopping estimate (would need to process at\n least {needed_queries} total queries)."
            ),
        };
    }
    text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Point,
    Warning,
    Error,
}

/// A line of the detail file. Where and when LoadGen would have written it is unknown.
fn logged(key: &str, value: &Value, kind: Kind) -> String {
    let (is_error, is_warning) = (kind == Kind::Error, kind == Kind::Warning);
    format!(
        ":::MLLOG {{\"key\": \"{key}\", \"value\": {value}, \"time_ms\": null, \"namespace\": \"mlperf::logging\", \"event_type\": \"POINT_IN_TIME\", \"metadata\": {{\"is_error\": {is_error}, \"is_warning\": {is_warning}, \"file\": null, \"line_no\": null, \"pid\": null, \"tid\": null}}}}\n"
    )
}

/// A number with six significant digits, as a C++ stream writes it.
fn general(value: f64) -> String {
    let exponent = format!("{value:.5e}");
    let Some((digits, power)) = exponent.split_once('e') else { return value.to_string() };
    let trimmed = |text: &str| {
        let is_whole = !text.contains('.');
        if is_whole { text } else { text.trim_end_matches('0').trim_end_matches('.') }.to_owned()
    };
    match power.parse::<i32>() {
        Ok(power @ -4..6) => {
            let places = usize::try_from(5 - power).unwrap_or_default();
            trimmed(&format!("{value:.places$}"))
        }
        Ok(power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trimmed(digits), power.unsigned_abs())
        }
        Err(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_a_stream() {
        for (value, text) in [
            (316.274_31, "316.274"),
            (1_639.529_9, "1639.53"),
            (1000.0, "1000"),
            (0.0, "0"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.23457e+06"),
            (999_999.7, "1e+06"),
            (0.000_012_345_67, "1.23457e-05"),
            (0.012_345_67, "0.0123457"),
        ] {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn a_folder_has_a_plain_name() {
        for (cell, name) in [
            ("tiny.f32.b8.offline@ml.m5", "tiny.f32.b8.offline@ml.m5"),
            ("google/flan.f32@x", "google_flan.f32@x"),
            ("../../etc", "_.._.._etc"),
            ("", "_"),
        ] {
            assert_eq!(folder(cell), name);
        }
    }
}
