//! The campaign that `--continue` resumes.

use matrix::Matrix;
use std::path::Path;
use store::{CampaignNo, Store, folder_of};

/// The newest campaign of this matrix that started in this data folder: other users of a shared database may run the
/// same matrix. Its budget may differ, since a limit can be raised.
pub(super) async fn find_resumable(
    store: &Store,
    matrix: &Matrix,
    data_dir: &Path,
) -> anyhow::Result<Option<CampaignNo>> {
    for no in store.newest().await? {
        let mut row = store.campaign(no).await?;
        row.matrix.cost.max_usd = matrix.cost.max_usd;
        if row.matrix == *matrix && folder_of(data_dir, &row.id).is_dir() {
            return Ok(Some(no));
        }
    }
    Ok(None)
}
