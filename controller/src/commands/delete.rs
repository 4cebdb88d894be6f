//! `controller delete` and `controller prune`: remove campaigns from the database, and their folders.

use crate::cli;
use anyhow::{Context, bail};
use ops::program::Exit;
use ops::terminal;
use std::collections::BTreeMap;
use std::path::Path;
use store::{CampaignNo, Store, folder_of};

pub(super) async fn run(options: &cli::Delete) -> anyhow::Result<Exit> {
    let store = super::store(&options.data_dir).await?;
    // All are found before one is deleted.
    let mut found = Vec::new();
    for id in &options.campaigns {
        if id == "latest" {
            bail!("`latest` can't be deleted: name the campaign, as controller history lists it");
        }
        found.push(store.find(id).await?);
    }
    for no in found {
        delete(&store, no, &options.data_dir).await?;
    }
    store.close().await;
    Ok(Exit::Ok)
}

pub(super) async fn prune(options: &cli::Prune) -> anyhow::Result<Exit> {
    let store = super::store(&options.data_dir).await?;
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    let mut deleted = 0_u64;
    for no in store.newest().await? {
        let row = store.campaign(no).await?;
        if options.name.as_ref().is_some_and(|name| row.name != *name) {
            continue;
        }
        let kept = kept.entry(row.name.clone()).or_default();
        *kept += 1;
        if *kept <= options.keep || store.is_held(no, &options.data_dir).await? {
            continue;
        }
        deleted += 1;
        if options.dry_run {
            terminal::result(&format!("would delete {}", row.id))?;
        } else {
            delete(&store, no, &options.data_dir).await?;
        }
    }
    if deleted == 0 {
        terminal::result(&format!("nothing to delete: at most {} per matrix", options.keep))?;
    }
    store.close().await;
    Ok(Exit::Ok)
}

async fn delete(store: &Store, no: CampaignNo, data_dir: &Path) -> anyhow::Result<()> {
    let id = store.campaign(no).await?.id;
    let hold = store.hold(no, data_dir).await?;
    store.delete(hold).await?;
    let folder = folder_of(data_dir, &id);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't delete `{}`", folder.display()));
        }
        _ => {}
    }
    terminal::result(&format!("deleted {id}"))?;
    Ok(())
}
