//! Rows of the store -> what statistics take in, a part at a time: the rows themselves are not kept, so that what a
//! report holds is about 16 bytes a sample.

use matrix::plan::Plan;
use model::failure::Kind;
use model::histogram::Histogram;
use model::output_ids::OutputIds;
use model::sample::{Drafts, Outcome};
use records::{AgentRow, SampleRow};
use stats::http_timing::HttpTimings;
use stats::layout::Hosts;
use stats::precision::Precision;
use stats::quality::{Rouge, Scored};
use stats::stream_timing::StreamTimings;
use stats::stress::Windows;
use stats::{self, Observation};
use std::collections::{BTreeMap, BTreeSet};

/// Summaries of so many dialogues are kept, to hold those of two cells together.
const TEXTS: u32 = 10_000;

#[derive(Debug)]
pub struct CellSamples {
    /// Those that count.
    pub(super) cell: stats::Cell,
    /// Summaries that have a score; a dialogue that always brought the same stands there once.
    pub(super) scored: Vec<Scored>,
    /// Samples that came late.
    pub(super) late_samples: u64,
    /// Counted samples whose input was cut.
    pub(super) cut_inputs: u64,
    /// Output tokens beyond the tokenizer.
    pub(super) unknown_tokens: u64,
    /// Drafted tokens, and those of them that were accepted; `None` where none were drafted.
    pub(super) drafts: Option<[u64; 2]>,
    /// One summary of each of the first dialogues.
    pub(super) texts: BTreeMap<u32, String>,
    /// Their tokens.
    pub(super) output_ids: BTreeMap<u32, OutputIds>,
    /// From the intended start to the queue, of all that came by a schedule.
    pub(super) delays: Histogram,
    /// Arrivals that found a full queue.
    pub(super) not_sent: u64,
    /// Counted samples that failed, by what failed.
    pub(super) failed_by: BTreeMap<&'static str, u64>,
    /// With an endpoint, of the samples that brought a summary.
    pub(super) http: HttpTimings,
    /// Of the streamed ones among them.
    pub(super) stream: StreamTimings,
    /// The windows of each run of a sustained load.
    pub(super) sustained: Vec<(u32, Windows)>,
}

/// Takes in the samples of one cell, in any number of parts.
#[derive(Debug)]
pub struct CellSamplesBuilder {
    hosts: Vec<u32>,
    /// Lengths of references, which come with the first run.
    references: BTreeMap<u32, u32>,
    /// Those of the run that is coming in.
    observations: Vec<Observation>,
    observed: CellSamples,
}

impl CellSamplesBuilder {
    /// For one cell of a campaign; `rule` is its adaptive precision, where it has one.
    pub fn new(plan: &Plan, cell: usize, agents: &[AgentRow], rule: Option<&Precision>) -> Self {
        let analyses = rule.map_or(1, Precision::analyses);
        let planned = &plan.cells[cell];
        let cell = stats::Cell::new(planned.scenario, Vec::new())
            .with_analyses(analyses)
            .with_hosts(Hosts::of_agents(planned.agents));
        let observed = CellSamples {
            cell,
            scored: Vec::new(),
            late_samples: 0,
            cut_inputs: 0,
            unknown_tokens: 0,
            drafts: None,
            texts: BTreeMap::new(),
            output_ids: BTreeMap::new(),
            delays: Histogram::default(),
            not_sent: 0,
            failed_by: BTreeMap::new(),
            http: HttpTimings::default(),
            stream: StreamTimings::default(),
            sustained: Vec::new(),
        };
        let (references, observations) = (BTreeMap::new(), Vec::new());
        Self { hosts: host_indices(agents), references, observations, observed }
    }

    /// Adds samples with their scores, in the same order; best run by run.
    pub fn add(&mut self, rows: &[SampleRow], scores: &[Option<Rouge>]) {
        for (SampleRow { key, is_counted, sample }, score) in rows.iter().zip(scores) {
            if !is_counted {
                self.observed.late_samples += 1;
                continue;
            }
            if self.observations.last().is_some_and(|last| last.run != key.run) {
                self.pack();
            }
            let host = self.hosts[key.agent as usize];
            self.observations.push(Observation::new(key, sample, host));
            if let Some(delay_ns) = sample.schedule_delay_ns {
                self.observed.delays.add(delay_ns);
            }
            let is_not_sent = sample.outcome == Outcome::Failed(Kind::NotSent);
            self.observed.not_sent += u64::from(is_not_sent);
            match (sample.outcome, &sample.http) {
                (Outcome::Failed(kind), _) => {
                    *self.observed.failed_by.entry(kind.as_str()).or_default() += 1;
                }
                (Outcome::Ok(_), Some(timing)) => self.observed.http.add(timing),
                (Outcome::Ok(_), None) => {}
            }
            if let (Outcome::Ok(_), Some(gaps)) = (sample.outcome, &sample.chunk_gaps) {
                self.observed.stream.add(gaps, sample.output_tokens);
            }
            self.observed.cut_inputs += u64::from(sample.cut_tokens > 0);
            self.observed.unknown_tokens += u64::from(sample.unknown_tokens);
            if let Some(Drafts { drafted, accepted }) = sample.drafts {
                let [all, right] = self.observed.drafts.get_or_insert_default();
                *all += u64::from(drafted);
                *right += u64::from(accepted);
            }
            if let Some(tokens) = sample.reference_tokens {
                self.references.entry(key.sample).or_insert(tokens);
            }
            let reference_tokens = self.references.get(&key.sample).copied();
            self.observed.scored.extend(score.map(|rouge| Scored {
                sample: key.sample,
                rouge,
                tokens: sample.output_tokens,
                reference_tokens,
            }));
            if key.sample >= TEXTS {
                continue;
            }
            if let Some(text) = &sample.text {
                self.observed.texts.entry(key.sample).or_insert_with(|| text.clone());
            }
            if let Some(ids) = &sample.output_ids {
                self.observed.output_ids.entry(key.sample).or_insert_with(|| ids.clone());
            }
        }
        once_each(&mut self.observed.scored);
    }

    pub fn add_run(&mut self, run: u32, windows: Windows) {
        for window in windows.as_slice() {
            self.observed.stream.add_window(&window.load);
        }
        self.observed.sustained.push((run, windows));
    }

    pub fn finish(mut self) -> CellSamples {
        self.pack();
        self.observed.scored.shrink_to_fit();
        self.observed
    }

    /// The run that came in is whole, or another one begins.
    fn pack(&mut self) {
        self.observed.cell.add(std::mem::take(&mut self.observations));
    }
}

/// Decoding is deterministic: repeats bring the same summary. A dialogue whose repeats are all equal keeps one.
fn once_each(scored: &mut Vec<Scored>) {
    scored.sort_by_key(|one| one.sample);
    let mut kept = Vec::with_capacity(scored.len());
    for same in scored.chunk_by(|a, b| a.sample == b.sample) {
        let are_equal = same.iter().all(|one| *one == same[0]);
        kept.extend_from_slice(if are_equal { &same[..1] } else { same });
    }
    *scored = kept;
}

/// Agents on one machine are one host.
fn host_indices(agents: &[AgentRow]) -> Vec<u32> {
    let hosts: BTreeSet<&str> = agents.iter().map(|agent| agent.host_id.as_str()).collect();
    let index = |agent: &AgentRow| hosts.iter().position(|host| *host == agent.host_id.as_str());
    agents
        .iter()
        .map(|agent| u32::try_from(index(agent).unwrap_or(0)).unwrap_or(u32::MAX))
        .collect()
}
