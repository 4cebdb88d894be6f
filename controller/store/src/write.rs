//! Writing: one transaction for each group of rows.

use super::database::{Record, Transaction, Value, int};
use super::{CampaignNo, Error, Hold, Store, load, signatures, telemetry};
use chrono::{DateTime, Utc};
use model::chunk_gaps::ChunkGaps;
use model::text::without_zero_bytes;
use model::{output_ids::OutputIds, sample::HttpTiming, segment::SegmentFacts};
use records::{AgentWrite, NewCampaign, SampleRow, State, Write};
use serde::Serialize;

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("rows hold nothing that JSON can't")
}

impl Store {
    /// Begins a campaign.
    pub async fn create(&self, new: &NewCampaign<'_>) -> Result<CampaignNo, Error> {
        let mut transaction = self.database.begin().await?;
        if let Transaction::Postgres(_) = transaction {
            // SQLite's transaction has the only lock that there is; here two could count to the same number.
            transaction.execute("LOCK TABLE campaign IN SHARE ROW EXCLUSIVE MODE", &[]).await?;
        }
        let next = "SELECT coalesce(max(no), 0) + 1 AS no FROM campaign";
        let no: i64 = transaction.row(next, &[], |row: &Record<'_>| row.get("no")).await?;
        let sql = "INSERT INTO campaign (no, id, name, created_at, state, controller_version, matrix_text, \
                   matrix, plan, dataset, prices) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let values = [
            Value::Int(no),
            Value::Text(new.id.as_str()),
            Value::Text(&new.matrix.name),
            Value::Text(&new.created_at.to_rfc3339()),
            Value::Text(State::Running.as_str()),
            Value::Text(new.controller_version),
            Value::Text(&without_zero_bytes(new.matrix_text)),
            Value::Text(&json(new.matrix)),
            Value::Text(&json(new.plan)),
            Value::Text(&json(new.dataset)),
            Value::Text(&json(&new.prices)),
        ];
        transaction.execute(sql, &values).await?;
        let texts: Vec<_> = new
            .dialogues
            .iter()
            .map(|row| {
                (without_zero_bytes(&row.dialogue), row.summary.as_deref().map(without_zero_bytes))
            })
            .collect();
        let rows = new.dialogues.iter().zip(&texts).enumerate();
        let values: Vec<Value<'_>> = rows
            .flat_map(|(ordinal, (row, (dialogue, summary)))| {
                [
                    Value::Int(no),
                    Value::Int(int(ordinal)),
                    Value::Text(row.sample_id.as_str()),
                    Value::Text(dialogue),
                    Value::MaybeText(summary.as_deref()),
                    Value::Int(i64::from(row.is_measured)),
                ]
            })
            .collect();
        let into =
            "INSERT INTO dialogue (campaign, ordinal, sample_id, dialogue, summary, is_measured)";
        transaction.insert(into, 6, &values).await?;
        transaction.commit().await?;
        // Damage to the log then costs samples at most, and not the campaign.
        self.database.checkpoint().await?;
        Ok(CampaignNo(no))
    }

