//! Deleting campaigns, and whether one is running.

use super::database::{Database, Record, Value};
use super::hold::{LOCK_SPACE, is_locked};
use super::{CampaignNo, Error, Hold, Store};
use std::path::Path;

/// Rows refer to the campaign, so it comes last.
const DELETIONS: [&str; 9] = [
    "DELETE FROM signature WHERE campaign = $1",
    "DELETE FROM load_window WHERE campaign = $1",
    "DELETE FROM telemetry WHERE campaign = $1",
    "DELETE FROM event WHERE campaign = $1",
    "DELETE FROM sample WHERE campaign = $1",
    "DELETE FROM segment WHERE campaign = $1",
    "DELETE FROM agent WHERE campaign = $1",
    "DELETE FROM dialogue WHERE campaign = $1",
    "DELETE FROM campaign WHERE no = $1",
];

impl Store {
    /// Deletes a campaign with all of its rows. Its folder stays.
    pub async fn delete(&self, hold: Hold) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        hold.confirm(&mut transaction).await?;
        for sql in DELETIONS {
            transaction.execute(sql, &[Value::Int(hold.no.0)]).await?;
        }
        transaction.commit().await
    }

    /// Whether a controller holds the campaign. One that is neither held nor finished was interrupted.
    pub async fn is_held(&self, no: CampaignNo, data_dir: &Path) -> Result<bool, Error> {
        if let Database::Sqlite(_) = self.database {
            return is_locked(data_dir, &self.campaign_id(no).await?);
        }
        let sql = "SELECT count(*) AS holders FROM pg_locks WHERE locktype = 'advisory' AND granted \
                   AND ((classid::bigint << 32) | objid::bigint) = $1";
        let holders = |row: &Record<'_>| row.get::<i64>("holders");
        let found = self.database.rows(sql, &[Value::Int(LOCK_SPACE + no.0)], holders).await?;
        Ok(found.into_iter().any(|holders| holders > 0))
    }
}
