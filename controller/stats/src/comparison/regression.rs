//! Regressions against a baseline: how much worse a metric became, and whether that is past a limit.
//!
//! A regression is a share that grows as things get worse: a latency or a cost that rose by 3 % and a throughput or
//! a rougeL that fell by 3 % are all 0.03. A limit below zero asks for an improvement. The limit is passed where the whole
//! interval is within it and failed where the whole interval is past it; the intervals of all limits of one
//! comparison hold together (Bonferroni).

use super::super::quantile::quantile;
use super::super::{distribution::Distribution, interval::mean, layout::Run};
use super::contrast::{Contrast, contrast, contrast_of_runs};
use super::separate::runs_to_exclude;
use super::{Pair, Quantity};
use crate::{Estimate, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    Mean,
    /// A percentile, 0 to 100.
    Percentile(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Latency(Figure),
    Ttft(Figure),
    /// Requests per host-second.
    Throughput,
    /// US dollars per request.
    Cost,
    RougeL,
}

const METRICS: [(&str, Metric); 13] = [
    ("latency_mean", Metric::Latency(Figure::Mean)),
    ("latency_p50", Metric::Latency(Figure::Percentile(50))),
    ("latency_p90", Metric::Latency(Figure::Percentile(90))),
    ("latency_p95", Metric::Latency(Figure::Percentile(95))),
    ("latency_p99", Metric::Latency(Figure::Percentile(99))),
    ("ttft_mean", Metric::Ttft(Figure::Mean)),
    ("ttft_p50", Metric::Ttft(Figure::Percentile(50))),
    ("ttft_p90", Metric::Ttft(Figure::Percentile(90))),
    ("ttft_p95", Metric::Ttft(Figure::Percentile(95))),
    ("ttft_p99", Metric::Ttft(Figure::Percentile(99))),
    ("throughput", Metric::Throughput),
    ("cost", Metric::Cost),
    ("rougeL", Metric::RougeL),
];

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    pub metric: Metric,
    /// As a share; below zero it must become better.
    pub most: f64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("invalid limit `{0}`: expected a metric and a percentage, such as latency_p95=5%")]
    Form(String),
    #[error("unknown metric `{found}`: expected one of {}", METRICS.map(|(name, _)| name).join(", "))]
    Metric { found: String },
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = METRICS.iter().find(|(known, _)| *known == name);
        found.map(|(_, metric)| *metric).ok_or_else(|| Error::Metric { found: name.to_owned() })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = METRICS.iter().find(|(_, metric)| metric == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

impl FromStr for Limit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let form = || Error::Form(text.to_owned());
        let (metric, most) = text.split_once('=').ok_or_else(form)?;
        let metric = metric.trim().parse()?;
        let most = most.trim().strip_suffix('%').ok_or_else(form)?;
        let most: f64 = most.trim().parse().map_err(|_| form())?;
        if !most.is_finite() {
            return Err(form());
        }
        Ok(Self { metric, most: most / 100.0 })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}%", self.metric, (self.most * 1e8).round() / 1e6)
    }
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole interval is within it.
    Passed,
    /// The interval holds the limit, or there is none.
    Undecided,
    /// The whole interval is past it.
    Failed,
}

/// Whether an undecided limit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    Passes,
    Fails,
}

impl Outcome {
    pub fn fails(self, undecided: Undecided) -> bool {
        match self {
            Self::Failed => true,
            Self::Undecided => undecided == Undecided::Fails,
            Self::Passed => false,
        }
    }
}

/// A limit held against a pair of cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    pub metric: String,
    /// The most that it may become worse, as a share.
    pub limit: f64,
    /// How much worse it became, as a share; the interval is corrected for the number of limits.
    pub regression: Estimate,
    pub outcome: Outcome,
    /// Runs that would decide it in four of five campaigns, as things vary now; null if it is decided, if more than
    /// 1,000 would be needed, or if more runs don't help.
    #[serde(default)]
    pub runs_to_decide: Option<u32>,
}

impl Limit {
    /// Holds a regression, of a contrast at the level `alpha`, against the limit.
    pub fn judge(&self, regression: Estimate, contrast: Option<&Contrast>, alpha: f64) -> Judged {
        let outcome = match regression.interval() {
            Some((low, _)) if low > self.most => Outcome::Failed,
            Some((_, high)) if high <= self.most => Outcome::Passed,
            _ => Outcome::Undecided,
        };
        let runs_to_decide = contrast
            .filter(|_| outcome == Outcome::Undecided)
            .and_then(|contrast| runs_to_exclude(contrast, self.log_bound()?, alpha));
        Judged {
            metric: self.metric.to_string(),
            limit: self.most,
            regression,
            outcome,
            runs_to_decide,
        }
    }

    /// The limit as a log ratio of candidate over baseline; `None` if no ratio is that bad.
    fn log_bound(&self) -> Option<f64> {
        let log = if self.metric.falls() { (-self.most).ln_1p() } else { self.most.ln_1p() };
        Some(log).filter(|log| log.is_finite())
    }
}

