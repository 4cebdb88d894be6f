//! `controller plan`: what would be measured, as text.

use super::{dialogues, prices, read_matrix};
use crate::cli;
use matrix::plan::{Plan, text};
use ops::clock::Clock;
use ops::terminal;

pub(super) async fn run(options: &cli::Plan) -> anyhow::Result<()> {
    let asked = read_matrix(&options.matrix, &(&options.overrides).into())?;
    let samples = dialogues::count(&asked.matrix).await?;
    let plan = Plan::make(&asked.matrix, samples)?;
    let prices = prices::of_targets(&asked.matrix)?;
    terminal::result(&text::render(
        &plan,
        &asked.matrix,
        &prices::shown(&prices, Clock::System.now().date_naive()),
    ))?;
    Ok(())
}
