//! Reading back: everything that statistics and reports work on.

use super::database::{Record, Value};
use super::{CampaignNo, Error, Store};
use chrono::{DateTime, Utc};
use model::chunk_gaps::ChunkGaps;
use model::sample::{Drafts, HttpTiming, Sample, SampleKey};
use model::{ids::CampaignId, output_ids::OutputIds};
use records::{
    AgentRow, CampaignRow, CellSpan, CountedBatch, DialogueRow, EventRow, SampleRow, SegmentRow,
};
use serde::de::DeserializeOwned;
use std::ops::Range;

/// The columns of a sample within its run, without what was written. The driver copies every value of every row, so
/// what few samples have is one column: times in nanoseconds and whether the request was reconnected, apart by a blank,
/// empty where there is none.
macro_rules! within_run {
    () => {
        "sample, segment, attempt, agent, batch, start_ns, ttft_ns, latency_ns, input_tokens, cut_tokens, \
         output_tokens, unknown_tokens, reference_tokens, outcome, drafted_tokens, accepted_tokens, \
         CASE WHEN coalesce(schedule_delay_ns, exchange_ns) IS NULL THEN NULL \
         ELSE coalesce(CAST(schedule_delay_ns AS TEXT), '') || ' ' || coalesce(CAST(exchange_ns AS TEXT), '') \
         || ' ' || coalesce(CAST(connect_ns AS TEXT), '') || ' ' || coalesce(CAST(first_byte_ns AS TEXT), '') \
         || ' ' || coalesce(CAST(server_ns AS TEXT), '') || ' ' || coalesce(CAST(reconnected AS TEXT), '') \
         END AS rare_ns"
    };
}

/// The same of whatever run.
macro_rules! figures {
    () => {
        concat!("cell, run, counted, ", within_run!())
    };
}

/// A query for samples of a campaign, with their texts or with nothing in place of them.
macro_rules! samples_with {
    ($texts:expr, $columns:ident, $rest:literal) => {
        match $texts {
            Texts::Read => concat!(
                "SELECT ",
                $columns!(),
                ", text, output_ids, chunk_gaps FROM sample WHERE campaign = $1",
                $rest
            ),
            Texts::Leave => concat!(
                "SELECT ",
                $columns!(),
                ", NULL AS text, NULL AS output_ids, NULL AS chunk_gaps FROM sample WHERE campaign = $1",
                $rest
            ),
        }
    };
}

/// How many campaigns an error names.
const NAMED: i64 = 5;

pub(super) fn json<T: DeserializeOwned>(row: &Record<'_>, what: &'static str) -> Result<T, Error> {
    let text: String = row.get(what)?;
    serde_json::from_str(&text).map_err(|_| Error::Damaged { what })
}

pub(super) fn number<T: TryFrom<i64>>(row: &Record<'_>, what: &'static str) -> Result<T, Error> {
    T::try_from(row.get::<i64>(what)?).map_err(|_| Error::Damaged { what })
}

fn name<T: TryFrom<String>>(row: &Record<'_>, what: &'static str) -> Result<T, Error> {
    T::try_from(row.get::<String>(what)?).map_err(|_| Error::Damaged { what })
}

fn time(row: &Record<'_>, what: &'static str) -> Result<Option<DateTime<Utc>>, Error> {
    let text: Option<String> = row.get(what)?;
    let parse = |text: String| DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc());
    text.map(parse).transpose().map_err(|_| Error::Damaged { what })
}

impl Store {
    /// Finds a campaign by its id, or the newest one by `latest`.
    pub async fn find(&self, id: &str) -> Result<CampaignNo, Error> {
        let no = |row: &Record<'_>| row.get::<i64>("no");
        let found = if id == "latest" {
            let newest = "SELECT no FROM campaign ORDER BY no DESC LIMIT 1";
            self.database.rows(newest, &[], no).await?
        } else {
            let named = "SELECT no FROM campaign WHERE id = $1";
            self.database.rows(named, &[Value::Text(id)], no).await?
        };
        if let Some(no) = found.first() {
            return Ok(CampaignNo(*no));
        }
        let newest = "SELECT id FROM campaign ORDER BY no DESC LIMIT $1";
        let known_ids =
            self.database.rows(newest, &[Value::Int(NAMED)], |row| row.get("id")).await?;
        Err(Error::UnknownCampaign { id: id.to_owned(), known_ids })
    }

