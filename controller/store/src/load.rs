//! Windows of sustained loads, in and out. A run of days has more of them than need be in memory at once, so they are
//! read run by run.

use super::database::{Record, Transaction, Value, int};
use super::read::{json, number};
use super::{CampaignNo, Error, Store};
use records::LoadWindowRow;

pub(super) async fn insert(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    rows: &[&LoadWindowRow],
) -> Result<(), Error> {
    let figures: Vec<String> = (rows.iter())
        .map(|row| serde_json::to_string(&row.window).expect("numbers are JSON"))
        .collect();
    let values: Vec<Value<'_>> = rows
        .iter()
        .zip(&figures)
        .flat_map(|(row, figures)| {
            [
                Value::Int(campaign.0),
                Value::Int(int(row.cell)),
                Value::Int(row.run.into()),
                Value::Int(row.number.into()),
                Value::Int(int(row.segment)),
                Value::Int(int(row.attempt)),
                Value::Int(int(row.agent)),
                Value::Int(row.is_counted.into()),
                Value::Text(figures),
            ]
        })
        .collect();
    let into = "INSERT INTO load_window \
                (campaign, cell, run, batch, segment, attempt, agent, counted, figures)";
    transaction.insert(into, 9, &values).await
}

impl Store {
    /// The windows of one run of a cell that count, in order.
    pub async fn load_windows(
        &self,
        campaign: CampaignNo,
        (cell, run): (usize, u32),
    ) -> Result<Vec<LoadWindowRow>, Error> {
        let sql = "SELECT * FROM load_window \
                   WHERE campaign = $1 AND cell = $2 AND run = $3 AND counted = 1 ORDER BY batch";
        let values = [Value::Int(campaign.0), Value::Int(int(cell)), Value::Int(run.into())];
        let read = |row: &Record<'_>| {
            Ok(LoadWindowRow {
                cell,
                run,
                number: number(row, "batch")?,
                segment: number(row, "segment")?,
                attempt: number(row, "attempt")?,
                agent: number(row, "agent")?,
                is_counted: true,
                window: json(row, "figures")?,
            })
        };
        self.database.rows(sql, &values, read).await
    }
}
