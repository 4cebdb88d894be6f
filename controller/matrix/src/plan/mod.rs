//! Matrix + number of samples -> cells, runs, batches, shards and their order. Pure: the same matrix and
//! seed give the same plan on every machine, and no agent's speed or number changes a batch.

pub mod batches;
pub mod estimate;
mod load;
mod stream;
pub mod text;

use crate::{Matrix, Order};
use load::Level;
use model::engine::{Dtype, EngineSpec};
use model::ids::{self, CellId};
use model::load::Scenario;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::ops::Range;

pub use load::{Load, Sustained};
pub use stream::stream;

/// No plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Names so long that a cell can't be named.
    #[error("model and target names are too long together")]
    Name(#[from] ids::Error),
    /// Nothing to measure.
    #[error("the dataset has no dialogue to measure")]
    NoSamples,
}

/// One combination: model x dtype x batch size x scenario x load x target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Such as `tiny.f32.b8.offline@two-threads`.
    pub id: CellId,
    /// Index into the matrix's models.
    pub model: usize,
    /// Index into the matrix's targets.
    pub target: usize,
    /// Index into the target's engines.
    pub engine: usize,
    /// How weights are stored.
    pub dtype: Dtype,
    /// How many samples are decoded together.
    pub batch_size: u32,
    /// How requests arrive.
    pub scenario: Scenario,
    /// Set where they come in their own time.
    #[serde(default)]
    pub load: Option<Load>,
}

impl Cell {
    /// How many requests the plan puts together. Under a load only time tells which are decoded together.
    pub fn composed(&self) -> u32 {
        if self.load.is_some() { 1 } else { self.batch_size }
    }

    /// Whether requests wait for each other, so that their times overlap. Windows of a sustained load don't.
    pub fn may_overlap(&self) -> bool {
        self.load.is_some_and(|load| load.sustained.is_none())
    }

    /// The windows of a sustained load.
    pub fn sustained(&self) -> Option<Sustained> {
        self.load?.sustained
    }
}

/// One repeat of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Index into the cells.
    pub cell: usize,
    /// The round, from 1.
    pub number: u32,
    /// Indices into the shards.
    pub shards: Range<usize>,
}

/// The slice of a run's batches that is leased to one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Index into the runs.
    pub run: usize,
    /// Indices of the run's batches.
    pub batches: Range<u32>,
}

/// What will be measured, in which order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Number of dialogues in each run.
    pub samples: usize,
    /// Seed of the matrix.
    pub seed: u64,
    /// Distinct engines of each target, in the order of its cells.
    pub engines: Vec<Vec<EngineSpec>>,
    /// In the order of the matrix.
    pub cells: Vec<Cell>,
    /// In the order of execution.
    pub runs: Vec<Run>,
    /// In the order of execution.
    pub shards: Vec<Shard>,
}

impl Plan {
    /// Plans `matrix` over `samples` dialogues.
    ///
    /// # Errors
    /// [`Error`] where there is nothing to measure or a cell can't be named.
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
        for number in 1..=matrix.protocol.most_runs() {
            for cell in round(matrix, plan.cells.len(), number) {
                let agents = matrix.targets[plan.cells[cell].target].agents;
                plan.add_run(cell, number, agents);
            }
        }
        Ok(plan)
    }

    fn add_run(&mut self, cell: usize, number: u32, agents: u32) {
        let first = self.shards.len();
        let batches = self.batches_of(cell);
        let run = self.runs.len();
        let shards = match self.cells[cell].load {
            None => shards_per_run(agents),
            // Between two shards nothing comes: an arrival's time would mean little.
            Some(Load { sustained: None, .. }) => agents,
            Some(_) => 1,
        };
        let slices = slices(batches, shards);
        self.shards.extend(slices.map(|batches| Shard { run, batches }));
        self.runs.push(Run { cell, number, shards: first..self.shards.len() });
    }

    /// The cell of a shard.
    pub fn cell_of(&self, shard: usize) -> &Cell {
        &self.cells[self.runs[self.shards[shard].run].cell]
    }

    /// The round of a shard.
    pub fn round_of(&self, shard: usize) -> u32 {
        self.runs[self.shards[shard].run].number
    }

    /// How many samples the whole campaign measures at most, those of sustained loads left out.
    pub fn most_samples(&self) -> usize {
        let is_counted = |run: &&Run| self.cells[run.cell].sustained().is_none();
        self.runs.iter().filter(is_counted).count() * self.samples
    }

    /// How many batches a run of a cell has; under a sustained load each of its windows is one.
    pub fn batches_of(&self, cell: usize) -> u32 {
        let cell = &self.cells[cell];
        let by_samples = || batches::count(self.samples, cell.composed());
        cell.sustained().map_or_else(by_samples, |sustained| sustained.windows)
    }

    /// How many steps of progress a run of a cell has: samples, or windows.
    pub fn steps_of(&self, cell: usize) -> u64 {
        let samples = self.samples as u64;
        self.cells[cell].sustained().map_or(samples, |sustained| sustained.windows.into())
    }
}

/// One agent measures a run without a break. Several share it in twice as many slices as there are
/// agents, so that a slower one doesn't hold up the rest for half a run.
fn shards_per_run(agents: u32) -> u32 {
    if agents <= 1 { 1 } else { agents.saturating_mul(2) }
}

/// Cuts `0..batches` into at most `count` slices whose lengths differ by one at most.
fn slices(batches: u32, count: u32) -> impl Iterator<Item = Range<u32>> {
    let count = count.clamp(1, batches.max(1));
    let cut = move |index: u32| {
        let at = u64::from(batches) * u64::from(index) / u64::from(count);
        u32::try_from(at).unwrap_or(batches)
    };
    (0..count).map(move |index| cut(index)..cut(index + 1))
}

fn cells(matrix: &Matrix, engines: &mut [Vec<EngineSpec>]) -> Result<Vec<Cell>, Error> {
    let mut cells = Vec::new();
    for (target_index, target) in matrix.targets.iter().enumerate() {
        for (model_index, model) in matrix.models.iter().enumerate() {
            if !model.is_measured_on(&target.name) {
                continue;
            }
            for &dtype in &target.dtypes {
                let engine = index_of(&mut engines[target_index], model.engine(dtype));
                for Level { scenario, batch_size, load, name } in load::levels(matrix, target) {
                    let name =
                        format!("{}.{dtype}.b{batch_size}.{name}@{}", model.name, target.name);
                    cells.push(Cell {
                        id: CellId::try_from(name)?,
                        model: model_index,
                        target: target_index,
                        engine,
                        dtype,
                        batch_size,
                        scenario,
                        load,
                    });
                }
            }
        }
    }
    Ok(cells)
}

fn index_of(engines: &mut Vec<EngineSpec>, engine: EngineSpec) -> usize {
    if let Some(index) = engines.iter().position(|known| *known == engine) {
        return index;
    }
    engines.push(engine);
    engines.len() - 1
}

/// The cells of one round, in order.
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
    fn one_agent_measures_a_run_without_a_break() {
        assert_eq!(
            slices(24, shards_per_run(1)).map(|slice| slice.len()).collect::<Vec<_>>(),
            [24]
        );
        assert_eq!(slices(3, shards_per_run(2)).collect::<Vec<_>>(), [0..1, 1..2, 2..3]);
    }
}