    /// Writes rows; all of them are on disk when this returns, or none.
    pub async fn write(&self, hold: &Hold, writes: &[Write]) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        hold.confirm(&mut transaction).await?;
        let samples = writes.iter().filter_map(|write| match write {
            Write::Sample(sample) => Some(sample),
            _ => None,
        });
        insert_samples(&mut transaction, hold.no, samples).await?;
        let windows = writes.iter().filter_map(|write| match write {
            Write::LoadWindow(row) => Some(row.as_ref()),
            _ => None,
        });
        load::insert(&mut transaction, hold.no, &windows.collect::<Vec<_>>()).await?;
        insert_segments(&mut transaction, hold.no, writes).await?;
        telemetry::insert(&mut transaction, hold.no, writes).await?;
        let no = Value::Int(hold.no.0);
        for write in writes {
            match write {
                Write::Agent(agent) => insert_agent(&mut transaction, hold.no, agent).await?,
                Write::SegmentFacts { key, facts } => {
                    set_segment_facts(&mut transaction, hold.no, *key, facts).await?;
                }
                Write::ImpossibleTime { key: (cell, run, segment) } => {
                    let sql = "UPDATE segment SET time_impossible = 1 \
                               WHERE campaign = $1 AND cell = $2 AND run = $3 AND segment = $4";
                    let (cell, run) = (Value::Int(int(*cell)), Value::Int((*run).into()));
                    let values = [no, cell, run, Value::Int(int(*segment))];
                    transaction.execute(sql, &values).await?;
                }
                Write::Held { agent, held } => {
                    let sql = "UPDATE agent SET held_ns = $3 WHERE campaign = $1 AND ordinal = $2";
                    let values = [no, Value::Int(int(*agent)), Value::Int(int(held.as_nanos()))];
                    transaction.execute(sql, &values).await?;
                }
                Write::Event { at, kind, detail } => {
                    let sql = "INSERT INTO event (campaign, no, at, kind, detail) \
                               SELECT $1, coalesce(max(no), 0) + 1, $2, $3, $4 \
                               FROM event WHERE campaign = $1";
                    let (at, detail) = (at.to_rfc3339(), without_zero_bytes(detail));
                    let values = [no, Value::Text(&at), Value::Text(kind), Value::Text(&detail)];
                    transaction.execute(sql, &values).await?;
                }
                Write::Signature(row) => {
                    signatures::insert(&mut transaction, hold.no, row).await?;
                }
                Write::Sample(_)
                | Write::LoadWindow(_)
                | Write::Segment { .. }
                | Write::Window(_) => {}
            }
        }
        transaction.commit().await?;
        self.check_in_place().await?;
        let counts = |write: &&Write| match write {
            Write::Sample(row) => row.is_counted,
            Write::LoadWindow(row) => row.is_counted,
            _ => false,
        };
        match &hold.acknowledged {
            Some(acknowledged) => acknowledged.add(writes.iter().filter(counts).count() as u64),
            None => Ok(()),
        }
    }

    /// Ends a campaign.
    pub async fn finish(&self, hold: &Hold, state: State, at: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        hold.confirm(&mut transaction).await?;
        let sql = "UPDATE campaign SET state = $2, finished_at = $3 WHERE no = $1";
        let at = at.to_rfc3339();
        let values = [Value::Int(hold.no.0), Value::Text(state.as_str()), Value::Text(&at)];
        transaction.execute(sql, &values).await?;
        transaction.commit().await?;
        self.check_in_place().await
    }
}

/// Of the table of samples.
const SAMPLE_COLUMNS: usize = 30;

