//! Writing: one transaction for each group of samples.

use super::rows::{AgentFacts, DatasetFacts, DialogueRow, Outcome, PriceRow, SegmentFacts, State};
use super::{CampaignNo, Error, Store};
use crate::matrix::Matrix;
use crate::plan::Plan;
use chrono::{DateTime, Utc};
use proto::ids::{AgentId, CampaignId, HostId};
use proto::model::EngineFacts;
use proto::sample::{self, Sample};
use serde::Serialize;
use sqlx::{QueryBuilder, Row, Sqlite};

/// A campaign that begins.
#[derive(Debug)]
pub struct NewCampaign<'a> {
    /// Its id.
    pub id: &'a CampaignId,
    /// When it begins.
    pub created_at: DateTime<Utc>,
    /// Of this program.
    pub controller_version: &'a str,
    /// As the user wrote it.
    pub matrix_text: &'a str,
    /// As it was checked.
    pub matrix: &'a Matrix,
    /// What is to be measured.
    pub plan: &'a Plan,
    /// What the dialogues are.
    pub dataset: &'a DatasetFacts,
    /// One for each target.
    pub prices: &'a [PriceRow],
    /// The measured ones in the order of the plan, then those that only warm up.
    pub dialogues: &'a [DialogueRow],
}

/// A sample and where it belongs.
#[derive(Debug, Clone)]
pub struct SampleWrite {
    /// Index of its cell.
    pub cell: usize,
    /// Its round.
    pub run: u32,
    /// Index of its dialogue.
    pub ordinal: u32,
    /// From 1 in its run.
    pub segment: u64,
    /// The attempt that brought it.
    pub attempt: u64,
    /// Index of its agent.
    pub agent: usize,
    /// Index of its batch.
    pub batch: u32,
    /// Whether it counts, or came late.
    pub is_counted: bool,
    /// The sample.
    pub sample: Sample,
}

/// SQLite takes 32,766 values in one statement; a sample has 19.
const SAMPLES_PER_STATEMENT: usize = 1500;

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("rows hold nothing that JSON can't")
}

