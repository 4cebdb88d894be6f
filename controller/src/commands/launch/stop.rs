//! `controller launch sagemaker --stop`: ends what earlier launches may have left running.

use super::{client, hours, settle};
use crate::cli;
use fetch::aws::Access;
use launch::sagemaker::ledger::Launch;
use launch::sagemaker::{api, jobs};
use ops::program::Exit;
use ops::terminal;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn run(options: &cli::LaunchSagemaker) -> anyhow::Result<Exit> {
    let launches = Launch::all(&options.data_dir)?;
    if launches.is_empty() {
        terminal::result(&format!(
            "no launch recorded in {}: nothing to stop",
            options.data_dir.display()
        ))?;
        return Ok(Exit::Ok);
    }
    let mut exit = Exit::Ok;
    for launch in launches {
        let access = Access::find(api::SERVICE, Some(&launch.region)).await?.at(&launch.endpoint);
        let client = Arc::new(client(access, options)?);
        let stopped = jobs::stop(&client, &launch.jobs).await;
        let running = stopped.iter().filter(|job| matches!(job.outcome, Ok(true))).count();
        match settle(&launch, &stopped, &options.data_dir, false) {
            Ok(()) => terminal::result(&format!(
                "launch {} of {}, for at most {}: stopped {running} of {}; the others had ended",
                launch.id,
                launch.begun_at.format("%Y-%m-%d %H:%M UTC"),
                hours(Duration::from_secs(launch.max_runtime_s)),
                super::counted(launch.jobs.len()),
            ))?,
            Err(error) => {
                terminal::warning(&error);
                exit = Exit::UserError;
            }
        }
    }
    Ok(exit)
}
