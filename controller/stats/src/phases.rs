//! Rates of prefill and decode: tokens per second before and after the first tokens of a batch.

use super::interval::between_runs;
use super::layout::{Batch, Run, batches};
use super::throughput::per_second;
use crate::{Cell, Estimate, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens per second of one host, with the t interval over runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    /// Tokens of the prompts by the time until every request of a batch has its first token. That of a
    /// model with an encoder contains the first step of the decoder.
    pub prefill_tokens_per_s: Estimate,
    /// Tokens of the summaries after their first ones by the rest of the time of their batches. Null
    /// where no summary has a second token.
    pub decode_tokens_per_s: Option<Estimate>,
}

/// Sums over batches.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    prompt_tokens: u64,
    prefill_ns: u64,
    later_tokens: u64,
    decode_ns: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.prefill_ns = self.prefill_ns.saturating_add(other.prefill_ns);
        self.later_tokens = self.later_tokens.saturating_add(other.later_tokens);
        self.decode_ns = self.decode_ns.saturating_add(other.decode_ns);
    }

    fn prefill(self) -> Option<f64> {
        per_second(self.prompt_tokens as f64, self.prefill_ns as f64 / 1e9)
    }

    fn decode(self) -> Option<f64> {
        let rate = per_second(self.later_tokens as f64, self.decode_ns as f64 / 1e9);
        rate.filter(|_| self.later_tokens > 0)
    }

    /// `None` if a request has no time of its first token or no count of its tokens.
    fn of_batch(rows: &[Observation], batch: &Batch) -> Option<Self> {
        let mut sums = Self::default();
        let mut first_ns = 0;
        for row in rows {
            first_ns = first_ns.max(row.start_ns.saturating_add(row.ttft_ns?));
            let later = u64::from(row.output_tokens?.saturating_sub(1));
            sums.prompt_tokens += u64::from(row.input_tokens?);
            sums.later_tokens += later;
        }
        sums.prefill_ns = first_ns.saturating_sub(batch.start_ns);
        sums.decode_ns = batch.span_ns.saturating_sub(sums.prefill_ns);
        Some(sums)
    }

    /// Over the batches without a failed request; `None` as in [`Sums::of_batch`].
    fn of_run(run: &Run) -> Option<Self> {
        let rows = run.rows();
        let mut sums = Self::default();
        for batch in batches(&rows) {
            let its = &rows[batch.rows.clone()];
            if its.iter().all(Observation::is_ok) {
                sums.add(Self::of_batch(its, &batch)?);
            }
        }
        Some(sums)
    }
}

/// Of a model that the agents compute, one batch after the other. `None` in open loop, where batches
/// overlap, and where a request has no time of its first token, as with beams.
pub fn phases(cell: &Cell) -> Option<Phases> {
    if !cell.is_sequential() {
        return None;
    }
    let runs = cell.runs().iter().map(Sums::of_run).collect::<Option<Vec<Sums>>>()?;
    let mut all = Sums::default();
    runs.iter().for_each(|run| all.add(*run));
    let estimate = |of: fn(Sums) -> Option<f64>| {
        let by_run: Vec<f64> = runs.iter().filter_map(|run| of(*run)).collect();
        of(all).map(|value| between_runs(value, &by_run, cell.alpha()))
    };
    Some(Phases {
        prefill_tokens_per_s: estimate(Sums::prefill)?,
        decode_tokens_per_s: estimate(Sums::decode),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    /// Of 10 prompt tokens, whose first token is there after `ttft_ns` and the last after `latency_ns`.
    fn row(run: u32, batch: u32, sample: u32, ttft_ns: u64, latency_ns: u64) -> Observation {
        Observation {
            run,
            batch,
            start_ns: 1000 * u64::from(batch),
            sample,
            ttft_ns: Some(ttft_ns),
            latency_ns,
            input_tokens: Some(10),
            output_tokens: Some(4),
            is_ok: true,
            ..Observation::default()
        }
    }

    fn values(rows: Vec<Observation>) -> Option<(f64, Option<f64>)> {
        let found = phases(&Cell::new(Scenario::Offline, rows))?;
        let decode = found.decode_tokens_per_s.map(|estimate| estimate.value.unwrap());
        Some((found.prefill_tokens_per_s.value.unwrap(), decode))
    }

    #[test]
    fn prefill_ends_with_the_first_token_of_the_last_request_of_a_batch() {
        // 20 tokens in 50 ns and 10 in 20; 6 in 50 ns and 3 in 30.
        let rows = vec![row(1, 0, 0, 40, 100), row(1, 0, 1, 50, 90), row(1, 1, 2, 20, 50)];
        let (prefill, decode) = values(rows).unwrap();
        assert!((prefill / (30.0 / 70e-9) - 1.0).abs() < 1e-12, "{prefill}");
        assert!((decode.unwrap() / (9.0 / 80e-9) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn runs_give_the_interval() {
        let rows = (1..=3).map(|run| row(run, 0, 0, 90 + u64::from(run), 200)).collect();
        let found = phases(&Cell::new(Scenario::SingleStream, rows)).unwrap();
        let prefill = found.prefill_tokens_per_s;
        assert!(prefill.ci_low < prefill.value && prefill.value < prefill.ci_high);
        assert_eq!(prefill.n, 3);
    }

    #[test]
    fn there_are_no_rates_without_first_tokens_and_in_open_loop() {
        let whole = row(1, 0, 0, 40, 100);
        let beams = Observation { ttft_ns: None, ..row(1, 1, 1, 40, 100) };
        assert_eq!(values(vec![whole, beams]), None);
        assert_eq!(phases(&Cell::new(Scenario::Server, vec![whole])), None);
        let one_token = Observation { output_tokens: Some(1), ..whole };
        assert_eq!(values(vec![one_token]).unwrap().1, None);
        // A batch with a failed request counts for nothing.
        let failed = Observation { is_ok: false, ttft_ns: None, ..row(1, 1, 1, 40, 100) };
        assert_eq!(values(vec![whole, failed]), values(vec![whole]));
        assert_eq!(values(vec![failed]), None);
    }
}
