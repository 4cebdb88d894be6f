//! The in-toto statement: which files belong to a campaign, by their hashes.
//!
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use super::archive::Entry;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Names the form of [`Predicate`]; it resolves to nothing.
pub const PREDICATE_TYPE: &str = "https://fleetmark.dev/campaign/v1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub kind: String,
    /// Every file of the bundle but the attestation, in the order of the archive.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub name: String,
    pub digest: Hashes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    pub sha256: String,
}

/// What the controller states of the campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    pub campaign: String,
    pub versions: Versions,
    pub counts: Counts,
    /// Whether dialogues, summaries and their tokens are in the bundle.
    pub has_texts: bool,
}

/// Versions of programs, with the commits that they were built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// Of the program that wrote the bundle and computed its results.
    pub bundled_by: String,
    /// Of the controller that ran the campaign.
    pub controller: String,
    /// Of the agents that measured.
    pub agents: Vec<String>,
    pub results_schema: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub cells: usize,
    pub agents: usize,
    pub counted_samples: u64,
    pub late_samples: u64,
}

impl Statement {
    pub fn new(entries: &[Entry], predicate: Predicate) -> Self {
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: entries.iter().map(Subject::of).collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        }
    }
}

impl Subject {
    pub(crate) fn of(entry: &Entry) -> Self {
        let sha256 = hex::encode(Sha256::digest(&entry.bytes));
        Self { name: entry.name.to_owned(), digest: Hashes { sha256 } }
    }
}
