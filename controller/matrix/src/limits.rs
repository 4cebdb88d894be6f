//! Limits of the counts in matrix.toml and on the command line, and the sections that set limits:
//! `[slo]`, `[decision]` and `protocol.precision`.

use super::reader::Section;
use super::{Decision, Precision, Slo};
use std::ops::RangeInclusive;

pub const BATCH_SIZES: RangeInclusive<u32> = 1..=256;
pub const RUNS: RangeInclusive<u32> = 1..=1000;

pub(super) fn slo(mut section: Section<'_, '_>) -> Option<Slo> {
    if section.is_absent() {
        return None;
    }
    let request_latency_ms = section.positive("request_latency_ms");
    let (ttft_ms, tpot_ms) = (section.positive("ttft_ms"), section.positive("tpot_ms"));
    let error_rate = section.positive("error_rate");
    if error_rate.is_some_and(|rate| rate >= 1.0) {
        section.problem("error_rate", "expected a share below 1, such as 0.01 for 1%");
    }
    let percentile = section.positive("percentile").unwrap_or(95.0);
    if !Slo::PERCENTILES.iter().any(|known| known.to_bits() == percentile.to_bits()) {
        section.problem("percentile", "expected 50, 90, 95, 99 or 99.9");
    }
    if !["ttft_ms", "tpot_ms"].iter().any(|key| section.has(key)) {
        section.require("request_latency_ms", "500");
    }
    section.finish();
    let slo = Slo { request_latency_ms, ttft_ms, tpot_ms, percentile, error_rate };
    [request_latency_ms, ttft_ms, tpot_ms].iter().any(Option::is_some).then_some(slo)
}

/// Reads `[decision]`.
pub(super) fn decision(mut section: Section<'_, '_>) -> Decision {
    let default = Decision::default();
    let quality_margin = section.positive("quality_margin").unwrap_or(default.quality_margin);
    if quality_margin >= 1.0 {
        section.problem("quality_margin", "expected a difference of ROUGE-L below 1, such as 0.02");
    }
    section.finish();
    Decision { quality_margin }
}

/// Reads `protocol.precision`; `runs` is the minimum number of runs.
pub(super) fn precision(mut section: Section<'_, '_>, runs: u32) -> Option<Precision> {
    if section.is_absent() {
        return None;
    }
    let half_width = section.positive("half_width");
    let max_runs = section.whole("max_runs", 2..=*RUNS.end());
    section.require("half_width", "0.05");
    section.require("max_runs", "10");
    if half_width.is_some_and(|half| half >= 1.0) {
        section.problem("half_width", "expected a share of the mean below 1, such as 0.05 for 5%");
    }
    let least = runs.max(2);
    if max_runs.is_some_and(|most| most < least) {
        let message =
            format!("is less than the {least} runs before the first check of the precision");
        section.problem("max_runs", message);
    }
    section.finish();
    Some(Precision { half_width: half_width?, max_runs: max_runs? })
}
