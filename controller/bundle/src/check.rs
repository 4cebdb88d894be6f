//! Rows of a bundle, checked as the store would have written them: every index leads to a row, and every number that
//! bounds a loop is within the limits of a matrix.

use super::Content;
use matrix::{RUNS, plan::Load};
use model::load::LoadWindow;

/// More cells or windows than any plan has.
const MAX: u32 = 1_000_000;

#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct Error {
    file: &'static str,
    what: String,
}

fn refuse(file: &'static str, what: impl Into<String>) -> Result<(), Error> {
    Err(Error { file, what: what.into() })
}

impl Content {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_plan()?;
        self.check_agents()?;
        self.check_load_windows()?;
        self.check_signatures()
    }

    fn check_plan(&self) -> Result<(), Error> {
        use super::archive::{DIALOGUES, MATRIX, PLAN, PRICES};
        let (matrix, plan) = (&self.campaign.matrix, &self.campaign.plan);
        let runs = matrix.most_runs();
        if !RUNS.contains(&runs) || !RUNS.contains(&matrix.protocol.least_runs()) {
            return refuse(MATRIX, format!("{runs} runs of a cell"));
        }
        if matrix.targets.iter().any(|target| target.dtypes.is_empty()) {
            return refuse(MATRIX, "a target without a dtype");
        }
        if self.campaign.prices.len() != matrix.targets.len() {
            return refuse(PRICES, "expected a price for each target");
        }
        let is_price = |price: &records::PriceRow| price.usd_per_hour.is_finite();
        if !self.campaign.prices.iter().all(is_price) {
            return refuse(PRICES, "a price is not a number");
        }
        if plan.engines.len() != matrix.targets.len() {
            return refuse(PLAN, "expected the engines of each target");
        }
        let mut ids: Vec<&str> = Vec::with_capacity(plan.cells.len());
        for cell in &plan.cells {
            let engines = plan.engines.get(cell.target).map_or(0, Vec::len);
            let is_known = cell.model < matrix.models.len() && cell.engine < engines;
            let windows = match cell.load {
                Some(Load { sustained: Some(sustained), .. }) => sustained.windows,
                _ => 1,
            };
            let windows = windows.saturating_mul(cell.agents);
            if !is_known || cell.batch_size == 0 || !(1..=MAX).contains(&windows) {
                return refuse(PLAN, format!("cell {} doesn't follow from the matrix", cell.id));
            }
            ids.push(cell.id.as_str());
        }
        if ids.is_empty() || ids.len() > MAX as usize {
            return refuse(PLAN, format!("{} cells", ids.len()));
        }
        if !are_unique(ids) {
            return refuse(PLAN, "a cell is there twice");
        }
        let measured: Vec<&str> = (self.dialogues.iter())
            .take_while(|row| row.is_measured)
            .map(|row| row.sample_id.as_str())
            .collect();
        if measured.len() != plan.samples || plan.samples == 0 {
            return refuse(DIALOGUES, format!("expected {} measured ones first", plan.samples));
        }
        if !are_unique(measured) {
            return refuse(DIALOGUES, "an id is there twice");
        }
        Ok(())
    }

    fn check_agents(&self) -> Result<(), Error> {
        use super::archive::{AGENTS, SEGMENTS};
        let plan = &self.campaign.plan;
        for agent in &self.agents {
            let engines = plan.engines.get(agent.target);
            if engines.is_none_or(|engines| agent.engines.len() > engines.len()) {
                return refuse(AGENTS, format!("{} has no target of the matrix", agent.agent_id));
            }
        }
        let runs = self.campaign.matrix.most_runs();
        for segment in &self.segments {
            let is_known = segment.cell < plan.cells.len() && segment.agent < self.agents.len();
            if !is_known || !(1..=runs).contains(&segment.run) {
                return refuse(SEGMENTS, "a segment that is not of the plan");
            }
        }
        Ok(())
    }

    fn check_load_windows(&self) -> Result<(), Error> {
        use super::archive::LOAD_WINDOWS;
        let plan = &self.campaign.plan;
        let runs = self.campaign.matrix.most_runs();
        let mut last = None;
        for row in &self.load_windows {
            let sustained = plan.cells.get(row.cell).and_then(matrix::plan::Cell::sustained);
            let agents = plan.cells.get(row.cell).map_or(1, |cell| cell.agents);
            let is_planned =
                sustained.is_some_and(|load| row.number < load.windows.saturating_mul(agents));
            let is_known = row.agent < self.agents.len() && (1..=runs).contains(&row.run);
            if !is_planned || !is_known || !row.is_counted {
                return refuse(LOAD_WINDOWS, "a window that is not of the plan");
            }
            let window = row.window.clone().check();
            let LoadWindow { latency, ttft, schedule_delay, chunk_gap, .. } = &row.window;
            let histograms = [latency, ttft, schedule_delay, chunk_gap];
            if window.is_err() || histograms.into_iter().any(|one| one.clone().check().is_err()) {
                return refuse(LOAD_WINDOWS, "a window with impossible numbers");
            }
            let place = Some((row.cell, row.run, row.number));
            if last >= place {
                return refuse(LOAD_WINDOWS, "a window is there twice, or out of order");
            }
            last = place;
        }
        Ok(())
    }
}

impl Content {
    fn check_signatures(&self) -> Result<(), Error> {
        use super::archive::{HASH_BYTES, SIGNATURES, TEXT_HASHES};
        if self.signatures.iter().any(|row| row.agent >= self.agents.len()) {
            return refuse(SIGNATURES, "a signature by an agent that is not of the campaign");
        }
        if !self.signatures.windows(2).all(|pair| pair[0].attempt < pair[1].attempt) {
            return refuse(SIGNATURES, "an attempt is there twice, or out of order");
        }
        if self.texts.is_some() && self.signatures.iter().any(|row| row.salt.is_none()) {
            return refuse(SIGNATURES, "a signature without its salt, although there are texts");
        }
        if !self.text_hashes.len().is_multiple_of(HASH_BYTES) {
            return refuse(TEXT_HASHES, format!("{} bytes", self.text_hashes.len()));
        }
        Ok(())
    }
}

fn are_unique(mut names: Vec<&str>) -> bool {
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}
