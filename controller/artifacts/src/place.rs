//! Uploads files to a new folder below a prefix.

use super::Error;
use bytes::Bytes;
use fetch::Fetcher;
use fetch::s3::{Address, Presence, Upload};
use sha2::{Digest, Sha256};

/// Folders per campaign: each differing report gets a new one.
const MAX_FOLDERS: u32 = 100;

#[derive(Debug, Clone)]
pub struct Artifact {
    pub name: String,
    /// Such as `application/json`.
    pub content_type: &'static str,
    pub bytes: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub folder: Address,
    pub uploaded: Vec<Address>,
    /// Identical files that already existed.
    pub kept: Vec<Address>,
}

/// Uploads artifacts, in order, to the folder `ID` of the campaign below `prefix`, or to `ID-2`, `ID-3` and so on
/// if it contains other files.
pub async fn place(
    fetcher: &Fetcher,
    prefix: &Address,
    campaign: &str,
    artifacts: &[Artifact],
) -> Result<Placed, Error> {
    for number in 1..=MAX_FOLDERS {
        let name = if number == 1 { campaign.to_owned() } else { format!("{campaign}-{number}") };
        if let Some(placed) = Box::pin(upload(fetcher, prefix.below(&name), artifacts)).await? {
            return Ok(placed);
        }
    }
    Err(Error::TooManyFolders { prefix: prefix.to_string(), tried: MAX_FOLDERS })
}

/// The object at the address of an artifact.
enum Existing {
    Absent,
    Same,
    Other,
}

/// Uploads all to one folder; `None` if it contains other files.
async fn upload(
    fetcher: &Fetcher,
    folder: Address,
    artifacts: &[Artifact],
) -> Result<Option<Placed>, Error> {
    let mut missing = Vec::new();
    let mut placed = Placed { folder: folder.clone(), uploaded: Vec::new(), kept: Vec::new() };
    for artifact in artifacts {
        let address = folder.below(&artifact.name);
        match compare(fetcher, &address, artifact).await? {
            Existing::Absent => missing.push((address, artifact)),
            Existing::Same => placed.kept.push(address),
            Existing::Other => return Ok(None),
        }
    }
    for (address, artifact) in missing {
        let upload = Upload {
            address: address.clone(),
            content_type: artifact.content_type,
            bytes: artifact.bytes.clone(),
        };
        match fetcher.s3_upload(&upload).await {
            Ok(()) => placed.uploaded.push(address),
            // A concurrent upload, or the response of an earlier attempt was lost.
            Err(fetch::Error::Exists { .. }) => match compare(fetcher, &address, artifact).await? {
                Existing::Same => placed.uploaded.push(address),
                Existing::Absent | Existing::Other => return Ok(None),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(placed))
}

async fn compare(
    fetcher: &Fetcher,
    address: &Address,
    artifact: &Artifact,
) -> Result<Existing, Error> {
    let own = hex::encode(Sha256::digest(&artifact.bytes));
    Ok(match fetcher.s3_presence(address).await? {
        Presence::Absent => Existing::Absent,
        Presence::Hashed(sha256) if sha256 == own => Existing::Same,
        Presence::Hashed(_) | Presence::Unhashed => Existing::Other,
    })
}
