//! `controller prices import`: AWS bulk price file -> a new list of a price book. Needs no credentials.

use super::Taken;
use crate::cli;
use anyhow::Context;
use cost::{aws::bulk, list::PriceList, price::Terms};
use ops::{input_file, text_file};
use sha2::{Digest, Sha256};

pub(super) fn run(options: &cli::ImportPrices) -> anyhow::Result<()> {
    let cli::ImportPrices { file, bought, .. } = options;
    let bytes = input_file::read(file).with_context(|| format!("can't read {}", file.display()))?;
    let failed = || format!("can't import {}", file.display());
    let text = text_file::decode(&bytes, file).with_context(failed)?;
    let found =
        bulk(&text, bought.service, &bought.region, &bought.targets).with_context(failed)?;
    let hash = hex::encode(Sha256::digest(&bytes));
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
        usd_per_hour: found.prices.usd_per_hour,
    };
    let taken = Taken { list, passed_over: found.prices.passed_over };
    let count = taken.list.usd_per_hour.len();
    let summary = format!(
        "{count} {} of {} in {}, published {}, added to {}",
        if count == 1 { "price" } else { "prices" },
        bought.service,
        bought.region,
        found.published,
        bought.book.display()
    );
    taken.add(bought, &summary)
}
