//! How long a plan will take, from the campaigns in the data folder.

use matrix::plan::Plan;
use matrix::plan::estimate::{Estimate, Pace};
use matrix::plan::text::Timing;
use matrix::{Matrix, Model, Target};
use ops::terminal;
use std::path::Path;
use store::{CampaignNo, CampaignRow, Store};

/// Earlier campaigns that an estimate uses.
const CAMPAIGNS: usize = 5;
/// It searches them among so many: the rows of every campaign are read.
const LOOKED_AT: usize = 50;

/// From the campaigns in `data_dir`, if there are any. A database that can't be read is no reason not to plan.
pub(super) async fn of_data_dir(plan: &Plan, matrix: &Matrix, data_dir: &Path) -> Timing {
    let is_file = super::database_url().is_none();
    if is_file && !data_dir.join(store::FILE).exists() {
        return without_history(plan, matrix);
    }
    let read = async {
        let store = super::store(data_dir).await?;
        let timing = of_store(plan, matrix, &store).await;
        store.close().await;
        anyhow::Ok(timing?)
    };
    read.await.unwrap_or_else(|error| {
        terminal::note(&format!("note: the estimate uses no earlier campaign: {error:#}"));
        without_history(plan, matrix)
    })
}

fn without_history(plan: &Plan, matrix: &Matrix) -> Timing {
    Timing { estimate: Estimate::assumed(plan, matrix), campaigns: Vec::new() }
}

/// From the newest campaigns that share a target with the matrix; those of the same name first.
pub(super) async fn of_store(
    plan: &Plan,
    matrix: &Matrix,
    store: &Store,
) -> Result<Timing, store::Error> {
    let mut found: Vec<(CampaignNo, CampaignRow)> = Vec::new();
    for no in store.newest().await?.into_iter().take(LOOKED_AT) {
        let row = store.campaign(no).await?;
        let is_planned = |target: &Target| matrix.targets.iter().any(|t| t.name == target.name);
        if row.matrix.targets.iter().any(is_planned) {
            found.push((no, row));
        }
        if found.len() == CAMPAIGNS {
            break;
        }
    }
    // Stable: the newest stay first.
    found.sort_by_key(|(_, row)| row.name != matrix.name.as_str());
    let (mut paces, mut timing) = (Vec::new(), without_history(plan, matrix));
    for (no, row) in &found {
        // Reading a campaign's times takes longer the more samples it has.
        if timing.estimate.measured_cells() == plan.cells.len() {
            break;
        }
        let measured = paces_of(store, *no, row).await?;
        if !measured.is_empty() {
            timing.campaigns.push(row.id.to_string());
            paces.extend(measured);
            timing.estimate = Estimate::measured(plan, matrix, &paces);
        }
    }
    Ok(timing)
}

/// Of each cell with a sample or a finished segment.
async fn paces_of(
    store: &Store,
    no: CampaignNo,
    row: &CampaignRow,
) -> Result<Vec<Pace>, store::Error> {
    let (spans, segments) = (store.spans(no).await?, store.segments(no).await?);
    let pace = |(index, cell): (usize, &matrix::plan::Cell)| {
        let facts = segments.iter().filter(|segment| segment.cell == index);
        let starts: Vec<f64> = facts
            .filter_map(|segment| segment.facts.as_ref())
            .map(|facts| (facts.load_ns + facts.warmup_ns) as f64 / 1e9)
            .collect();
        let sample = spans.iter().find(|span| span.cell == index && cell.load.is_none());
        let sample = sample.map(|span| span.span_ns as f64 / 1e9 / span.samples as f64);
        if starts.is_empty() && sample.is_none() {
            return None;
        }
        let Model { id, .. } = &row.matrix.models[cell.model];
        Some(Pace {
            target: row.matrix.targets[cell.target].name.to_string(),
            model: id.clone(),
            dtype: cell.dtype,
            num_beams: row.matrix.beams_asked(cell),
            batch_size: cell.batch_size,
            // Scripted times may be zero.
            sample: sample.filter(|seconds| *seconds > 0.0),
            start: starts.iter().sum::<f64>() / starts.len().max(1) as f64,
        })
    };
    Ok(row.plan.cells.iter().enumerate().filter_map(pace).collect())
}