async fn insert_samples(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    rows: impl Iterator<Item = &SampleRow> + Clone,
) -> Result<(), Error> {
    let texts: Vec<_> = rows
        .clone()
        .map(|SampleRow { sample, .. }| {
            let detail = sample.failure_detail.as_deref().map(without_zero_bytes);
            (detail, sample.text.as_deref().map(without_zero_bytes))
        })
        .collect();
    let mut values = Vec::with_capacity(texts.len() * SAMPLE_COLUMNS);
    for (SampleRow { key, is_counted, sample }, (detail, text)) in rows.zip(&texts) {
        let http = |of: fn(&HttpTiming) -> Option<u64>| sample.http.as_ref().and_then(of).map(int);
        values.extend([
            Value::Int(campaign.0),
            Value::Int(key.cell.into()),
            Value::Int(key.run.into()),
            Value::Int(key.sample.into()),
            Value::Int(key.segment.into()),
            Value::Int(int(key.attempt)),
            Value::Int(key.agent.into()),
            Value::Int(key.batch.into()),
            Value::Int(int(sample.start_ns)),
            Value::MaybeInt(sample.ttft_ns.map(int)),
            Value::Int(int(sample.latency_ns)),
            Value::MaybeInt(sample.input_tokens.map(i64::from)),
            Value::Int(sample.cut_tokens.into()),
            Value::MaybeInt(sample.output_tokens.map(i64::from)),
            Value::Int(sample.unknown_tokens.into()),
            Value::MaybeInt(sample.reference_tokens.map(i64::from)),
            Value::MaybeInt(sample.schedule_delay_ns.map(int)),
            Value::MaybeInt(http(|timing| Some(timing.total_ns))),
            Value::MaybeInt(http(|timing| timing.connect_ns)),
            Value::MaybeInt(http(|timing| timing.first_byte_ns)),
            Value::MaybeInt(http(|timing| timing.server_ns)),
            Value::MaybeInt(http(|timing| Some(timing.is_reconnected.into()))),
            Value::Text(sample.outcome.as_str()),
            Value::MaybeText(detail.as_deref()),
            Value::Int((*is_counted).into()),
            Value::MaybeText(text.as_deref()),
            Value::MaybeBytes(sample.output_ids.as_ref().map(OutputIds::as_packed)),
            Value::MaybeBytes(sample.chunk_gaps.as_ref().map(ChunkGaps::as_packed)),
            Value::MaybeInt(sample.drafts.map(|drafts| drafts.drafted.into())),
            Value::MaybeInt(sample.drafts.map(|drafts| drafts.accepted.into())),
        ]);
    }
    let into = "INSERT INTO sample (campaign, cell, run, sample, segment, attempt, agent, batch, start_ns, \
                ttft_ns, latency_ns, input_tokens, cut_tokens, output_tokens, unknown_tokens, \
                reference_tokens, schedule_delay_ns, exchange_ns, connect_ns, first_byte_ns, server_ns, \
                reconnected, outcome, detail, counted, text, output_ids, chunk_gaps, \
                drafted_tokens, accepted_tokens)";
    transaction.insert(into, SAMPLE_COLUMNS, &values).await
}

async fn insert_segments(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    writes: &[Write],
) -> Result<(), Error> {
    let segments: Vec<_> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Segment { key, agent, started_at } => {
                Some((*key, *agent, started_at.to_rfc3339()))
            }
            _ => None,
        })
        .collect();
    let mut values = Vec::with_capacity(segments.len() * 6);
    for ((cell, run, segment), agent, started_at) in &segments {
        values.extend([
            Value::Int(campaign.0),
            Value::Int(int(*cell)),
            Value::Int((*run).into()),
            Value::Int(int(*segment)),
            Value::Int(int(*agent)),
            Value::Text(started_at),
        ]);
    }
    let into = "INSERT INTO segment (campaign, cell, run, segment, agent, started_at)";
    transaction.insert(into, 6, &values).await
}

async fn insert_agent(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    write: &AgentWrite,
) -> Result<(), Error> {
    let sql = "INSERT INTO agent (campaign, ordinal, agent_id, host_id, target, joined_at, facts, engines) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = [
        Value::Int(campaign.0),
        Value::Int(int(write.ordinal)),
        Value::Text(write.agent.as_str()),
        Value::Text(write.host.as_str()),
        Value::Int(int(write.target)),
        Value::Text(&write.joined_at.to_rfc3339()),
        Value::Text(&json(&write.facts)),
        Value::Text(&json(&write.engines)),
    ];
    transaction.execute(sql, &values).await.map(drop)
}

async fn set_segment_facts(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    (cell, run, segment): (usize, u32, u64),
    facts: &SegmentFacts,
) -> Result<(), Error> {
    let sql = "UPDATE segment SET facts = $5 \
               WHERE campaign = $1 AND cell = $2 AND run = $3 AND segment = $4";
    let values = [
        Value::Int(campaign.0),
        Value::Int(int(cell)),
        Value::Int(run.into()),
        Value::Int(int(segment)),
        Value::Text(&json(facts)),
    ];
    transaction.execute(sql, &values).await.map(drop)
}