    /// All campaigns, the newest first.
    pub async fn newest(&self) -> Result<Vec<CampaignNo>, Error> {
        let sql = "SELECT no FROM campaign ORDER BY no DESC";
        self.database.rows(sql, &[], |row| Ok(CampaignNo(row.get("no")?))).await
    }

    pub(super) async fn campaign_id(&self, campaign: CampaignNo) -> Result<CampaignId, Error> {
        let sql = "SELECT id FROM campaign WHERE no = $1";
        let ids = self.database.rows(sql, &[Value::Int(campaign.0)], |row| name(row, "id")).await?;
        ids.into_iter().next().ok_or(Error::Damaged { what: "no" })
    }

    /// Which batches are counted, and how many samples each has; a window of a sustained load counts as one.
    pub async fn counted_batches(&self, campaign: CampaignNo) -> Result<Vec<CountedBatch>, Error> {
        let sql = "SELECT cell, run, batch, count(*) AS samples FROM sample \
                   WHERE campaign = $1 AND counted = 1 GROUP BY cell, run, batch \
                   UNION ALL SELECT cell, run, batch, 1 AS samples FROM load_window \
                   WHERE campaign = $1 AND counted = 1";
        let batch = |row: &Record<'_>| {
            Ok(CountedBatch {
                cell: number(row, "cell")?,
                run: number(row, "run")?,
                batch: number(row, "batch")?,
                samples: number(row, "samples")?,
            })
        };
        self.database.rows(sql, &[Value::Int(campaign.0)], batch).await
    }

    /// Samples of each cell and the time that they took: from the first start to the last end of each attempt.
    pub async fn spans(&self, campaign: CampaignNo) -> Result<Vec<CellSpan>, Error> {
        let sql = "SELECT cell, CAST(sum(samples) AS BIGINT) AS samples, \
                   CAST(sum(span_ns) AS BIGINT) AS span_ns FROM (\
                   SELECT cell, count(*) AS samples, \
                   max(start_ns + latency_ns) - min(start_ns) AS span_ns FROM sample \
                   WHERE campaign = $1 AND counted = 1 GROUP BY cell, agent, attempt\
                   ) AS attempts GROUP BY cell ORDER BY cell";
        let span = |row: &Record<'_>| {
            Ok(CellSpan {
                cell: number(row, "cell")?,
                samples: number(row, "samples")?,
                span_ns: number(row, "span_ns")?,
            })
        };
        self.database.rows(sql, &[Value::Int(campaign.0)], span).await
    }

    /// What was asked and where it stands.
    pub async fn campaign(&self, campaign: CampaignNo) -> Result<CampaignRow, Error> {
        let read = |row: &Record<'_>| {
            let state: String = row.get("state")?;
            Ok(CampaignRow {
                id: name(row, "id")?,
                name: row.get("name")?,
                created_at: time(row, "created_at")?
                    .ok_or(Error::Damaged { what: "created_at" })?,
                finished_at: time(row, "finished_at")?,
                state: state.parse().map_err(|_| Error::Damaged { what: "state" })?,
                controller_version: row.get("controller_version")?,
                matrix_text: row.get("matrix_text")?,
                matrix: json(row, "matrix")?,
                plan: json(row, "plan")?,
                dataset: json(row, "dataset")?,
                prices: json(row, "prices")?,
            })
        };
        let sql = "SELECT * FROM campaign WHERE no = $1";
        let rows = self.database.rows(sql, &[Value::Int(campaign.0)], read).await?;
        rows.into_iter().next().ok_or(Error::Damaged { what: "no" })
    }

    /// The dialogues, measured ones first.
    pub async fn dialogues(&self, campaign: CampaignNo) -> Result<Vec<DialogueRow>, Error> {
        let dialogue = |row: &Record<'_>| {
            Ok(DialogueRow {
                sample_id: name(row, "sample_id")?,
                dialogue: row.get("dialogue")?,
                summary: row.get("summary")?,
                is_measured: row.get::<i64>("is_measured")? == 1,
            })
        };
        let sql = "SELECT * FROM dialogue WHERE campaign = $1 ORDER BY ordinal";
        self.database.rows(sql, &[Value::Int(campaign.0)], dialogue).await
    }

    /// The agents that measured, in the order in which they joined.
    pub async fn agents(&self, campaign: CampaignNo) -> Result<Vec<AgentRow>, Error> {
        let agent = |row: &Record<'_>| {
            Ok(AgentRow {
                agent_id: name(row, "agent_id")?,
                host_id: name(row, "host_id")?,
                target: number(row, "target")?,
                facts: json(row, "facts")?,
                engines: json(row, "engines")?,
                held_ns: number(row, "held_ns")?,
            })
        };
        let sql = "SELECT * FROM agent WHERE campaign = $1 ORDER BY ordinal";
        self.database.rows(sql, &[Value::Int(campaign.0)], agent).await
    }

    /// The segments, in the order of cells, runs and time.
    pub async fn segments(&self, campaign: CampaignNo) -> Result<Vec<SegmentRow>, Error> {
        let segment = |row: &Record<'_>| {
            let facts: Option<String> = row.get("facts")?;
            Ok(SegmentRow {
                cell: number(row, "cell")?,
                run: number(row, "run")?,
                segment: number(row, "segment")?,
                agent: number(row, "agent")?,
                facts: if facts.is_some() { Some(json(row, "facts")?) } else { None },
                is_time_impossible: row.get::<i64>("time_impossible")? == 1,
            })
        };
        let sql = "SELECT * FROM segment WHERE campaign = $1 ORDER BY cell, run, segment";
        self.database.rows(sql, &[Value::Int(campaign.0)], segment).await
    }

    /// Every sample, late ones included, by cell, run and batch. Texts and their tokens are read only where asked for.
    pub async fn samples(
        &self,
        campaign: CampaignNo,
        texts: Texts,
    ) -> Result<Vec<SampleRow>, Error> {
        let sql = samples_with!(texts, figures, " ORDER BY cell, run, batch, sample, attempt");
        self.database.rows(sql, &[Value::Int(campaign.0)], sample).await
    }

    /// The samples of one run of a cell that count, by dialogue. Texts and their tokens are read only where asked for.
    pub async fn counted(
        &self,
        campaign: CampaignNo,
        key: (usize, u32),
        texts: Texts,
    ) -> Result<Vec<SampleRow>, Error> {
        self.counted_part(campaign, key, 0..u32::MAX, texts).await
    }

    /// The same of some dialogues only, so that a run of any length is read in parts.
    pub async fn counted_part(
        &self,
        campaign: CampaignNo,
        (cell, run): (usize, u32),
        dialogues: Range<u32>,
        texts: Texts,
    ) -> Result<Vec<SampleRow>, Error> {
        // The index of counted samples gives this order; another one would be sorted in memory.
        let sql = samples_with!(
            texts,
            within_run,
            " AND cell = $2 AND run = $3 AND counted = 1 AND sample >= $4 AND sample < $5 ORDER BY sample"
        );
        let number = u32::try_from(cell).unwrap_or(u32::MAX);
        let cell = i64::try_from(cell).unwrap_or(i64::MAX);
        let values = [
            Value::Int(campaign.0),
            Value::Int(cell),
            Value::Int(run.into()),
            Value::Int(dialogues.start.into()),
            Value::Int(dialogues.end.into()),
        ];
        let read = |row: &Record<'_>| sample_of(row, (number, run), true);
        self.database.rows(sql, &values, read).await
    }

    /// The samples that came late, of all cells, without their texts.
    pub async fn late(&self, campaign: CampaignNo) -> Result<Vec<SampleRow>, Error> {
        let sql = samples_with!(
            Texts::Leave,
            figures,
            " AND counted = 0 ORDER BY cell, run, batch, sample, attempt"
        );
        self.database.rows(sql, &[Value::Int(campaign.0)], sample).await
    }

    /// What happened, in order.
    pub async fn events(&self, campaign: CampaignNo) -> Result<Vec<EventRow>, Error> {
        let event = |row: &Record<'_>| {
            Ok(EventRow {
                at: time(row, "at")?.ok_or(Error::Damaged { what: "at" })?,
                kind: row.get("kind")?,
                detail: row.get("detail")?,
            })
        };
        let sql = "SELECT * FROM event WHERE campaign = $1 ORDER BY no";
        self.database.rows(sql, &[Value::Int(campaign.0)], event).await
    }
}

