//! `controller plan`: the plan of a matrix as text.

use super::{dialogues, model_files, power, prices, read_matrix, timing};
use crate::cli;
use matrix::plan::{Plan, text};
use ops::{clock::Clock, terminal};

pub(super) async fn run(options: &cli::Plan) -> anyhow::Result<()> {
    let file = read_matrix(&options.matrix, &(&options.overrides).into())?;
    model_files::check_all(&file.matrix)?;
    let samples = dialogues::count(&file.matrix).await?;
    let plan = Plan::make(&file.matrix, samples)?;
    let prices = prices::of_targets(&file.matrix)?;
    terminal::result(&text::render(
        &plan,
        &file.matrix,
        &prices::shown(&prices, Clock::System.now().date_naive()),
        &power::of_plan(&plan, &file.matrix),
        &timing::of_data_dir(&plan, &file.matrix, &options.data_dir).await,
    ))?;
    Ok(())
}
