//! Files to a folder of their own below a prefix.

use super::Error;
use bytes::Bytes;
use fetch::Fetcher;
use fetch::s3::{Address, Presence, Upload};
use sha2::{Digest, Sha256};

/// How many folders one campaign may fill: a report that differs gets the next one.
const MOST_FOLDERS: u32 = 100;

/// A file that should lie in S3.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its name in the campaign's folder.
    pub name: String,
    /// What it is, such as `application/json`.
    pub content_type: &'static str,
    /// All of it.
    pub bytes: Bytes,
}

/// Where artifacts lie now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The campaign's folder.
    pub folder: Address,
    /// What was put there now.
    pub uploaded: Vec<Address>,
    /// What was there already, byte for byte.
    pub kept: Vec<Address>,
}

/// Puts artifacts below `prefix`, in a folder named for the campaign: in `ID`, or, where other files lie there, in
/// `ID-2`, `ID-3` and so on. They are put there in their order, so the one that names others comes last.
///
/// # Errors
/// [`Error`], naming the object and the way out.
pub async fn place(
    fetcher: &Fetcher,
    prefix: &Address,
    campaign: &str,
    artifacts: &[Artifact],
) -> Result<Placed, Error> {
    for number in 1..=MOST_FOLDERS {
        let name = if number == 1 { campaign.to_owned() } else { format!("{campaign}-{number}") };
        if let Some(placed) = Box::pin(fill(fetcher, prefix.below(&name), artifacts)).await? {
            return Ok(placed);
        }
    }
    Err(Error::Crowded { prefix: prefix.to_string(), tried: MOST_FOLDERS })
}

/// What became of one artifact.
enum Outcome {
    Free,
    Same,
    Other,
}

/// Puts all into one folder; `None` where something else is in the way.
async fn fill(
    fetcher: &Fetcher,
    folder: Address,
    artifacts: &[Artifact],
) -> Result<Option<Placed>, Error> {
    let mut missing = Vec::new();
    let mut placed = Placed { folder: folder.clone(), uploaded: Vec::new(), kept: Vec::new() };
    for artifact in artifacts {
        let address = folder.below(&artifact.name);
        match look(fetcher, &address, artifact).await? {
            Outcome::Free => missing.push((address, artifact)),
            Outcome::Same => placed.kept.push(address),
            Outcome::Other => return Ok(None),
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
            // Somebody was faster, or an answer was lost on its way.
            Err(fetch::Error::Exists { .. }) => match look(fetcher, &address, artifact).await? {
                Outcome::Same => placed.uploaded.push(address),
                Outcome::Free | Outcome::Other => return Ok(None),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(placed))
}

async fn look(fetcher: &Fetcher, address: &Address, artifact: &Artifact) -> Result<Outcome, Error> {
    let own = hex::encode(&Sha256::digest(&artifact.bytes));
    Ok(match fetcher.s3_presence(address).await? {
        Presence::Absent => Outcome::Free,
        Presence::Hashed(sha256) if sha256 == own => Outcome::Same,
        Presence::Hashed(_) | Presence::Unhashed => Outcome::Other,
    })
}
