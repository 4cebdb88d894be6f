//! Matrix + number of samples -> cells, runs, batches, shards and their order.
//!
//! Pure: the same matrix and seed give the same plan on every machine. Batches don't depend on the
//! number or speed of agents.

mod amounts;
pub mod batches;
pub mod estimate;
mod load;
mod pairs;
mod stream;
pub mod text;
mod warnings;

use crate::{Matrix, Order};
use load::Level;
use model::engine::{AskedEngine, Dtype, EngineSpec};
use model::generation::{Generation, Settings};
use model::ids::{self, CellId, TargetName};
use model::load::Scenario;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::ops::Range;

pub use load::{Load, Sustained};
pub use pairs::{CellPair, PairKind, pairs};
pub use stream::stream;
pub use warnings::warnings;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("model and target names are too long together")]
    Name(#[from] ids::Error),
    #[error("the dataset has no dialogue to measure")]
    NoSamples,
}

/// One combination: model x dtype x beams x prompt lookup x batch size x scenario x load x target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Such as `tiny.f32.b8.offline@two-threads`.
    pub id: CellId,
    /// Index into [`Matrix::models`].
    pub model: usize,
    /// Index into [`Matrix::targets`].
    pub target: usize,
    /// Index into the target's [`Plan::engines`].
    pub engine: usize,
    pub dtype: Dtype,
    /// The level of the factor; null if beams are no factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_beams: Option<u32>,
    /// The level of the factor; null if prompt lookup is no factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_lookup_num_tokens: Option<u32>,
    pub batch_size: u32,
    pub scenario: Scenario,
    /// Null in the scenarios without a load.
    #[serde(default)]
    pub load: Option<Load>,
    /// Agents that load an endpoint together in each run; 1 for all other cells.
    #[serde(default = "one_agent", skip_serializing_if = "is_one_agent")]
    pub agents: u32,
}

fn one_agent() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one_agent(agents: &u32) -> bool {
    *agents == 1
}

impl Cell {
    /// What the factors set.
    pub fn settings(&self) -> Settings {
        let Self { num_beams, prompt_lookup_num_tokens, .. } = *self;
        Settings { num_beams, prompt_lookup_num_tokens, ..Settings::default() }
    }

    /// Requests per planned batch. Under a load the batches depend on the arrivals.
    pub fn composed(&self) -> u32 {
        if self.load.is_some() { 1 } else { self.batch_size_per_agent() }
    }

    /// The part of the batch size of each agent that takes part in a run. Under a load, agents share its rate or
    /// concurrency instead.
    pub fn batch_size_per_agent(&self) -> u32 {
        if self.load.is_some() {
            self.batch_size
        } else {
            (self.batch_size / self.agents.max(1)).max(1)
        }
    }

    /// Whether latencies overlap because requests queue. Windows of a sustained load don't overlap.
    pub fn may_overlap(&self) -> bool {
        self.load.is_some_and(|load| load.sustained.is_none())
    }

    pub fn sustained(&self) -> Option<Sustained> {
        self.load?.sustained
    }

    /// Whether it is a candidate of a search, which is measured only if the search needs it.
    pub fn is_candidate(&self, matrix: &Matrix) -> bool {
        self.scenario == Scenario::Server && matrix.search().is_some()
    }
}

/// One repetition of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Index into [`Plan::cells`].
    pub cell: usize,
    /// The round, from 1.
    pub number: u32,
    /// Indices into [`Plan::shards`].
    pub shards: Range<usize>,
}

/// The slice of a run's batches that is leased to one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Index into [`Plan::runs`].
    pub run: usize,
    /// Indices of batches of the run.
    pub batches: Range<u32>,
}

/// An engine, and what it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    #[serde(flatten)]
    pub spec: EngineSpec,
    /// Null in plans of earlier versions: as [`Matrix::generation`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Dialogues per run.
    pub samples: usize,
    pub seed: u64,
    /// Distinct engines of each target, in the order of its cells.
    pub engines: Vec<Vec<Engine>>,
    pub cells: Vec<Cell>,
    /// In the order of execution.
    pub runs: Vec<Run>,
    /// In the order of execution.
    pub shards: Vec<Shard>,
}

impl Plan {
    /// Plans a campaign over `samples` dialogues.
    pub fn make(matrix: &Matrix, samples: usize) -> Result<Self, Error> {
        if samples == 0 {
            return Err(Error::NoSamples);
        }
        let mut engines = vec![Vec::new(); matrix.targets.len()];
        let cells = cells(matrix, &mut engines)?;
        let mut plan = Self {
            samples,
            seed: matrix.seed,
            engines,
            cells,
            runs: Vec::new(),
            shards: Vec::new(),
        };
        let most_runs = |cell: &Cell| match matrix.search() {
            Some(search) if cell.is_candidate(matrix) => search.max_runs,
            _ => matrix.protocol.most_runs(),
        };
        let rounds = plan.cells.iter().map(most_runs).max().unwrap_or_default();
        for number in 1..=rounds {
            for cell in round(matrix, plan.cells.len(), number) {
                if number > most_runs(&plan.cells[cell]) {
                    continue;
                }
                plan.add_run(matrix, cell, number);
            }
        }
        Ok(plan)
    }

