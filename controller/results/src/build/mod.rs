//! A stored campaign -> the results of a report.

mod capacities;
mod cells;
mod comparisons;
mod decision;
mod entries;
mod environment;
mod gates;
mod observations;
mod quality;
mod replayed;
mod sustained;
mod telemetry;
mod texts;

pub use observations::{CellSamples, CellSamplesBuilder};
pub use quality::Scorer;
pub use sustained::SustainedLoads;
pub use telemetry::Windows;

use crate::schema::{self, Cell, Event, Results, RowsFile, SCHEMA_VERSION};
use chrono::NaiveDate;
use cost::campaign::Spending;
use cost::offered::offered_rates;
use matrix::plan::{self, Plan};
use matrix::{self, Matrix, Protocol, Varied};
use model::engine::EngineFacts;
use rayon::prelude::*;
use records::{AgentRow, CampaignRow, DialogueRow, EventRow, SegmentRow, State};
use stats::precision::Precision;
use stats::search::{Pace, PlannedRun, Search};
use stats::slo::Slo;

/// A campaign as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct StoredCampaign<'a> {
    pub campaign: &'a CampaignRow,
    pub agents: &'a [AgentRow],
    /// Of which dialogues, measured ones first.
    pub dialogues: &'a [DialogueRow],
    pub segments: &'a [SegmentRow],
    /// The samples of every cell, in the order of the plan.
    pub observed: &'a [CellSamples],
    pub events: &'a [EventRow],
    /// The day of the report: prices age until then.
    pub today: NaiveDate,
    pub windows: &'a Windows,
}

#[derive(Debug, Clone, Default)]
pub struct Files {
    pub samples: Option<RowsFile>,
    pub telemetry: Option<RowsFile>,
}

const MIB: f64 = 1_048_576.0;

pub fn results(read: &StoredCampaign<'_>, files: Files) -> Results {
    let StoredCampaign { campaign, .. } = read;
    let matrix = &campaign.matrix;
    let observed = read.observed;
    let mut cells: Vec<Cell> = (0..observed.len())
        .into_par_iter()
        .map(|index| cells::cell(read, index, &observed[index]))
        .collect();
    let slo = objective(matrix);
    let capacities = capacities::settle(read, slo, &mut cells);
    let recommendation = decision::of_campaign(read, &cells);
    let ranked = recommendation.as_ref().map_or(&[][..], |found| &found.ranked);
    let entries = entries::entries(read, &cells, ranked);
    let environment = environment::environment(read);
    let gates = gates::of_campaign(read, &cells);
    let dataset = schema::Dataset {
        source: campaign.dataset.source.clone(),
        sha256: campaign.dataset.sha256.clone(),
        revision: campaign.dataset.revision.clone(),
        dialogues: campaign.dataset.dialogues as u64,
        samples: campaign.dataset.samples as u64,
        sample_ids_sha256: campaign.dataset.sample_ids_sha256.clone(),
        references: campaign.dataset.references as u64,
        set_aside: campaign.dataset.set_aside.as_ref().map(rows_set_aside),
        notes: campaign.dataset.notes.clone(),
    };
    let sum = |count: fn(&Cell) -> u64| cells.iter().map(count).sum();
    Results {
        schema_version: SCHEMA_VERSION,
        campaign: schema::Campaign {
            id: campaign.id.to_string(),
            name: campaign.name.clone(),
            state: match campaign.state {
                State::Complete => State::Complete.as_str(),
                State::Running | State::Incomplete => State::Incomplete.as_str(),
            }
            .to_owned(),
            created_at: campaign.created_at.to_rfc3339(),
            finished_at: campaign.finished_at.map(|at| at.to_rfc3339()),
            controller_version: campaign.controller_version.clone(),
            seed: matrix.seed,
            planned_samples: sum(|cell| {
                cell.counted_samples + cell.failed_samples + cell.missing_samples
            }),
            counted_samples: sum(|cell| cell.counted_samples + cell.failed_samples),
            missing_samples: sum(|cell| cell.missing_samples),
            late_samples: sum(|cell| cell.late_samples),
            spending: spending(read),
            events: read.events.iter().map(event).collect(),
            matrix: campaign.matrix_text.clone(),
            samples_file: files.samples,
            telemetry_file: files.telemetry,
        },
        comparisons: comparisons::of_campaign(read, &dataset, &environment, &entries, &cells),
        dataset,
        environment,
        capacities,
        offered_rates: offered_rates(&decision::choices(&entries, slo.is_some())),
        recommendation,
        gates,
        results: entries,
        sample_texts: texts::allowed(read),
    }
}

