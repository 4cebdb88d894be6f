//! Reading back: everything that statistics and reports work on.

use super::rows::{
    AgentRow, CampaignRow, DialogueRow, EventRow, Outcome, SampleRow, SegmentRow, State,
};
use super::{CampaignNo, Error, Store};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// How many campaigns an error names.
const NAMED: usize = 5;

fn json<T: DeserializeOwned>(row: &SqliteRow, what: &'static str) -> Result<T, Error> {
    let text: String = row.try_get(what)?;
    serde_json::from_str(&text).map_err(|_| Error::Damaged { what })
}

fn number<T: TryFrom<i64>>(row: &SqliteRow, what: &'static str) -> Result<T, Error> {
    T::try_from(row.try_get::<i64, _>(what)?).map_err(|_| Error::Damaged { what })
}

fn name<T: TryFrom<String>>(row: &SqliteRow, what: &'static str) -> Result<T, Error> {
    T::try_from(row.try_get::<String, _>(what)?).map_err(|_| Error::Damaged { what })
}

fn time(row: &SqliteRow, what: &'static str) -> Result<Option<DateTime<Utc>>, Error> {
    let text: Option<String> = row.try_get(what)?;
    let parse = |text: String| DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc());
    text.map(parse).transpose().map_err(|_| Error::Damaged { what })
}

