//! Models, tokenizers and adapters in S3: an archive, or the files below a prefix.

use super::{Error, archive, choice, connection};
use fetch::s3::Address;
use std::path::{Path, PathBuf};

pub(super) fn is_name(given: &str) -> bool {
    given.starts_with("s3://")
}

pub(super) fn model(given: &str) -> Result<PathBuf, Error> {
    fetch(given, |files| choice::model(given, files))
}

pub(super) fn tokenizer(given: &str) -> Result<PathBuf, Error> {
    fetch(given, |files| choice::tokenizer(given, files))
}

pub(super) fn adapter(given: &str) -> Result<PathBuf, Error> {
    fetch(given, |files| Ok(choice::adapter(files)))
}

fn fetch(
    given: &str,
    choose: impl Fn(&[String]) -> Result<Vec<String>, Error>,
) -> Result<PathBuf, Error> {
    let address: Address = given.parse().map_err(fetch::Error::from)?;
    let fetcher = connection()?;
    let is_file = Path::new(&address.key).extension().is_some_and(|ending| ending == "json");
    if is_file || archive::is_archive(&address.key) {
        let snapshot = fetcher.block_on(async {
            let object = fetcher.s3_object(&address).await?;
            fetcher.s3_files(&address.bucket, &[object]).await
        })?;
        return Ok(snapshot.folder.join(address.name()));
    }
    let listed = fetcher.block_on(fetcher.s3_listing(&address))?;
    let names: Vec<String> = listed.iter().map(|object| object.name.clone()).collect();
    let wanted = choose(&names)?;
    let objects: Vec<_> =
        listed.into_iter().filter(|object| wanted.contains(&object.name)).collect();
    Ok(fetcher.block_on(fetcher.s3_files(&address.bucket, &objects))?.folder)
}
