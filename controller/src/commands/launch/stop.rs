//! `controller launch sagemaker --stop`: stops the jobs that earlier launches may have left running.

use super::{Unconfirmed, client, hours, report_stopped};
use crate::cli;
use fetch::aws::Access;
use launch::sagemaker::launch_record::LaunchRecord;
use launch::sagemaker::{api, jobs};
use ops::{program::Exit, terminal};
use std::{sync::Arc, time::Duration};

pub(super) async fn run(options: &cli::LaunchSagemaker) -> anyhow::Result<Exit> {
    let records = LaunchRecord::all(&options.data_dir)?;
    if records.is_empty() {
        terminal::result(&format!(
            "no launch recorded in {}: nothing to stop",
            options.data_dir.display()
        ))?;
        return Ok(Exit::Ok);
    }
    let mut exit = Exit::Ok;
    for record in records {
        let access = Access::find(api::SERVICE, Some(&record.region)).await?.at(&record.endpoint);
        let client = Arc::new(client(access, options)?);
        let stopped = jobs::stop(&client, &record.jobs).await;
        let running = stopped.iter().filter(|job| matches!(job.outcome, Ok(true))).count();
        match report_stopped(&record, &stopped, &options.data_dir, Unconfirmed::None) {
            Ok(()) => terminal::result(&format!(
                "launch {} of {}, for at most {}: stopped {running} of {}; the others had ended",
                record.id,
                record.started_at.format("%Y-%m-%d %H:%M UTC"),
                hours(Duration::from_secs(record.max_runtime_s)),
                super::counted(record.jobs.len()),
            ))?,
            Err(error) => {
                terminal::warning(&error);
                exit = Exit::UserError;
            }
        }
    }
    Ok(exit)
}
