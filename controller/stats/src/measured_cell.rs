use super::layout::{Hosts, Run, Spans, distinct};
use super::observation::{Observation, Scenario};

/// The measured requests of one cell, in one order whatever order they came in.
#[derive(Debug, Clone)]
pub struct Cell {
    scenario: Scenario,
    runs: Vec<Run>,
    hosts: Hosts,
    analyses: u32,
}

impl Cell {
    /// Takes the requests that count, in any order; warm-up is not among them.
    pub fn new(scenario: Scenario, observations: Vec<Observation>) -> Self {
        let (runs, hosts) = (Vec::new(), Hosts::default());
        let mut cell = Self { scenario, runs, hosts, analyses: 1 };
        cell.add(observations);
        cell
    }

    /// Adds requests, in any order. A run that comes whole is worked on once.
    pub fn add(&mut self, mut observations: Vec<Observation>) {
        // Floating sums depend on their order: one order, one result.
        observations.sort_unstable();
        let spans = if self.is_sequential() { Spans::Sequential } else { Spans::Overlapping };
        for rows in observations.chunk_by(|a, b| a.run == b.run) {
            match self.runs.binary_search_by_key(&rows[0].run, |run| run.run) {
                Ok(place) => {
                    let mut all = self.runs[place].rows();
                    all.extend_from_slice(rows);
                    all.sort_unstable();
                    self.runs[place] = Run::of(&all, spans, self.hosts);
                }
                Err(place) => self.runs.insert(place, Run::of(rows, spans, self.hosts)),
            }
        }
    }

    /// How often the campaign may look at intervals before it stops: they widen so that all looks together hold 95 %.
    #[must_use]
    pub fn with_analyses(self, analyses: u32) -> Self {
        Self { analyses: analyses.max(1), ..self }
    }

    /// What its hosts are, in place of [`Hosts::Serving`].
    #[must_use]
    pub fn with_hosts(mut self, hosts: Hosts) -> Self {
        self.hosts = hosts;
        self.runs.iter_mut().for_each(|run| run.role = hosts);
        self
    }

    /// Different hosts whose figures these are. Those that load an endpoint count as the one behind it.
    pub fn distinct_hosts(&self) -> u64 {
        let hosts = self.runs.iter().flat_map(|run| &run.hosts);
        let found = distinct(hosts.map(|host| host.host)).len() as u64;
        match self.hosts {
            Hosts::Serving => found,
            Hosts::Loading => found.min(1),
        }
    }

    pub fn scenario(&self) -> Scenario {
        self.scenario
    }

    /// Its runs, by number.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The requests, by run, host, segment, batch and start.
    pub fn observations(&self) -> impl Iterator<Item = Observation> + '_ {
        self.runs.iter().flat_map(Run::unpacked)
    }

    pub fn len(&self) -> usize {
        self.runs.iter().map(Run::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether batches never overlap on a host, so that their spans add up to the measured time.
    pub fn is_sequential(&self) -> bool {
        matches!(self.scenario, Scenario::Offline | Scenario::SingleStream)
    }

    /// The share of intervals that may miss, after the analyses are accounted for (Bonferroni).
    pub fn alpha(&self) -> f64 {
        super::interval::ALPHA / f64::from(self.analyses)
    }
}