/// Numbers of agents and times stay far below 2^63; what doesn't is cut off there.
fn int<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Store {
    /// Begins a campaign.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn create(&self, new: &NewCampaign<'_>) -> Result<CampaignNo, Error> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query("SELECT coalesce(max(no), 0) + 1 FROM campaign")
            .fetch_one(&mut *transaction)
            .await?;
        let no: i64 = row.try_get(0)?;
        sqlx::query(
            "INSERT INTO campaign (no, id, name, created_at, state, controller_version, matrix_text, \
             matrix, plan, dataset, prices) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(no)
        .bind(new.id.as_str())
        .bind(&new.matrix.name)
        .bind(new.created_at.to_rfc3339())
        .bind(State::Running.as_str())
        .bind(new.controller_version)
        .bind(new.matrix_text)
        .bind(json(new.matrix))
        .bind(json(new.plan))
        .bind(json(new.dataset))
        .bind(json(&new.prices))
        .execute(&mut *transaction)
        .await?;
        for (chunk_index, chunk) in new.dialogues.chunks(SAMPLES_PER_STATEMENT).enumerate() {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO dialogue (campaign, ordinal, sample_id, dialogue, summary, is_measured) ",
            );
            let first = chunk_index * SAMPLES_PER_STATEMENT;
            insert.push_values(chunk.iter().enumerate(), |mut row, (index, dialogue)| {
                row.push_bind(no)
                    .push_bind(int(first + index))
                    .push_bind(dialogue.sample_id.as_str())
                    .push_bind(&dialogue.dialogue)
                    .push_bind(&dialogue.summary)
                    .push_bind(i64::from(dialogue.is_measured));
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(CampaignNo(no))
    }

    /// Records an agent that joined. `ordinal` is its index in this campaign.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    pub async fn add_agent(
        &self,
        campaign: CampaignNo,
        ordinal: usize,
        agent: &AgentId,
        host: &HostId,
        target: usize,
        joined_at: DateTime<Utc>,
        facts: &AgentFacts,
        engines: &[Option<EngineFacts>],
    ) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO agent (campaign, ordinal, agent_id, host_id, target, joined_at, facts, engines) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(campaign.0)
        .bind(int(ordinal))
        .bind(agent.as_str())
        .bind(host.as_str())
        .bind(int(target))
        .bind(joined_at.to_rfc3339())
        .bind(json(facts))
        .bind(json(&engines))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records that a segment begins.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn add_segment(
        &self,
        campaign: CampaignNo,
        (cell, run, segment): (usize, u32, u64),
        agent: usize,
        started_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO segment (campaign, cell, run, segment, agent, started_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(campaign.0)
        .bind(int(cell))
        .bind(i64::from(run))
        .bind(int(segment))
        .bind(int(agent))
        .bind(started_at.to_rfc3339())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records what an agent says of a segment.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn set_segment_facts(
        &self,
        campaign: CampaignNo,
        (cell, run, segment): (usize, u32, u64),
        facts: &SegmentFacts,
    ) -> Result<(), Error> {
        sqlx::query(
            "UPDATE segment SET facts = $5 WHERE campaign = $1 AND cell = $2 AND run = $3 AND segment = $4",
        )
        .bind(campaign.0)
        .bind(int(cell))
        .bind(i64::from(run))
        .bind(int(segment))
        .bind(json(facts))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Appends samples; all of them are on disk when this returns, or none.
    ///
    /// # Errors
    /// [`Error`] where the database fails, [`Error::DiskFull`] where there is no room.
    pub async fn append(&self, campaign: CampaignNo, samples: &[SampleWrite]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        for chunk in samples.chunks(SAMPLES_PER_STATEMENT) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO sample (campaign, cell, run, sample, segment, attempt, agent, batch, start_ns, \
                 ttft_ns, latency_ns, input_tokens, cut_tokens, output_tokens, unknown_tokens, outcome, \
                 detail, counted, text) ",
            );
            insert.push_values(chunk, |mut row, write| {
                let sample = &write.sample;
                let detail = match &sample.outcome {
                    sample::Outcome::Ok(_) => None,
                    sample::Outcome::Failed(failure) => Some(failure.detail.as_str()),
                };
                row.push_bind(campaign.0)
                    .push_bind(int(write.cell))
                    .push_bind(i64::from(write.run))
                    .push_bind(i64::from(write.ordinal))
                    .push_bind(int(write.segment))
                    .push_bind(int(write.attempt))
                    .push_bind(int(write.agent))
                    .push_bind(i64::from(write.batch))
                    .push_bind(int(sample.start_ns))
                    .push_bind(sample.ttft_ns.map(int))
                    .push_bind(int(sample.latency_ns))
                    .push_bind(i64::from(sample.input_tokens))
                    .push_bind(i64::from(sample.cut_tokens))
                    .push_bind(i64::from(sample.output_tokens))
                    .push_bind(i64::from(sample.unknown_tokens))
                    .push_bind(Outcome::from(&sample.outcome).as_str())
                    .push_bind(detail)
                    .push_bind(i64::from(write.is_counted))
                    .push_bind(sample.text.as_deref());
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Records something that happened.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn add_event(
        &self,
        campaign: CampaignNo,
        at: DateTime<Utc>,
        kind: &str,
        detail: &str,
    ) -> Result<(), Error> {
        sqlx::query("INSERT INTO event (campaign, at, kind, detail) VALUES ($1, $2, $3, $4)")
            .bind(campaign.0)
            .bind(at.to_rfc3339())
            .bind(kind)
            .bind(detail)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a campaign.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn finish(
        &self,
        campaign: CampaignNo,
        state: State,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        sqlx::query("UPDATE campaign SET state = $2, finished_at = $3 WHERE no = $1")
            .bind(campaign.0)
            .bind(state.as_str())
            .bind(at.to_rfc3339())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
