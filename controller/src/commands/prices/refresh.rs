//! `controller prices refresh`: AWS Price List API -> a new list of a price book.

use super::{append, read_book};
use crate::cli;
use anyhow::{Context, bail};
use cost::aws::{price_of, product};
use cost::{list::PriceList, price::Terms};
use ops::{clock::Clock, terminal};
use prices::Client;
use std::collections::BTreeMap;

const IMPORT: &str = "can't fetch prices; controller prices import needs no credentials";

pub(super) async fn run(options: &cli::RefreshPrices) -> anyhow::Result<()> {
    let cli::RefreshPrices { bought, endpoint } = options;
    let terms = Terms {
        service: bought.service.to_string(),
        region: bought.region.clone(),
        purchase: "on-demand".to_owned(),
    };
    let targets = targets(bought, &terms)?;
    let now = Clock::System.now();
    let client = Client::new(endpoint).await.context(IMPORT)?;
    let mut usd_per_hour = BTreeMap::new();
    for target in targets {
        let listed = client.products(bought.service, &target, &bought.region, now).await?;
        let products = listed.iter().map(|text| product(text)).collect::<Result<Vec<_>, _>>()?;
        let price = price_of(&target, bought.service, &bought.region, &products)?;
        usd_per_hour.insert(target, price);
    }
    let list = PriceList {
        provider: "aws".to_owned(),
        terms,
        operating_system: "linux".to_owned(),
        source: format!("AWS Price List API GetProducts ({endpoint})"),
        date: now.date_naive(),
        usd_per_hour,
    };
    append(&bought.book, &list)?;
    let lines: Vec<String> = list
        .usd_per_hour
        .iter()
        .map(|(target, usd)| format!("{target:<20} {usd:>9} USD/h"))
        .collect();
    terminal::result(&format!("{}\nadded to {}", lines.join("\n"), bought.book.display()))?;
    Ok(())
}

/// The selected targets, or all in the book with these terms.
fn targets(bought: &cli::Bought, terms: &Terms) -> anyhow::Result<Vec<String>> {
    if !bought.targets.is_empty() {
        return Ok(bought.targets.clone());
    }
    let book = read_book(&bought.book)?;
    let known = book.prices().filter(|(_, price)| price.terms() == *terms);
    let known: Vec<String> = known.map(|(target, _)| target.to_owned()).collect();
    if known.is_empty() {
        bail!(
            "{} has no prices of {terms} to refresh: select instance types with --targets",
            bought.book.display()
        );
    }
    Ok(known)
}
