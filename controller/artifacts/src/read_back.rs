//! Results that lie in S3, with the samples that they were computed from.

use super::Error;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use fetch::Fetcher;
use fetch::s3::Address;
use results::Results;
use results::SCHEMA_VERSION;
use std::fs::File;
use std::path::PathBuf;

/// Results that were read back.
#[derive(Debug)]
pub struct ReadBack {
    /// What they say.
    pub results: Results,
    /// Where results.json lies on this disk now.
    pub results_file: PathBuf,
    /// Where the samples lie on this disk now, checked against what the results say of them.
    pub samples_file: Option<PathBuf>,
}

/// Reads a results.json and the Parquet file beside it.
///
/// # Errors
/// [`Error`], naming the object and the way out.
pub async fn read_back(fetcher: &Fetcher, address: &Address) -> Result<ReadBack, Error> {
    let (results_file, _) = fetch(fetcher, address).await?;
    let text = std::fs::read(&results_file)
        .map_err(|source| Error::Read { path: results_file.clone(), source })?;
    let not_results = |source| Error::NotResults { address: address.to_string(), source };
    let version: Version = serde_json::from_slice(&text).map_err(not_results)?;
    if version.schema_version != SCHEMA_VERSION {
        return Err(Error::Version {
            address: address.to_string(),
            found: version.schema_version,
            known: SCHEMA_VERSION,
        });
    }
    let results: Results = serde_json::from_slice(&text).map_err(not_results)?;
    let mut samples_file = None;
    if let Some(named) = &results.campaign.samples_file {
        // A name, and nothing that leads elsewhere.
        let name = named.name.rsplit('/').next().unwrap_or_default();
        let address = address.beside(name);
        let (path, sha256) = fetch(fetcher, &address).await?;
        if sha256 != named.sha256 {
            return Err(Error::OtherSamples {
                address: address.to_string(),
                expected: named.sha256.clone(),
                found: sha256,
            });
        }
        let file =
            File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let rows = SerializedFileReader::new(file)
            .map(|reader| reader.metadata().file_metadata().num_rows().cast_unsigned());
        if rows.ok() != Some(named.rows) {
            return Err(Error::Rows { address: address.to_string(), expected: named.rows });
        }
        samples_file = Some(path);
    }
    Ok(ReadBack { results, results_file, samples_file })
}

/// Only what tells whether the rest can be read.
#[derive(serde::Deserialize)]
struct Version {
    schema_version: u32,
}

async fn fetch(fetcher: &Fetcher, address: &Address) -> Result<(PathBuf, String), Error> {
    let object = Box::pin(fetcher.s3_object(address)).await?;
    let snapshot = Box::pin(fetcher.s3_files(&address.bucket, &[object])).await?;
    let file = snapshot.files.into_iter().next().ok_or_else(|| fetch::Error::NoFile {
        place: format!("s3://{}", address.bucket),
        file: address.key.clone(),
    })?;
    Ok((file.path, file.sha256))
}