fn event(row: &EventRow) -> Event {
    Event { at: row.at.to_rfc3339(), kind: row.kind.clone(), detail: row.detail.clone() }
}

/// The rule that adds runs to a cell, if the matrix has one.
pub fn precision_rule(protocol: &Protocol) -> Option<Precision> {
    let matrix::Precision { half_width, max_runs } = protocol.precision?;
    Some(Precision { half_width, first_look: protocol.least_runs(), max_runs })
}

/// The rule of the search among the loads of `server`, if the matrix has one; each search has its own candidates.
pub fn search_rule(matrix: &Matrix) -> Option<Search> {
    let search = matrix.search()?;
    Some(Search {
        loads: Vec::new(),
        pace: match search.vary {
            Varied::RequestRate => Pace::Offered,
            Varied::Concurrency => Pace::Measured,
        },
        resolution: search.resolution,
        max_runs: search.max_runs,
        needed: objective(matrix)?.needed(),
    })
}

/// What a run of a search's candidate is to measure.
pub fn planned_run(plan: &Plan, matrix: &Matrix, cell: usize) -> PlannedRun {
    PlannedRun { requests: plan.samples as u64, in_flight: plan.in_flight(matrix, cell) }
}

/// Whether a cell is a candidate that its search didn't need. The lowest load stands for a search without any run.
fn is_left_out(read: &StoredCampaign<'_>, index: usize) -> bool {
    let CampaignRow { plan, matrix, .. } = read.campaign;
    read.observed[index].cell.is_empty()
        && plan.searches(matrix).iter().any(|search| search[1..].contains(&index))
}

fn rows_set_aside(rows: &records::RowsSetAside) -> schema::RowsSetAside {
    let first = rows.first.iter().map(|row| schema::RowSetAside {
        file: row.file.clone(),
        position: row.position.clone(),
        id: row.id.clone(),
        reason: row.reason.clone(),
    });
    schema::RowsSetAside {
        count: rows.count as u64,
        share: rows.count as f64 / rows.rows.max(1) as f64,
        first: first.collect(),
    }
}

/// What the campaign itself cost: every machine that was held, measuring or not, at its target's price; behind an
/// endpoint is one.
fn spending(read: &StoredCampaign<'_>) -> Spending {
    let StoredCampaign { campaign, agents, .. } = read;
    let none = Spending::new(campaign.matrix.cost.max_usd);
    agents.iter().fold(none, |spending, agent| {
        let price = campaign.agent_usd_per_hour(agent.target);
        spending.with_host(agent.held_ns as f64 / 1e9, price)
    })
}

/// The objective of the matrix, if it has one.
pub fn objective(matrix: &Matrix) -> Option<Slo> {
    let matrix::Slo { request_latency_ms, ttft_ms, tpot_ms, percentile, error_rate } = matrix.slo?;
    Some(Slo { request_latency_ms, ttft_ms, tpot_ms, percentile, error_rate })
}

fn facts_of<'a>(agents: &'a [AgentRow], planned: &plan::Cell) -> Option<&'a EngineFacts> {
    let agents = agents.iter().filter(|agent| agent.target == planned.target);
    agents.filter_map(|agent| agent.engines.get(planned.engine)).find_map(Option::as_ref)
}