impl Metric {
    /// Whether it gets worse by falling.
    fn falls(self) -> bool {
        matches!(self, Self::Throughput | Self::RougeL)
    }

    /// The metric's estimate in a cell's distributions; `None` for what is not a figure of a distribution.
    pub fn estimate<'a>(
        self,
        latency_ms: &'a Distribution,
        ttft_ms: &'a Distribution,
    ) -> Option<&'a Estimate> {
        let (distribution, figure) = match self {
            Self::Latency(figure) => (latency_ms, figure),
            Self::Ttft(figure) => (ttft_ms, figure),
            Self::Throughput | Self::Cost | Self::RougeL => return None,
        };
        match figure {
            Figure::Mean => Some(&distribution.mean),
            Figure::Percentile(percentile) => distribution.percentile(f64::from(percentile)),
        }
    }

    /// Of `Cost` that of throughput, because a price is a constant. `None` for rougeL, which is no figure of runs.
    pub fn contrast(self, pair: &Pair<'_>) -> Option<Contrast> {
        let of = |figure, value: fn(&Observation) -> Option<f64>| {
            contrast_of_runs(pair, |run| figure_of(run, figure, value))
        };
        match self {
            Self::Latency(figure) => Some(of(figure, |row| Some(row.latency_ms()))),
            Self::Ttft(figure) => Some(of(figure, Observation::ttft_ms)),
            Self::Throughput | Self::Cost => Some(contrast(pair, Quantity::Throughput)),
            Self::RougeL => None,
        }
    }

    /// The regression of a contrast at a level: a share that grows as the metric gets worse.
    pub fn regression(self, contrast: &Contrast, alpha: f64) -> Estimate {
        contrast.estimate(alpha, |log| if self.falls() { 0.0 - log.exp_m1() } else { log.exp_m1() })
    }
}

fn figure_of(run: &Run, figure: Figure, value: fn(&Observation) -> Option<f64>) -> Option<f64> {
    let ok = run.unpacked().filter(Observation::is_ok);
    let mut values: Vec<f64> = ok.filter_map(|row| value(&row)).collect();
    match figure {
        Figure::Mean => mean(&values),
        Figure::Percentile(percentile) => {
            values.sort_unstable_by(f64::total_cmp);
            quantile(&values, f64::from(percentile) / 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contrast::Rounds;
    use super::*;

    fn contrast(log_ratio: f64, error: f64) -> Contrast {
        Contrast {
            log_ratio: Some(log_ratio),
            error: Some((error, 4.0)),
            rounds: Rounds::Apart,
            runs: 3,
            shared_samples: 100,
            reason: None,
            hosts: 1,
        }
    }

    fn outcome(limit: &str, contrast: &Contrast) -> Outcome {
        let limit: Limit = limit.parse().unwrap();
        limit.judge(limit.metric.regression(contrast, 0.05), Some(contrast), 0.05).outcome
    }

    #[test]
    fn limits_are_read_and_shown_as_they_are_written() {
        for text in ["latency_p95=5%", "cost=-3%", "rougeL=0.5%", "ttft_mean=12.5%"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        for text in ["latency_p95", "latency_p95=5", "cost=x%", "cost=inf%"] {
            assert_eq!(text.parse::<Limit>(), Err(Error::Form(text.to_owned())), "{text}");
        }
        let unknown = "latency_p97=1%".parse::<Limit>().unwrap_err().to_string();
        assert!(unknown.starts_with(
            "unknown metric `latency_p97`: expected one of latency_mean, latency_p50"
        ));
    }

    #[test]
    fn a_limit_fails_only_where_the_whole_interval_is_past_it() {
        let ten_slower = contrast(1.1_f64.ln(), 0.001);
        assert_eq!(outcome("latency_p95=5%", &ten_slower), Outcome::Failed);
        assert_eq!(outcome("latency_p95=20%", &ten_slower), Outcome::Passed);
        assert_eq!(outcome("latency_p95=5%", &contrast(1.1_f64.ln(), 0.1)), Outcome::Undecided);
    }

    #[test]
    fn less_throughput_is_worse_and_more_of_it_is_not() {
        let tenth_less = contrast(0.9_f64.ln(), 0.001);
        assert_eq!(outcome("throughput=5%", &tenth_less), Outcome::Failed);
        assert_eq!(outcome("latency_mean=5%", &tenth_less), Outcome::Passed);
        let share = Metric::Throughput.regression(&tenth_less, 0.05).value.unwrap();
        assert!((share - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_limit_below_zero_asks_for_an_improvement() {
        let same = contrast(0.0, 0.001);
        assert_eq!(outcome("cost=-3%", &same), Outcome::Failed);
        assert_eq!(outcome("cost=-3%", &contrast(0.9_f64.ln(), 0.001)), Outcome::Passed);
    }

    #[test]
    fn one_run_decides_nothing() {
        let one_run = Contrast { error: None, ..contrast(0.5, 0.0) };
        assert_eq!(outcome("latency_p50=1%", &one_run), Outcome::Undecided);
    }
}
