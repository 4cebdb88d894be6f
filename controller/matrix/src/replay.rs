//! The loads of a matrix with recorded arrivals, once the files of their traces have been read.

use super::load::{Arrivals, Loads, round};
use super::plan::Load;
use super::trace::{RecordedLengths, Scale, Trace};
use model::load::Scenario;
use model::recorded_arrivals::{Error, RecordedArrivals};

impl Loads {
    /// The traces to read, in the order of their scenarios.
    pub fn traces(&self) -> impl Iterator<Item = (Scenario, &Trace)> {
        let server = self.server.as_ref().and_then(|server| server.trace.as_ref());
        let stress = self.stress.as_ref().and_then(|stress| stress.trace.as_ref());
        let named = [(Scenario::Server, server), (Scenario::Stress, stress)];
        named.into_iter().filter_map(|(scenario, trace)| Some((scenario, trace?)))
    }

    /// The trace that the requests of a scenario follow.
    pub fn trace(&self, scenario: Scenario) -> Option<&Trace> {
        self.traces().find(|(of, _)| *of == scenario).map(|(_, trace)| trace)
    }

    /// Sets the arrivals of a scenario's trace, and the lengths of their prompts, one for each, if the trace has them and
    /// they are used. The rates, with four digits, follow from the arrivals.
    /// [`Error`] if a factor makes them too slow.
    pub fn record(
        &mut self,
        scenario: Scenario,
        recorded: &RecordedArrivals,
        lengths: Option<&RecordedLengths>,
        seed: u64,
    ) -> Result<(), Error> {
        let rates = |trace: &mut Trace| -> Result<Vec<f64>, Error> {
            trace.recorded = Some(recorded.clone());
            trace.recorded_lengths = lengths.cloned();
            let scaled = trace.factors.iter().filter_map(|factor| trace.scaled(*factor, seed));
            scaled.map(|arrivals| Ok(round(arrivals?.rate()))).collect()
        };
        if let Some(server) = self.server.as_mut().filter(|_| scenario == Scenario::Server)
            && let Some(trace) = &mut server.trace
        {
            server.request_rates = rates(trace)?;
        }
        if let Some(stress) = self.stress.as_mut().filter(|_| scenario == Scenario::Stress)
            && let Some(trace) = &mut stress.trace
        {
            stress.request_rate = rates(trace)?.first().copied();
        }
        Ok(())
    }

    /// The recorded arrivals of a cell's load, within one period; `None` if its arrivals are random.
    pub fn recorded(&self, scenario: Scenario, load: &Load, seed: u64) -> Option<RecordedArrivals> {
        let trace = self.trace(scenario).filter(|_| load.queue.arrivals == Arrivals::Trace)?;
        trace.scaled(load.trace_factor?, seed)?.ok()
    }

    /// Whether requests of a scenario send dialogues of recorded lengths.
    pub fn has_lengths(&self, scenario: Scenario) -> bool {
        self.trace(scenario).is_some_and(|trace| trace.recorded_lengths.is_some())
    }

    /// The lengths of the prompts of these arrivals, in characters; `None` if they are unknown or not used.
    pub fn lengths(&self, scenario: Scenario, load: &Load, seed: u64) -> Option<Vec<u32>> {
        let trace = self.trace(scenario).filter(|_| load.queue.arrivals == Arrivals::Trace)?;
        trace.lengths(load.trace_factor?, seed)
    }

    /// The lengths, in characters, that `samples` dialogues of the campaign are to have: those of the first requests of a
    /// `server` run, else those of a sustained load. `None` if no trace has lengths.
    pub fn wanted_lengths(&self, samples: usize, seed: u64) -> Option<Vec<u32>> {
        let (scenario, trace) =
            self.traces().find(|(_, trace)| trace.recorded_lengths.is_some())?;
        let mut lengths = trace.lengths(trace.factors.first().copied()?, seed)?;
        if scenario == Scenario::Stress {
            // Evenly spaced ranks of all its requests.
            lengths.sort_unstable();
            let count = lengths.len();
            return Some(
                (0..samples).map(|at| lengths[(2 * at + 1) * count / (2 * samples)]).collect(),
            );
        }
        Some(lengths.into_iter().cycle().take(samples).collect())
    }

    /// The number of arrivals of an open loop that are expected in any `span_ns` at most: those of the highest rate, or
    /// of the trace's busiest time.
    pub fn most_arrivals(&self, scenario: Scenario, load: &Load, span_ns: u64) -> f64 {
        let trace = self.trace(scenario).and_then(|trace| Some((trace, trace.recorded.as_ref()?)));
        if let Some(((trace, recorded), factor)) = trace.zip(load.trace_factor) {
            // A share may be all of the busiest time.
            let speed = if trace.scale == Scale::Time { factor } else { 1.0 };
            return most_within(recorded, span_ns as f64 * speed);
        }
        let highest = self.rate_profile(scenario).map_or(1.0, |profile| profile.range().1);
        load.request_rate.unwrap_or_default() * highest * span_ns as f64 / 1e9
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time above zero; what is past the end of time stays there"
)]
fn most_within(recorded: &RecordedArrivals, span_ns: f64) -> f64 {
    recorded.most_within(span_ns as u64) as f64
}
