//! The rows of a campaign <-> the files of a bundle.

use super::archive::{self, Entry};
use super::{Error, canonical};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use model::ids::{CampaignId, SampleId};
use records::{
    AgentRow, CampaignRow, DialogueRow, EventRow, LoadWindowRow, SegmentRow, SignatureRow, State,
};
use serde::{Deserialize, Serialize};

/// All that a campaign's results are computed from, and the results.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub campaign: CampaignRow,
    /// With their texts only if [`Self::texts`] are there.
    pub dialogues: Vec<DialogueRow>,
    pub agents: Vec<AgentRow>,
    pub segments: Vec<SegmentRow>,
    pub events: Vec<EventRow>,
    /// Counted windows of sustained loads.
    pub load_windows: Vec<LoadWindowRow>,
    /// By attempt. They have their salts only if [`Self::texts`] are there.
    pub signatures: Vec<SignatureRow>,
    /// See [`archive::TEXT_HASHES`]; empty without samples of signed attempts.
    pub text_hashes: Bytes,
    /// Parquet.
    pub samples: Bytes,
    /// Parquet; none if nothing was observed.
    pub telemetry: Option<Bytes>,
    /// Parquet: the summaries and their tokens, where they may leave the data folder.
    pub texts: Option<Bytes>,
    /// results.json.
    pub results: Bytes,
}

/// campaign.json.
#[derive(Serialize, Deserialize)]
struct Campaign {
    id: CampaignId,
    name: String,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    state: State,
    controller_version: String,
}

/// An element of dialogues.json.
#[derive(Serialize, Deserialize)]
struct DialogueEntry {
    sample_id: SampleId,
    is_measured: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialogue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
}

/// An element of signatures.json.
#[derive(Serialize, Deserialize)]
struct SignatureEntry {
    attempt: u64,
    agent: usize,
    /// Base64 of DER.
    certificate: String,
    /// Hexadecimal, as the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    digest: String,
    /// Base64.
    signature: String,
}

impl SignatureEntry {
    fn new(row: &SignatureRow, has_texts: bool) -> Self {
        Self {
            attempt: row.attempt,
            agent: row.agent,
            certificate: STANDARD.encode(&row.certificate),
            salt: row.salt.filter(|_| has_texts).map(hex::encode),
            digest: hex::encode(row.digest),
            signature: STANDARD.encode(&row.signature),
        }
    }

    fn row(self) -> Option<SignatureRow> {
        let hash = |digits: &str| <[u8; 32]>::try_from(hex::decode(digits).ok()?).ok();
        Some(SignatureRow {
            attempt: self.attempt,
            agent: self.agent,
            certificate: STANDARD.decode(self.certificate).ok()?,
            salt: match self.salt {
                None => None,
                Some(digits) => Some(hash(&digits)?),
            },
            digest: hash(&self.digest)?,
            signature: STANDARD.decode(self.signature).ok()?,
        })
    }
}

