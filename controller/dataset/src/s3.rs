//! Datasets in S3.

use super::error::Error;
use super::remote_files::{Fetched, split_error};
use super::source::format_of;
use super::split;
use fetch::Fetcher;
use fetch::s3::{Address, Object};

/// Downloads the object of the address, or the files of one split below it.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    address: &Address,
    split: Option<&str>,
) -> Result<Fetched, Error> {
    let objects: Vec<Object> = if format_of(&address.key).is_some() {
        vec![fetcher.s3_object(address).await?]
    } else {
        let listed = fetcher.s3_listing(address).await?;
        let names: Vec<String> = listed.iter().map(|object| object.name.clone()).collect();
        let names = split::choose(&names, split)
            .map_err(|reason| split_error(address.as_folder().to_string(), split, reason))?;
        listed.into_iter().filter(|object| names.contains(&object.name)).collect()
    };
    let snapshot = fetcher.s3_files(&address.bucket, &objects).await?;
    Ok(Fetched { files: snapshot.files, revision: None })
}