    fn add_run(&mut self, matrix: &Matrix, cell: usize, number: u32) {
        let first = self.shards.len();
        let batches = self.batches_of(cell);
        let run = self.runs.len();
        let Cell { model, target, load, agents: joint, .. } = self.cells[cell];
        let agents = matrix.targets[target].agents;
        let shards = match load {
            // Each agent has a part of the load from the start to the end.
            _ if matrix.models[model].endpoint.is_some() => joint,
            None => shards_per_run(agents),
            // No requests arrive between two shards, so each agent gets one.
            Some(Load { sustained: None, .. }) => agents,
            Some(_) => 1,
        };
        let slices = slices(batches, shards);
        self.shards.extend(slices.map(|batches| Shard { run, batches }));
        self.runs.push(Run { cell, number, shards: first..self.shards.len() });
    }

    /// The engines of each target, with what they are asked for.
    pub fn asked(&self, matrix: &Matrix) -> Vec<Vec<AskedEngine>> {
        let asked = |engine: &Engine| AskedEngine {
            spec: engine.spec.clone(),
            generation: engine.generation.clone().unwrap_or_else(|| matrix.generation.clone()),
        };
        self.engines.iter().map(|engines| engines.iter().map(asked).collect()).collect()
    }

    /// The searches: the candidates of each model, target, dtype, number of beams, prompt lookup and batch size, by load.
    /// Empty without a search.
    pub fn searches(&self, matrix: &Matrix) -> Vec<Vec<usize>> {
        let key = |cell: &Cell| {
            let searched = (cell.num_beams, cell.prompt_lookup_num_tokens);
            (cell.model, cell.target, cell.dtype, searched, cell.batch_size)
        };
        let mut searches: Vec<Vec<usize>> = Vec::new();
        for (index, cell) in self.cells.iter().enumerate().filter(|(_, c)| c.is_candidate(matrix)) {
            let same = |search: &&mut Vec<usize>| key(&self.cells[search[0]]) == key(cell);
            match searches.iter_mut().find(same) {
                Some(candidates) => candidates.push(index),
                None => searches.push(vec![index]),
            }
        }
        searches
    }

    /// Requests in flight in a run of a closed loop; 0 in open loop and for cells without a load.
    pub fn in_flight(&self, matrix: &Matrix, cell: usize) -> u64 {
        let Cell { load, target, model, .. } = self.cells[cell];
        let closed = load.filter(|load| load.request_rate.is_none());
        // Agents share those of an endpoint, and else have as many each.
        let is_endpoint = matrix.models[model].endpoint.is_some();
        let agents = if is_endpoint { 1 } else { matrix.targets[target].agents };
        closed.map_or(0, |load| u64::from(load.concurrency) * u64::from(agents))
    }

    pub fn cell_of(&self, shard: usize) -> &Cell {
        &self.cells[self.runs[self.shards[shard].run].cell]
    }

    pub fn round_of(&self, shard: usize) -> u32 {
        self.runs[self.shards[shard].run].number
    }

    /// Maximum number of samples of the campaign, without those of sustained loads.
    pub fn most_samples(&self) -> usize {
        let is_counted = |run: &&Run| self.cells[run.cell].sustained().is_none();
        self.runs.iter().filter(is_counted).count() * self.samples
    }

    /// Batches per run of a cell; under a sustained load, the windows of all agents, one agent after the other.
    pub fn batches_of(&self, cell: usize) -> u32 {
        let cell = &self.cells[cell];
        let by_samples = || batches::count(self.samples, cell.composed());
        cell.sustained()
            .map_or_else(by_samples, |sustained| sustained.windows.saturating_mul(cell.agents))
    }

    /// Progress steps per run of a cell: samples, or windows of a sustained load.
    pub fn steps_of(&self, cell: usize) -> u64 {
        let samples = self.samples as u64;
        let windows = || u64::from(self.batches_of(cell));
        self.cells[cell].sustained().map_or(samples, |_| windows())
    }
}

/// One agent executes a run without a break. Several agents share it in twice as many slices, so
/// that a slow agent delays the run by less than half.
fn shards_per_run(agents: u32) -> u32 {
    if agents <= 1 { 1 } else { agents.saturating_mul(2) }
}

