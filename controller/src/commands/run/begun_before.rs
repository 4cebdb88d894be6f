//! Which campaign `--continue` goes on with.

use matrix::Matrix;
use std::path::Path;
use store::{CampaignNo, Store, folder_of};

/// The newest campaign of this matrix that was begun in this data folder: a database may be shared with others, who ask the
/// same. What it may cost doesn't tell campaigns apart, since a limit can be raised.
pub(super) async fn of(
    store: &Store,
    asked: &Matrix,
    data_dir: &Path,
) -> anyhow::Result<Option<CampaignNo>> {
    for no in store.newest().await? {
        let mut row = store.campaign(no).await?;
        row.matrix.cost.max_usd = asked.cost.max_usd;
        if row.matrix == *asked && folder_of(data_dir, &row.id).is_dir() {
            return Ok(Some(no));
        }
    }
    Ok(None)
}
