//! Datasets of the Hugging Face Hub.

use super::error::Error;
use super::remote_files::{Fetched, split_error};
use super::split;
use fetch::Fetcher;
use fetch::hub::{Address, Kind};

/// Downloads the files of one split, or the file of the address.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    address: &Address,
    split: Option<&str>,
) -> Result<Fetched, Error> {
    let repository = address.repository(Kind::Dataset, None)?;
    let listing = fetcher.hub_listing(&repository).await?;
    let names = match &address.path {
        Some(path) => vec![path.clone()],
        None => split::choose(&listing.files, split).map_err(|reason| {
            let place = format!("hf://{repository}");
            split_error(place, split, reason)
        })?,
    };
    let snapshot = fetcher.hub_files(&repository, &listing.commit, &names).await?;
    Ok(Fetched { files: snapshot.files, revision: Some(listing.commit) })
}
