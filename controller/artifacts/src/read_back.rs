//! Reads results and their samples from S3.

use super::Error;
use fetch::{Fetcher, s3::Address};
use ops::text;
use results::{Results, SCHEMA_VERSION};
use std::{fs::File, path::PathBuf};

#[derive(Debug)]
pub struct ReadBack {
    pub results: Results,
    /// The local copy of results.json.
    pub results_file: PathBuf,
    pub samples: Option<SamplesFile>,
}

/// Samples whose hash and row count match the results.
#[derive(Debug, PartialEq, Eq)]
pub struct SamplesFile {
    /// The name in the results: the file must have it, next to them. No path, and not the name of anything but samples.
    pub name: String,
    /// The local copy.
    pub path: PathBuf,
}

/// Reads a results.json and the Parquet file next to it.
pub async fn read_back(fetcher: &Fetcher, address: &Address) -> Result<ReadBack, Error> {
    let (results_file, _) = fetch(fetcher, address).await?;
    let bytes = std::fs::read(&results_file)
        .map_err(|source| Error::Read { path: results_file.clone(), source })?;
    let text = text::decode(&bytes)
        .map_err(|source| Error::Text { address: address.to_string(), source })?;
    let not_results = |source| Error::NotResults { address: address.to_string(), source };
    let version: Version = serde_json::from_str(&text).map_err(not_results)?;
    if version.schema_version != SCHEMA_VERSION {
        return Err(Error::Version {
            address: address.to_string(),
            found: version.schema_version,
            known: SCHEMA_VERSION,
        });
    }
    let results: Results = serde_json::from_str(&text).map_err(not_results)?;
    let mut samples = None;
    if let Some(named) = &results.campaign.samples_file {
        let name = &named.name;
        if !is_samples_name(name) {
            return Err(Error::Name { address: address.to_string(), name: name.clone() });
        }
        let address = address.sibling(name);
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
        if parquet_check::rows(&file).ok() != Some(named.rows) {
            return Err(Error::Rows { address: address.to_string(), expected: named.rows });
        }
        samples = Some(SamplesFile { name: name.clone(), path });
    }
    Ok(ReadBack { results, results_file, samples })
}

/// The ending of the names of all samples files.
const SAMPLES: &str = ".samples.parquet";

/// Whether a file of this name may be written next to a copy of the results: whoever wrote them chose it.
fn is_samples_name(name: &str) -> bool {
    let is_plain = |c: char| c != '/' && !c.is_control();
    name.len() > SAMPLES.len() && name.ends_with(SAMPLES) && name.chars().all(is_plain)
}

/// Parsed first, to report results of another version.
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

#[cfg(test)]
mod tests {
    use super::is_samples_name;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in [
            "",
            ".samples.parquet",
            "..",
            "../x.samples.parquet",
            "/etc/x.samples.parquet",
            "a/b.samples.parquet",
            ".bashrc",
            "results.json",
            "x\n.samples.parquet",
        ] {
            assert!(!is_samples_name(name), "{name:?}");
        }
        for name in ["results.samples.parquet", "..samples.parquet.samples.parquet"] {
            assert!(is_samples_name(name), "{name:?}");
        }
    }
}