impl Store {
    /// Finds a campaign by its id, or the newest one by `latest`.
    ///
    /// # Errors
    /// [`Error::UnknownCampaign`], which names the newest ones.
    pub async fn find(&self, id: &str) -> Result<CampaignNo, Error> {
        let found = if id == "latest" {
            sqlx::query("SELECT no FROM campaign ORDER BY no DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await?
        } else {
            sqlx::query("SELECT no FROM campaign WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.pool)
                .await?
        };
        if let Some(row) = found {
            return Ok(CampaignNo(row.try_get(0)?));
        }
        let newest =
            sqlx::query("SELECT id FROM campaign ORDER BY no DESC").fetch_all(&self.pool).await?;
        let known_ids =
            newest.iter().take(NAMED).map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Err(Error::UnknownCampaign { id: id.to_owned(), known_ids })
    }

    /// What was asked and where it stands.
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn campaign(&self, campaign: CampaignNo) -> Result<CampaignRow, Error> {
        let row = sqlx::query("SELECT * FROM campaign WHERE no = $1")
            .bind(campaign.0)
            .fetch_one(&self.pool)
            .await?;
        let state: String = row.try_get("state")?;
        let state = State::ALL.iter().find(|(_, word)| *word == state);
        Ok(CampaignRow {
            id: name(&row, "id")?,
            name: row.try_get("name")?,
            created_at: time(&row, "created_at")?.ok_or(Error::Damaged { what: "created_at" })?,
            finished_at: time(&row, "finished_at")?,
            state: state.ok_or(Error::Damaged { what: "state" })?.0,
            controller_version: row.try_get("controller_version")?,
            matrix_text: row.try_get("matrix_text")?,
            matrix: json(&row, "matrix")?,
            plan: json(&row, "plan")?,
            dataset: json(&row, "dataset")?,
            prices: json(&row, "prices")?,
        })
    }

    /// The dialogues, measured ones first.
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn dialogues(&self, campaign: CampaignNo) -> Result<Vec<DialogueRow>, Error> {
        let rows = sqlx::query("SELECT * FROM dialogue WHERE campaign = $1 ORDER BY ordinal")
            .bind(campaign.0)
            .fetch_all(&self.pool)
            .await?;
        let dialogue = |row: &SqliteRow| {
            Ok(DialogueRow {
                sample_id: name(row, "sample_id")?,
                dialogue: row.try_get("dialogue")?,
                summary: row.try_get("summary")?,
                is_measured: row.try_get::<i64, _>("is_measured")? == 1,
            })
        };
        rows.iter().map(dialogue).collect()
    }

    /// The agents that measured, in the order in which they joined.
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn agents(&self, campaign: CampaignNo) -> Result<Vec<AgentRow>, Error> {
        let rows = sqlx::query("SELECT * FROM agent WHERE campaign = $1 ORDER BY ordinal")
            .bind(campaign.0)
            .fetch_all(&self.pool)
            .await?;
        let agent = |row: &SqliteRow| {
            Ok(AgentRow {
                agent_id: name(row, "agent_id")?,
                host_id: name(row, "host_id")?,
                target: number(row, "target")?,
                facts: json(row, "facts")?,
                engines: json(row, "engines")?,
            })
        };
        rows.iter().map(agent).collect()
    }

    /// The segments, in the order of cells, runs and time.
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn segments(&self, campaign: CampaignNo) -> Result<Vec<SegmentRow>, Error> {
        let rows =
            sqlx::query("SELECT * FROM segment WHERE campaign = $1 ORDER BY cell, run, segment")
                .bind(campaign.0)
                .fetch_all(&self.pool)
                .await?;
        let segment = |row: &SqliteRow| {
            let facts: Option<String> = row.try_get("facts")?;
            Ok(SegmentRow {
                cell: number(row, "cell")?,
                run: number(row, "run")?,
                segment: number(row, "segment")?,
                agent: number(row, "agent")?,
                facts: if facts.is_some() { Some(json(row, "facts")?) } else { None },
            })
        };
        rows.iter().map(segment).collect()
    }

    /// Every sample, late ones included, by cell, run and batch. Texts are read only where asked for.
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn samples(
        &self,
        campaign: CampaignNo,
        texts: Texts,
    ) -> Result<Vec<SampleRow>, Error> {
        let sql = match texts {
            Texts::Read => {
                "SELECT * FROM sample WHERE campaign = $1 ORDER BY cell, run, batch, sample, attempt"
            }
            Texts::Leave => {
                "SELECT cell, run, sample, segment, attempt, agent, batch, start_ns, ttft_ns, latency_ns, \
                 input_tokens, cut_tokens, output_tokens, unknown_tokens, outcome, counted, NULL AS text \
                 FROM sample WHERE campaign = $1 ORDER BY cell, run, batch, sample, attempt"
            }
        };
        let rows = sqlx::query(sql).bind(campaign.0).fetch_all(&self.pool).await?;
        let sample = |row: &SqliteRow| {
            let ttft_ns: Option<i64> = row.try_get("ttft_ns")?;
            let outcome: &str = row.try_get("outcome")?;
            Ok(SampleRow {
                cell: number(row, "cell")?,
                run: number(row, "run")?,
                sample: number(row, "sample")?,
                segment: number(row, "segment")?,
                attempt: number(row, "attempt")?,
                agent: number(row, "agent")?,
                batch: number(row, "batch")?,
                start_ns: number(row, "start_ns")?,
                ttft_ns: ttft_ns.map(|ns| u64::try_from(ns).unwrap_or_default()),
                latency_ns: number(row, "latency_ns")?,
                input_tokens: number(row, "input_tokens")?,
                cut_tokens: number(row, "cut_tokens")?,
                output_tokens: number(row, "output_tokens")?,
                unknown_tokens: number(row, "unknown_tokens")?,
                outcome: Outcome::from_word(outcome).ok_or(Error::Damaged { what: "outcome" })?,
                is_counted: row.try_get::<i64, _>("counted")? == 1,
                text: row.try_get("text")?,
            })
        };
        rows.iter().map(sample).collect()
    }

    /// What happened, in order.
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn events(&self, campaign: CampaignNo) -> Result<Vec<EventRow>, Error> {
        let rows = sqlx::query("SELECT * FROM event WHERE campaign = $1 ORDER BY at")
            .bind(campaign.0)
            .fetch_all(&self.pool)
            .await?;
        let event = |row: &SqliteRow| {
            Ok(EventRow {
                at: time(row, "at")?.ok_or(Error::Damaged { what: "at" })?,
                kind: row.try_get("kind")?,
                detail: row.try_get("detail")?,
            })
        };
        rows.iter().map(event).collect()
    }
}

/// Whether summaries leave the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// They do.
    Read,
    /// They stay.
    Leave,
}