/// Splits `0..batches` into at most `count` slices whose lengths differ by at most one.
fn slices(batches: u32, count: u32) -> impl Iterator<Item = Range<u32>> {
    let count = count.clamp(1, batches.max(1));
    let cut = move |index: u32| {
        let at = u64::from(batches) * u64::from(index) / u64::from(count);
        u32::try_from(at).unwrap_or(batches)
    };
    (0..count).map(move |index| cut(index)..cut(index + 1))
}

/// The ids of the cells that `only` keeps, with their targets.
pub(crate) fn cell_ids(matrix: &Matrix) -> Vec<(TargetName, CellId)> {
    let mut engines = vec![Vec::new(); matrix.targets.len()];
    // Names that are too long together are reported by the plan.
    let cells = cells(matrix, &mut engines).unwrap_or_default();
    cells.into_iter().map(|cell| (matrix.targets[cell.target].name.clone(), cell.id)).collect()
}

impl Matrix {
    /// The beams that a cell is asked for; 1 if that is up to the model.
    pub fn beams_asked(&self, cell: &Cell) -> u32 {
        let asked = self.asked(&self.models[cell.model], &cell.settings());
        asked.settings.num_beams.unwrap_or(1)
    }
}

fn cells(matrix: &Matrix, engines: &mut [Vec<Engine>]) -> Result<Vec<Cell>, Error> {
    let is_kept =
        |id: &str| matrix.only.is_empty() || matrix.only.iter().any(|text| id.contains(text));
    let mut cells = Vec::new();
    let levels = |levels: &[u32]| match levels {
        [] => vec![None],
        levels => levels.iter().copied().map(Some).collect(),
    };
    let (beams, lookups) = (levels(&matrix.num_beams), levels(&matrix.prompt_lookup_num_tokens));
    for (target_index, target) in matrix.targets.iter().enumerate() {
        for (model_index, model) in matrix.models.iter().enumerate() {
            if !model.is_measured_on(&target.name) {
                continue;
            }
            let combinations = target
                .dtypes
                .iter()
                .flat_map(|&dtype| beams.iter().map(move |&num_beams| (dtype, num_beams)))
                .flat_map(|(dtype, beams)| {
                    lookups.iter().map(move |&tokens| (dtype, beams, tokens))
                });
            for (dtype, num_beams, prompt_lookup_num_tokens) in combinations {
                let own = Settings { num_beams, prompt_lookup_num_tokens, ..Settings::default() };
                let beams = num_beams.map_or_else(String::new, |beams| format!(".beams{beams}"));
                let lookup = prompt_lookup_num_tokens
                    .map_or_else(String::new, |tokens| format!(".lookup{tokens}"));
                for Level { scenario, batch_size, load, name } in
                    load::levels(matrix, target, model)
                {
                    let name = format!(
                        "{}.{dtype}{beams}{lookup}.b{batch_size}.{name}@{}",
                        model.name, target.name
                    );
                    if !is_kept(&name) {
                        continue;
                    }
                    let engine = Engine {
                        spec: model.engine(dtype),
                        generation: Some(matrix.asked(model, &own)),
                    };
                    let engine = index_of(&mut engines[target_index], engine);
                    cells.push(Cell {
                        id: CellId::try_from(name)?,
                        model: model_index,
                        target: target_index,
                        engine,
                        dtype,
                        num_beams,
                        prompt_lookup_num_tokens,
                        batch_size,
                        scenario,
                        load,
                        agents: load::agents_together(target, model, scenario),
                    });
                }
            }
        }
    }
    Ok(cells)
}

fn index_of(engines: &mut Vec<Engine>, engine: Engine) -> usize {
    if let Some(index) = engines.iter().position(|known| *known == engine) {
        return index;
    }
    engines.push(engine);
    engines.len() - 1
}

fn round(matrix: &Matrix, cells: usize, number: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cells).collect();
    if matrix.protocol.order == Order::Interleaved {
        order.shuffle(&mut stream(matrix.seed, "order", &[u64::from(number)]));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_cover_every_batch_once(batches in 1_u32..5000, count in 1_u32..200) {
            let slices: Vec<_> = slices(batches, count).collect();
            let all: Vec<u32> = slices.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..batches).collect::<Vec<_>>());
            prop_assert!(slices.iter().all(|slice| !slice.is_empty()));
            let lengths: Vec<usize> = slices.iter().map(ExactSizeIterator::len).collect();
            let spread = lengths.iter().max().unwrap() - lengths.iter().min().unwrap();
            prop_assert!(spread <= 1);
        }
    }

    #[test]
    fn one_agent_executes_a_run_without_a_break() {
        assert_eq!(
            slices(24, shards_per_run(1)).map(|slice| slice.len()).collect::<Vec<_>>(),
            [24]
        );
        assert_eq!(slices(3, shards_per_run(2)).collect::<Vec<_>>(), [0..1, 1..2, 2..3]);
    }
}
