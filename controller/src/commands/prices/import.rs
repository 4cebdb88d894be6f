//! `controller prices import`: AWS bulk price file -> a new list of a price book. Needs no credentials.

use super::append;
use crate::cli;
use anyhow::Context;
use cost::{aws::bulk, list::PriceList, price::Terms};
use ops::terminal;
use sha2::{Digest, Sha256};

pub(super) fn run(options: &cli::ImportPrices) -> anyhow::Result<()> {
    let cli::ImportPrices { file, bought, .. } = options;
    let text = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
    let found = bulk(&text, bought.service, &bought.region, &bought.targets)
        .with_context(|| format!("can't import {}", file.display()))?;
    let hash = hex::encode(Sha256::digest(&text));
    let list = PriceList {
        provider: "aws".to_owned(),
        terms: Terms {
            service: bought.service.to_string(),
            region: bought.region.clone(),
            purchase: "on-demand".to_owned(),
        },
        operating_system: "linux".to_owned(),
        source: format!(
            "AWS bulk price file {} version {} (sha256 {})",
            bought.service.offer(),
            found.version,
            &hash[..16]
        ),
        date: found.published,
        usd_per_hour: found.usd_per_hour,
    };
    append(&bought.book, &list)?;
    terminal::result(&format!(
        "{} prices of {} in {}, published {}, added to {}",
        list.usd_per_hour.len(),
        bought.service,
        bought.region,
        list.date,
        bought.book.display()
    ))?;
    Ok(())
}
