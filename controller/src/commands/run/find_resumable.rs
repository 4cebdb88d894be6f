//! The campaign that `--resume` and `--continue` resume.

use super::plain_name;
use matrix::Matrix;
use model::ids::CampaignId;
use ops::terminal;
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

/// The campaign of an id, or the newest by `latest`. One that the database has lost is named.
pub(super) async fn find_resumed(
    store: &Store,
    id: &str,
    data_dir: &Path,
) -> anyhow::Result<CampaignNo> {
    let found = store.find(id).await;
    let newest_known = match &found {
        Ok(no) if id == "latest" => Some(store.campaign(*no).await?.id),
        Ok(no) => return Ok(*no),
        Err(store::Error::UnknownCampaign { .. }) => None,
        Err(_) => return Ok(found?),
    };
    let is_newer = |lost: &CampaignId| match (id, &newest_known) {
        ("latest", Some(found)) => started(lost) > started(found),
        ("latest", None) => true,
        (id, _) => lost.as_str() == id,
    };
    let lost = store.lost_campaigns(data_dir).await?;
    let newest = lost
        .into_iter()
        .filter(|(id, _)| is_newer(id))
        .max_by(|(a, _), (b, _)| started(a).cmp(started(b)));
    match newest {
        Some((id, acknowledged)) => Err(store.campaign_lost(id.as_str(), acknowledged).into()),
        None => Ok(found?),
    }
}

/// Warns of campaigns of a matrix that the database has lost, before another one starts.
pub(super) async fn warn_of_lost(
    store: &Store,
    matrix: &Matrix,
    data_dir: &Path,
) -> anyhow::Result<()> {
    let name = plain_name(&matrix.name);
    for (id, acknowledged) in store.lost_campaigns(data_dir).await? {
        if id.as_str().strip_suffix(started(&id)).is_some_and(|start| start == format!("{name}-")) {
            terminal::warning(&store.campaign_lost(id.as_str(), acknowledged).into());
        }
    }
    Ok(())
}

/// When a campaign started, as its id ends: such as `20261123-084507-123`.
fn started(id: &CampaignId) -> &str {
    let id = id.as_str();
    id.len().checked_sub("20261123-084507-123".len()).and_then(|at| id.get(at..)).unwrap_or(id)
}