impl Content {
    /// In the order of the archive.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let row = &self.campaign;
        let campaign = Campaign {
            id: row.id.clone(),
            name: row.name.clone(),
            created_at: row.created_at,
            finished_at: row.finished_at,
            state: row.state,
            controller_version: row.controller_version.clone(),
        };
        let has_texts = self.texts.is_some();
        let dialogue = |row: &DialogueRow| DialogueEntry {
            sample_id: row.sample_id.clone(),
            is_measured: row.is_measured,
            dialogue: has_texts.then(|| row.dialogue.clone()),
            summary: row.summary.clone().filter(|_| has_texts),
        };
        let dialogues: Vec<DialogueEntry> = self.dialogues.iter().map(dialogue).collect();
        let entry = |name, bytes: &Bytes| Entry { name, bytes: bytes.clone() };
        let mut entries =
            vec![entry(archive::RESULTS, &self.results), entry(archive::SAMPLES, &self.samples)];
        entries.extend(self.telemetry.as_ref().map(|bytes| entry(archive::TELEMETRY, bytes)));
        entries.extend(self.texts.as_ref().map(|bytes| entry(archive::TEXTS, bytes)));
        entries.extend([
            entry(archive::CAMPAIGN, &canonical::write(&campaign)),
            entry(archive::MATRIX_TEXT, &Bytes::from(row.matrix_text.clone())),
            entry(archive::MATRIX, &canonical::write(&row.matrix)),
            entry(archive::PLAN, &canonical::write(&row.plan)),
            entry(archive::PRICES, &canonical::write(&row.prices)),
            entry(archive::DATASET, &canonical::write(&row.dataset)),
            entry(archive::DIALOGUES, &canonical::write(&dialogues)),
            entry(archive::AGENTS, &canonical::write(&self.agents)),
            entry(archive::SEGMENTS, &canonical::write(&self.segments)),
            entry(archive::EVENTS, &canonical::write(&self.events)),
            entry(archive::LOAD_WINDOWS, &canonical::write(&self.load_windows)),
        ]);
        if !self.signatures.is_empty() {
            let signature = |row| SignatureEntry::new(row, has_texts);
            let signatures: Vec<SignatureEntry> = self.signatures.iter().map(signature).collect();
            entries.push(entry(archive::SIGNATURES, &canonical::write(&signatures)));
        }
        if !self.text_hashes.is_empty() {
            entries.push(entry(archive::TEXT_HASHES, &self.text_hashes));
        }
        entries
    }

    /// Reads the files of a bundle. What they say is checked by [`Self::check`].
    pub(crate) fn read(entries: &[Entry]) -> Result<Self, Error> {
        let find = |name| entries.iter().find(|entry| entry.name == name);
        let file =
            |name| find(name).map(|entry| entry.bytes.clone()).ok_or(Error::MissingFile { name });
        let maybe = |name| find(name).map(|entry| entry.bytes.clone());
        let Campaign { id, name, created_at, finished_at, state, controller_version } =
            canonical::read(&file(archive::CAMPAIGN)?, archive::CAMPAIGN)?;
        let matrix_text = String::from_utf8(file(archive::MATRIX_TEXT)?.to_vec());
        let dialogues: Vec<DialogueEntry> =
            canonical::read(&file(archive::DIALOGUES)?, archive::DIALOGUES)?;
        let signatures: Vec<SignatureEntry> = match maybe(archive::SIGNATURES) {
            None => Vec::new(),
            Some(bytes) => canonical::read(&bytes, archive::SIGNATURES)?,
        };
        let signatures = signatures.into_iter().map(SignatureEntry::row);
        let dialogue = |row: DialogueEntry| DialogueRow {
            sample_id: row.sample_id,
            dialogue: row.dialogue.unwrap_or_default(),
            summary: row.summary,
            is_measured: row.is_measured,
        };
        Ok(Self {
            campaign: CampaignRow {
                id,
                name,
                created_at,
                finished_at,
                state,
                controller_version,
                matrix_text: matrix_text.map_err(|_| Error::Text { name: archive::MATRIX_TEXT })?,
                matrix: canonical::read(&file(archive::MATRIX)?, archive::MATRIX)?,
                plan: canonical::read(&file(archive::PLAN)?, archive::PLAN)?,
                dataset: canonical::read(&file(archive::DATASET)?, archive::DATASET)?,
                prices: canonical::read(&file(archive::PRICES)?, archive::PRICES)?,
            },
            dialogues: dialogues.into_iter().map(dialogue).collect(),
            agents: canonical::read(&file(archive::AGENTS)?, archive::AGENTS)?,
            segments: canonical::read(&file(archive::SEGMENTS)?, archive::SEGMENTS)?,
            events: canonical::read(&file(archive::EVENTS)?, archive::EVENTS)?,
            load_windows: canonical::read(&file(archive::LOAD_WINDOWS)?, archive::LOAD_WINDOWS)?,
            signatures: signatures.collect::<Option<_>>().ok_or(Error::Encoding)?,
            text_hashes: maybe(archive::TEXT_HASHES).unwrap_or_default(),
            samples: file(archive::SAMPLES)?,
            telemetry: maybe(archive::TELEMETRY),
            texts: maybe(archive::TEXTS),
            results: file(archive::RESULTS)?,
        })
    }
}