fn sample(row: &Record<'_>) -> Result<SampleRow, Error> {
    let is_counted = row.get::<i64>("counted")? == 1;
    sample_of(row, (number(row, "cell")?, number(row, "run")?), is_counted)
}

fn sample_of(
    row: &Record<'_>,
    (cell, run): (u32, u32),
    is_counted: bool,
) -> Result<SampleRow, Error> {
    let ns = |column| -> Result<Option<u64>, Error> {
        let given: Option<i64> = row.get(column)?;
        Ok(given.map(|ns| u64::try_from(ns).unwrap_or_default()))
    };
    let tokens = |column| -> Result<Option<u32>, Error> {
        let tokens: Option<i64> = row.get(column)?;
        Ok(tokens.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX)))
    };
    let rare: Option<String> = row.get("rare_ns")?;
    let (schedule_delay_ns, http) =
        rare.as_deref().map(rare_times).transpose()?.unwrap_or_default();
    let outcome: String = row.get("outcome")?;
    let key = SampleKey {
        cell,
        run,
        sample: number(row, "sample")?,
        segment: number(row, "segment")?,
        attempt: number(row, "attempt")?,
        agent: number(row, "agent")?,
        batch: number(row, "batch")?,
    };
    let sample = Sample {
        start_ns: number(row, "start_ns")?,
        ttft_ns: ns("ttft_ns")?,
        latency_ns: number(row, "latency_ns")?,
        input_tokens: tokens("input_tokens")?,
        cut_tokens: number(row, "cut_tokens")?,
        output_tokens: tokens("output_tokens")?,
        unknown_tokens: number(row, "unknown_tokens")?,
        reference_tokens: tokens("reference_tokens")?,
        schedule_delay_ns,
        http,
        chunk_gaps: (row.get::<Option<Vec<u8>>>("chunk_gaps")?)
            .map(|bytes| ChunkGaps::from_packed(bytes).ok_or(Error::Damaged { what: "chunk_gaps" }))
            .transpose()?,
        drafts: (tokens("drafted_tokens")?.zip(tokens("accepted_tokens")?))
            .map(|(drafted, accepted)| Drafts { drafted, accepted }),
        outcome: outcome.parse().map_err(|_| Error::Damaged { what: "outcome" })?,
        failure_detail: None,
        text: row.get("text")?,
        output_ids: (row.get::<Option<Vec<u8>>>("output_ids")?)
            .map(|bytes| OutputIds::from_packed(bytes).ok_or(Error::Damaged { what: "output_ids" }))
            .transpose()?,
    };
    Ok(SampleRow { key, is_counted, sample })
}

/// Schedule delay and HTTP timing, as `within_run` selects them.
fn rare_times(text: &str) -> Result<(Option<u64>, Option<HttpTiming>), Error> {
    let damaged = || Error::Damaged { what: "rare_ns" };
    let times = text.split(' ').map(|word| {
        let ns = (!word.is_empty()).then(|| word.parse::<i64>()).transpose();
        ns.map(|ns| ns.map(|ns| u64::try_from(ns).unwrap_or_default())).map_err(|_| damaged())
    });
    let times = times.collect::<Result<Vec<_>, _>>()?;
    let [schedule_delay_ns, exchange_ns, connect_ns, first_byte_ns, server_ns, reconnected] =
        times[..]
    else {
        return Err(damaged());
    };
    let is_reconnected = reconnected == Some(1);
    let http = exchange_ns.map(|total_ns| HttpTiming {
        total_ns,
        connect_ns,
        first_byte_ns,
        server_ns,
        is_reconnected,
    });
    Ok((schedule_delay_ns, http))
}

/// Whether summaries and their tokens leave the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    Read,
    Leave,
}
