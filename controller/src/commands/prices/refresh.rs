//! `controller prices refresh`: AWS Price List API -> a new list of a price book.

use super::{Taken, read_book};
use crate::cli;
use anyhow::{Context, bail};
use cost::aws::{PassedOver, Prices, Reason, price_of, product};
use cost::{list::PriceList, price::Terms};
use ops::clock::Clock;
use prices::Client;

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
    let mut all = Prices::default();
    for target in targets {
        let listed = client.products(bought.service, &target, &bought.region, now).await?;
        let mut products = Vec::new();
        for text in &listed {
            match product(text) {
                Ok(product) => products.push(product),
                Err(_) => all.passed_over.push(PassedOver {
                    target: Some(target.clone()),
                    sku: None,
                    reason: Reason::Malformed,
                }),
            }
        }
        if products.is_empty() && !listed.is_empty() {
            continue;
        }
        let day = now.date_naive();
        let prices = price_of(&target, bought.service, &bought.region, day, &products);
        all.usd_per_hour.extend(prices.usd_per_hour);
        all.passed_over.extend(prices.passed_over);
    }
    let list = PriceList {
        provider: "aws".to_owned(),
        terms,
        operating_system: "linux".to_owned(),
        source: format!("AWS Price List API GetProducts ({endpoint})"),
        date: now.date_naive(),
        usd_per_hour: all.usd_per_hour,
    };
    let lines: Vec<String> = list
        .usd_per_hour
        .iter()
        .map(|(target, usd)| format!("{target:<20} {usd:>9} USD/h"))
        .collect();
    let summary = format!("{}\nadded to {}", lines.join("\n"), bought.book.display());
    Taken { list, passed_over: all.passed_over }.add(bought, &summary)
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
