//! Requirements of a matrix for `controller doctor`.

use crate::commands::{dialogues, fetcher, notify, prices};
use crate::doctor::{DatedPrice, Needed, Outcome, Prices};
use crate::progress::Verbosity;
use ::fetch::{Fetcher, hub, s3};
use chrono::NaiveDate;
use cost::price::STALE_AFTER_DAYS;
use matrix::Matrix;
use ops::{clock::Clock, error_chain};
use std::path::Path;

pub(super) async fn check(matrix: &Matrix) -> Needed {
    let threads = matrix.targets.iter().filter_map(|target| target.local);
    Needed {
        local_threads: threads.map(|local| local.threads).max(),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        sources: Box::pin(sources(matrix)).await,
        channels: channels(matrix),
        prices: of_prices(matrix),
    }
}

async fn sources(matrix: &Matrix) -> Vec<Outcome> {
    let dialogues = Box::pin(dialogues::choose(matrix, Verbosity::Quiet)).await;
    let found = dialogues
        .map(|chosen| {
            format!("{} dialogues, {} are measured", chosen.facts.dialogues, chosen.facts.samples)
        })
        .map_err(|error| format!("{error:#}"));
    let mut all = vec![Outcome { what: "dataset", name: matrix.dataset.source.clone(), found }];
    let fetcher = match fetcher(Verbosity::Quiet) {
        Ok(fetcher) => fetcher,
        Err(error) => {
            let (name, found) = ("hub and S3".to_owned(), Err(format!("{error:#}")));
            all.push(Outcome { what: "model", name, found });
            return all;
        }
    };
    let has_local = matrix.targets.iter().any(|target| target.local.is_some());
    for model in &matrix.models {
        let revision = model.revision.as_deref();
        let places = [
            ("model", Some(&model.id), revision),
            ("adapter", model.adapter.as_ref(), None),
            ("tokenizer", model.tokenizer.as_ref(), None),
        ];
        for (what, place, revision) in places {
            let Some(place) = place else { continue };
            let found = Box::pin(check_source(&fetcher, place, revision, has_local)).await;
            if let Some(found) = found {
                all.push(Outcome { what, name: place.clone(), found });
            }
        }
    }
    if let Some(artifacts) = &matrix.artifacts {
        let found = Box::pin(listed(&fetcher, &artifacts.s3)).await;
        let found = found.map(|count| format!("{count} objects; write permission not checked"));
        all.push(Outcome { what: "artifacts", name: artifacts.s3.clone(), found });
    }
    all
}

/// Checks a source that agents read. `None` for built-in sources and paths on other machines.
async fn check_source(
    fetcher: &Fetcher,
    place: &str,
    revision: Option<&str>,
    has_local: bool,
) -> Option<Result<String, String>> {
    if let Some(path) =
        place.strip_prefix("scripted:").or(Some(place).filter(|it| it.starts_with('/')))
    {
        let exists = Path::new(path).exists();
        let missing = || "no such file or folder for the local agents".to_owned();
        return has_local.then(|| exists.then(|| "found".to_owned()).ok_or_else(missing));
    }
    if place.starts_with("s3://") {
        return Some(listed(fetcher, place).await.map(|count| format!("{count} objects")));
    }
    let has_scheme = place.contains(':') && !place.starts_with("hf://");
    if has_scheme {
        return None;
    }
    let listing = async {
        let address: hub::Address = place.parse()?;
        let repository = address.repository(hub::Kind::Model, revision)?;
        fetcher.hub_listing(&repository).await
    };
    let listing = listing.await.map_err(|error| error_chain::one_line(&error));
    Some(
        listing
            .map(|listing| format!("{} files at commit {}", listing.files.len(), listing.commit)),
    )
}

/// The number of objects at an address in S3.
async fn listed(fetcher: &Fetcher, place: &str) -> Result<usize, String> {
    let listing = async {
        let address: s3::Address = place.parse()?;
        let name = address.name();
        let is_file = [".gz", ".tgz", ".tar", ".json"].iter().any(|end| name.ends_with(end));
        if is_file {
            return fetcher.s3_object(&address).await.map(|_| 1);
        }
        fetcher.s3_listing(&address).await.map(|objects| objects.len())
    };
    listing.await.map_err(|error: ::fetch::Error| error_chain::one_line(&error))
}

fn channels(matrix: &Matrix) -> Vec<Outcome> {
    let outcome = |name: String, found| Outcome { what: "notify", name, found };
    if matrix.notify.channels.is_empty() {
        return Vec::new();
    }
    match notify::recipients(matrix, &[]) {
        Ok(recipients) => recipients
            .iter()
            .map(|recipient| outcome(recipient.name.clone(), Ok("its secrets are set".to_owned())))
            .collect(),
        Err(error) => error
            .to_string()
            .lines()
            .map(|line| {
                let line = line.trim().trim_start_matches("notify.");
                let (name, reason) = line.split_once(": ").unwrap_or(("", line));
                outcome(name.to_owned(), Err(reason.to_owned()))
            })
            .collect(),
    }
}

fn of_prices(matrix: &Matrix) -> Result<Prices, String> {
    let rows = prices::of_targets(matrix).map_err(|error| format!("{error:#}"))?;
    let today = Clock::System.now().date_naive();
    let dated = matrix.targets.iter().zip(&rows).filter_map(|(target, row)| {
        let date: NaiveDate = row.date.as_ref()?.parse().ok()?;
        Some(DatedPrice { target: target.name.to_string(), source: row.source.clone(), date })
    });
    let oldest = dated.min_by_key(|price| price.date);
    let age_days = oldest.as_ref().map_or(0, |price| (today - price.date).num_days());
    Ok(Prices { targets: rows.len(), oldest, age_days, stale_after_days: STALE_AFTER_DAYS })
}
