//! Windows of telemetry, in and out. A campaign of days has more of them than memory holds, so they are read one
//! by one.

use super::database::{Record, Transaction, Value, int};
use super::{CampaignNo, Error, Store, read::number};
use model::telemetry::{Metric, Readings};
use records::{WindowRow, Write};

/// Columns before those of the metrics.
const KEYS: [&str; 8] =
    ["campaign", "agent", "cell", "run", "segment", "phase", "start_ns", "end_ns"];

pub(super) async fn insert(
    transaction: &mut Transaction,
    campaign: CampaignNo,
    writes: &[Write],
) -> Result<(), Error> {
    let columns = KEYS.len() + Metric::COUNT;
    let mut values = Vec::new();
    for write in writes {
        let Write::Window(window) = write else { continue };
        values.extend([
            Value::Int(campaign.0),
            Value::Int(int(window.agent)),
            Value::MaybeInt(window.of.map(|(cell, _, _)| int(cell))),
            Value::MaybeInt(window.of.map(|(_, run, _)| run.into())),
            Value::MaybeInt(window.of.map(|(_, _, segment)| int(segment))),
            Value::Text(window.phase.as_str()),
            Value::Int(int(window.start_ns)),
            Value::Int(int(window.end_ns)),
        ]);
        values.extend(Metric::all().map(|metric| Value::MaybeReal(window.readings.of(metric))));
    }
    let names: Vec<&str> = KEYS.iter().chain(Metric::WORDS).copied().collect();
    let into = format!("INSERT INTO telemetry ({})", names.join(", "));
    transaction.insert(&into, columns, &values).await
}

impl Store {
    /// Gives every window to `each`, by cell, run, segment, agent and time; those of idle agents come first.
    pub async fn windows(
        &self,
        campaign: CampaignNo,
        mut each: impl FnMut(WindowRow),
    ) -> Result<(), Error> {
        // Where nulls sort differs between databases, so idle windows are asked for by their own key.
        let sql = "SELECT * FROM telemetry WHERE campaign = $1 \
             ORDER BY coalesce(cell, -1), run, segment, agent, start_ns";
        let take = |row: &Record<'_>| window(row).map(&mut each);
        self.database.each(sql, &[Value::Int(campaign.0)], take).await
    }
}

fn maybe<T: TryFrom<i64>>(row: &Record<'_>, what: &'static str) -> Result<Option<T>, Error> {
    let value: Option<i64> = row.get(what)?;
    value.map(T::try_from).transpose().map_err(|_| Error::Damaged { what })
}

fn window(row: &Record<'_>) -> Result<WindowRow, Error> {
    let of = match (maybe(row, "cell")?, maybe(row, "run")?, maybe(row, "segment")?) {
        (Some(cell), Some(run), Some(segment)) => Some((cell, run, segment)),
        _ => None,
    };
    let phase: String = row.get("phase")?;
    let mut readings = Readings::default();
    for metric in Metric::all() {
        readings.set(metric, row.get::<Option<f64>>(metric.as_str())?);
    }
    Ok(WindowRow {
        agent: number(row, "agent")?,
        of,
        phase: phase.parse().map_err(|_| Error::Damaged { what: "phase" })?,
        start_ns: number(row, "start_ns")?,
        end_ns: number(row, "end_ns")?,
        readings,
    })
}
