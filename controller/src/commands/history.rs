//! `controller history`: lists campaigns, or plots a metric over time.

use super::report::{Pricing, Source, made, unwritten};
use crate::cli;
use ::report::history;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use ops::terminal;
use results::Results;
use store::{CampaignNo, CampaignRow, State};

pub(super) async fn run(options: &cli::History) -> anyhow::Result<()> {
    let store = super::store(&options.data_dir).await?;
    let mut campaigns: Vec<Listed> = Vec::new();
    for no in store.newest().await? {
        if campaigns.len() == options.last {
            break;
        }
        let row = store.campaign(no).await?;
        if options.name.as_ref().is_none_or(|name| row.name == *name) {
            let is_running =
                row.state == State::Running && store.is_held(no, &options.data_dir).await?;
            campaigns.push(Listed { no, row, is_running });
        }
    }
    campaigns.reverse();
    if options.json {
        let all: Vec<serde_json::Value> = campaigns.iter().map(Listed::json).collect();
        terminal::json(&serde_json::to_string_pretty(&all)?)?;
        store.close().await;
        return Ok(());
    }
    if campaigns.is_empty() {
        terminal::result("no campaigns yet: see controller run")?;
        return Ok(());
    }
    match options.metric {
        None => terminal::result(&listed(&campaigns))?,
        Some(metric) => {
            let mut results: Vec<Results> = Vec::new();
            for Listed { no, .. } in &campaigns {
                let rows = (unwritten(), unwritten());
                let source = Source::Store(&store, *no);
                results.push(made(source, rows, Pricing::default()).await?.results);
            }
            let holds = options.cell.as_deref().unwrap_or_default();
            terminal::result(&history::draw(&results, metric, holds))?;
        }
    }
    store.close().await;
    Ok(())
}

/// A campaign of the list.
struct Listed {
    no: CampaignNo,
    row: CampaignRow,
    /// Whether a controller holds it now.
    is_running: bool,
}

impl Listed {
    /// A campaign that is neither held nor finished was killed.
    fn state(&self) -> &'static str {
        match self.row.state {
            State::Running if !self.is_running => "interrupted",
            state => state.as_str(),
        }
    }

    fn targets(&self) -> Vec<&str> {
        self.row.matrix.targets.iter().map(|target| target.name.as_str()).collect()
    }

    fn json(&self) -> serde_json::Value {
        let row = &self.row;
        serde_json::json!({
            "campaign": row.id.as_str(),
            "name": row.name,
            "created_at": row.created_at.to_rfc3339(),
            "finished_at": row.finished_at.map(|at| at.to_rfc3339()),
            "state": self.state(),
            "targets": self.targets(),
            "cells": row.plan.cells.len(),
            "runs": row.matrix.protocol.runs,
            "dialogues": row.plan.samples,
        })
    }
}

fn listed(campaigns: &[Listed]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["campaign", "began", "state", "targets", "cells", "runs", "dialogues"]);
    for listed in campaigns {
        let row = &listed.row;
        table.add_row([
            row.id.to_string(),
            row.created_at.format("%Y-%m-%d %H:%M").to_string(),
            listed.state().to_owned(),
            listed.targets().join(", "),
            row.plan.cells.len().to_string(),
            row.matrix.protocol.runs.to_string(),
            row.plan.samples.to_string(),
        ]);
    }
    table.to_string()
}
