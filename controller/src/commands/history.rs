//! `controller history`: lists campaigns, or plots a metric over time.

use super::report::{made, unwritten};
use crate::cli;
use ::report::history;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use ops::terminal;
use results::Results;
use store::{CampaignNo, CampaignRow};

pub(super) async fn run(options: &cli::History) -> anyhow::Result<()> {
    let store = super::store(&options.data_dir).await?;
    let mut campaigns: Vec<(CampaignNo, CampaignRow)> = Vec::new();
    for no in store.newest().await? {
        if campaigns.len() == options.last {
            break;
        }
        let row = store.campaign(no).await?;
        if options.name.as_ref().is_none_or(|name| row.name == *name) {
            campaigns.push((no, row));
        }
    }
    campaigns.reverse();
    if campaigns.is_empty() {
        terminal::result("no campaigns yet: see controller run")?;
        return Ok(());
    }
    match options.metric {
        None => terminal::result(&listed(&campaigns))?,
        Some(metric) => {
            let mut results: Vec<Results> = Vec::new();
            for (no, _) in &campaigns {
                let rows = (unwritten(), unwritten());
                results.push(made(&store, *no, rows, None).await?.results);
            }
            let holds = options.cell.as_deref().unwrap_or_default();
            terminal::result(&history::draw(&results, metric, holds))?;
        }
    }
    store.close().await;
    Ok(())
}

fn listed(campaigns: &[(CampaignNo, CampaignRow)]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["campaign", "began", "state", "targets", "cells", "runs", "dialogues"]);
    for (_, row) in campaigns {
        let targets: Vec<&str> =
            row.matrix.targets.iter().map(|target| target.name.as_str()).collect();
        table.add_row([
            row.id.to_string(),
            row.created_at.format("%Y-%m-%d %H:%M").to_string(),
            row.state.as_str().to_owned(),
            targets.join(", "),
            row.plan.cells.len().to_string(),
            row.matrix.protocol.runs.to_string(),
            row.plan.samples.to_string(),
        ]);
    }
    table.to_string()
}
