//! One campaign of a comparison: its results and its samples, on numbers that both campaigns share.

use results::Results;
use results::parquet::read::{SampleRead, SamplesRead};
use stats::layout::Hosts;
use stats::quality::Scored;
use stats::{Cell, Observation, Scenario};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Clone)]
pub struct Side {
    pub results: Results,
    pub samples: SamplesRead,
}

/// A cell as statistics take it.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) cell: Cell,
    /// Summaries that have a score.
    pub(super) scored: Vec<Scored>,
}

/// How the samples of a cell belong together.
#[derive(Debug, Clone, Copy)]
struct Kind {
    scenario: Scenario,
    hosts: Hosts,
}

impl Default for Kind {
    fn default() -> Self {
        Self { scenario: Scenario::Offline, hosts: Hosts::default() }
    }
}

/// Every cell of one side, by name.
#[derive(Debug)]
pub(super) struct Cells {
    by_name: BTreeMap<String, Measured>,
    empty: Measured,
}

impl Cells {
    /// A cell; one without samples is empty.
    pub(super) fn of(&self, name: &str) -> &Measured {
        self.by_name.get(name).unwrap_or(&self.empty)
    }
}

impl Side {
    /// The cells of both sides. A dialogue has one number on both, and so has a host.
    pub(super) fn on_shared_names(baseline: &Self, candidate: &Self) -> (Cells, Cells) {
        let ids = numbers([&baseline.samples.sample_ids, &candidate.samples.sample_ids]);
        let hosts = numbers([&baseline.samples.hosts, &candidate.samples.hosts]);
        (baseline.cells(&ids, &hosts), candidate.cells(&ids, &hosts))
    }

    fn cells(&self, ids: &Numbers<'_>, hosts: &Numbers<'_>) -> Cells {
        let samples = &self.samples;
        let kinds: HashMap<&str, Kind> = (self.results.results.iter())
            .flat_map(|entry| entry.cells.iter().map(move |cell| (entry, cell)))
            .filter_map(|(entry, cell)| {
                let scenario = entry.scenario.parse().ok()?;
                let hosts = Hosts::of_agents(cell.load_agents.unwrap_or(1));
                Some((cell.cell.as_str(), Kind { scenario, hosts }))
            })
            .collect();
        let number = |names: &[String], numbers: &Numbers<'_>, index: u32| {
            numbers[names[index as usize].as_str()]
        };
        let mut rows: Vec<Vec<&SampleRead>> = vec![Vec::new(); samples.cells.len()];
        for sample in &samples.samples {
            rows[sample.cell as usize].push(sample);
        }
        let measured = |name: &String, rows: Vec<&SampleRead>| {
            let id = |row: &SampleRead| number(&samples.sample_ids, ids, row.observation.sample);
            let observation = |row: &&SampleRead| Observation {
                host: number(&samples.hosts, hosts, row.observation.host),
                sample: id(row),
                ..row.observation
            };
            let scored = rows.iter().filter_map(|row| {
                let (sample, tokens) = (id(row), row.observation.output_tokens);
                Some(Scored { sample, rouge: row.rouge?, tokens, reference_tokens: None })
            });
            let kind = kinds.get(name.as_str()).copied();
            let Kind { scenario, hosts } = kind.unwrap_or_default();
            let scored = scored.collect();
            let cell = Cell::new(scenario, rows.iter().map(observation).collect());
            let cell = cell.with_hosts(hosts);
            (name.clone(), Measured { cell, scored })
        };
        let by_name = samples.cells.iter().zip(rows).map(|(name, rows)| measured(name, rows));
        let empty = Measured { cell: Cell::new(Scenario::Offline, Vec::new()), scored: Vec::new() };
        Cells { by_name: by_name.collect(), empty }
    }
}

type Numbers<'a> = HashMap<&'a str, u32>;

fn numbers(names: [&Vec<String>; 2]) -> Numbers<'_> {
    let mut numbers = HashMap::new();
    for name in names.into_iter().flatten() {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        numbers.entry(name.as_str()).or_insert(next);
    }
    numbers
}
