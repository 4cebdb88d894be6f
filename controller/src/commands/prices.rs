//! What each target costs: by the matrix itself, or by its price book. Unknown prices end a plan.

use crate::cli::{self, PricesCommand};
use crate::clock::Clock;
use crate::cost::{PriceBook, Terms};
use crate::matrix::{Matrix, Target};
use crate::plan::text;
use crate::store::PriceRow;
use crate::terminal;
use anyhow::{Context, bail};
use std::path::Path;

/// `controller prices list`: every price with its terms, its day and its source.
pub(super) fn run(options: &cli::Prices) -> anyhow::Result<()> {
    let PricesCommand::List { book } = &options.command;
    let book = read_book(book)?;
    let today = Clock::System.now().date_naive();
    let line = |(target, price): (&str, &crate::cost::Price)| {
        let stale = if price.is_stale(today) { ", older than 180 days" } else { "" };
        let assumed = if price.region_assumed { ", region assumed" } else { "" };
        format!(
            "{target:<20} {:>9} USD/h  {}, {}{stale}{assumed}  ({})",
            price.usd_per_hour,
            price.terms(),
            price.date,
            price.source
        )
    };
    let lines: Vec<String> = book.prices().map(line).collect();
    terminal::result(&lines.join("\n"));
    Ok(())
}

fn read_book(path: &Path) -> anyhow::Result<PriceBook> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("can't read the price book {}", path.display()))?;
    Ok(PriceBook::parse(&path.display().to_string(), &text)?)
}

/// The price of every target, in their order.
pub(super) fn of_targets(matrix: &Matrix) -> anyhow::Result<Vec<PriceRow>> {
    let book = match &matrix.cost.price_book {
        Some(path) => Some(read_book(Path::new(path)).context("cost.price_book can't be used")?),
        None => None,
    };
    matrix.targets.iter().map(|target| of_target(target, matrix, book.as_ref())).collect()
}

fn of_target(
    target: &Target,
    matrix: &Matrix,
    book: Option<&PriceBook>,
) -> anyhow::Result<PriceRow> {
    if let Some(usd_per_hour) = target.usd_per_hour {
        return Ok(PriceRow {
            usd_per_hour,
            service: None,
            region: None,
            purchase: None,
            source: "matrix".to_owned(),
            date: None,
            is_region_assumed: false,
        });
    }
    let name = &target.name;
    if target.local.is_some() {
        bail!(
            "no price for {name}: an agent started here needs its own, give usd_per_hour in its [[fleet.local]]"
        );
    }
    let Some(book) = book else {
        bail!(
            "no price for {name}: give usd_per_hour in its [[target]], or a price_book in [cost]"
        );
    };
    let terms = Terms {
        service: matrix.cost.service.clone().unwrap_or_default(),
        region: matrix.cost.region.clone().unwrap_or_default(),
        purchase: matrix.cost.purchase.clone(),
    };
    let price = book.lookup(name.as_str(), &terms)?;
    Ok(PriceRow {
        usd_per_hour: price.usd_per_hour,
        service: Some(price.service.clone()),
        region: Some(price.region.clone()),
        purchase: Some(price.purchase.clone()),
        source: price.source.clone(),
        date: Some(price.date.to_string()),
        is_region_assumed: price.region_assumed,
    })
}

/// Prices as the plan shows them.
pub(super) fn shown(prices: &[PriceRow]) -> Vec<text::Price> {
    let source = |price: &PriceRow| match (&price.service, &price.region, &price.date) {
        (Some(service), Some(region), Some(date)) => {
            let assumed = if price.is_region_assumed { ", region assumed" } else { "" };
            format!("{service} {region}, read {date}{assumed}")
        }
        _ => price.source.clone(),
    };
    let shown =
        |price: &PriceRow| text::Price { usd_per_hour: price.usd_per_hour, source: source(price) };
    prices.iter().map(shown).collect()
}
