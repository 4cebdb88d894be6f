//! Windows of sustained loads, in and out. A run of days has more of them than need be in memory at once, so they are
//! read run by run.

use super::database::{Record, Transaction, Value};
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
    let int = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let values: Vec<Value<'_>> = rows
        .iter()
        .zip(&figures)
        .flat_map(|(row, figures)| {
            [
                Value::Int(campaign.0),
                Value::Int(int(row.cell)),
                Value::Int(row.run.into()),
                Value::Int(row.number.into()),
                Value::Int(long(row.segment)),
                Value::Int(long(row.attempt)),
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
    ///
    /// # Errors
    /// [`Error`] where the database fails or holds what this release can't read.
    pub async fn load_windows(
        &self,
        campaign: CampaignNo,
        (cell, run): (usize, u32),
    ) -> Result<Vec<LoadWindowRow>, Error> {
        let sql = "SELECT * FROM load_window \
                   WHERE campaign = $1 AND cell = $2 AND run = $3 AND counted = 1 ORDER BY batch";
        let number = i64::try_from(cell).unwrap_or(i64::MAX);
        let values = [Value::Int(campaign.0), Value::Int(number), Value::Int(run.into())];
        let read = |row: &Record<'_>| {
            let figures: String = row.get("figures")?;
            let whole = |what: &'static str| -> Result<u64, Error> {
                u64::try_from(row.get::<i64>(what)?).map_err(|_| Error::Damaged { what })
            };
            Ok(LoadWindowRow {
                cell,
                run,
                number: u32::try_from(whole("batch")?)
                    .map_err(|_| Error::Damaged { what: "batch" })?,
                segment: whole("segment")?,
                attempt: whole("attempt")?,
                agent: usize::try_from(whole("agent")?)
                    .map_err(|_| Error::Damaged { what: "agent" })?,
                is_counted: true,
                window: serde_json::from_str(&figures)
                    .map_err(|_| Error::Damaged { what: "figures" })?,
            })
        };
        self.database.rows(sql, &values, read).await
    }
}
