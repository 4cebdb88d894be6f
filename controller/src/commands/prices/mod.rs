//! `controller prices`, and the prices of plans and reports.

mod import;
mod refresh;

use crate::cli::{self, PricesCommand};
use anyhow::{Context, bail};
use chrono::NaiveDate;
use cost::aws::{PassedOver, lines};
use cost::{Price, PriceBook, Terms, list::PriceList, price::STALE_AFTER_DAYS};
use matrix::{Matrix, Target, plan::text};
use ops::{atomic_file, clock::Clock, terminal, text_file};
use std::path::Path;
use store::PriceRow;

pub(super) async fn run(options: &cli::Prices) -> anyhow::Result<()> {
    match &options.command {
        PricesCommand::List { book } => list(book),
        PricesCommand::Import(options) => import::run(options),
        PricesCommand::Refresh(options) => refresh::run(options).await,
    }
}

fn list(book: &Path) -> anyhow::Result<()> {
    let book = read_book(book)?;
    let today = Clock::System.now().date_naive();
    let line = |(target, price): (&str, &Price)| {
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
    terminal::result(&lines.join("\n"))?;
    Ok(())
}

/// The prices of a source, and its rows without one.
struct Taken {
    list: PriceList,
    passed_over: Vec<PassedOver>,
}

/// Rows of a price list that are listed one by one.
const MOST_LISTED: usize = 10;

impl Taken {
    /// Adds the prices to the book and prints `summary`. A row without a price fails the command only if its target
    /// was named, and after the other prices are added.
    fn add(self, bought: &cli::Bought, summary: &str) -> anyhow::Result<()> {
        let rows = lines(&self.passed_over, MOST_LISTED).join("\n  ");
        let of = format!("{} in {}", bought.service, bought.region);
        if self.list.usd_per_hour.is_empty() {
            let book = bought.book.display();
            bail!("no on-demand price of {of}; {book} is unchanged\n  {rows}");
        }
        append(&bought.book, &self.list)?;
        terminal::result(summary)?;
        if !self.passed_over.is_empty() {
            let count = self.passed_over.len();
            let noun = if count == 1 { "row" } else { "rows" };
            terminal::note(&format!("note: {count} {noun} passed over:\n  {rows}"));
        }
        let has_none = |target: &&String| !self.list.usd_per_hour.contains_key(target.as_str());
        let without: Vec<&str> =
            bought.targets.iter().filter(has_none).map(String::as_str).collect();
        if !without.is_empty() {
            bail!("no price of {} for {}", of, without.join(", "));
        }
        Ok(())
    }
}

/// Adds a list to a price book, creating it if necessary. On a contradiction, the book is unchanged.
fn append(path: &Path, list: &PriceList) -> anyhow::Result<()> {
    let shown = path.display();
    let mut text = match text_file::read(path) {
        Err(error) if error.is_missing() => "version = 1\n".to_owned(),
        read => read?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text = format!("{text}\n{list}");
    PriceBook::parse(&shown.to_string(), &text)
        .with_context(|| format!("can't add these prices to {shown}, which is unchanged"))?;
    atomic_file::write(path, text.as_bytes()).with_context(|| format!("can't write {shown}"))
}

pub(super) fn read_book(path: &Path) -> anyhow::Result<PriceBook> {
    let text = text_file::read(path).context("can't use the price book")?;
    Ok(PriceBook::parse(&path.display().to_string(), &text)?)
}

/// The prices in the order of the targets.
pub(super) fn of_targets(matrix: &Matrix) -> anyhow::Result<Vec<PriceRow>> {
    let book = matrix.cost.price_book.as_ref().map(|path| read_book(Path::new(path)));
    let book = book.transpose().context("can't use cost.price_book")?;
    matrix.targets.iter().map(|target| of_target(target, matrix, book.as_ref())).collect()
}

/// The prices of a campaign's targets from another price book. A price set in the matrix remains if
/// the book has no price of the target.
pub(super) fn from_book(
    matrix: &Matrix,
    known: &[PriceRow],
    book: &PriceBook,
) -> anyhow::Result<Vec<PriceRow>> {
    let one = |(target, known): (&Target, &PriceRow)| -> anyhow::Result<PriceRow> {
        let name = target.name.as_str();
        let is_of_matrix = known.date.is_none();
        let cost = &matrix.cost;
        let price = if let (Some(service), Some(region)) = (&cost.service, &cost.region) {
            let purchase = cost.purchase.clone();
            let terms = Terms { service: service.clone(), region: region.clone(), purchase };
            book.lookup(name, &terms)
        } else {
            // The matrix has no terms, so the price in the book must be unique.
            let found: Vec<_> = book.prices().filter(|(target, _)| *target == name).collect();
            match found[..] {
                [(_, price)] => Ok(price),
                [] if is_of_matrix => return Ok(known.clone()),
                _ => bail!(
                    "{} has {} prices for {name}, and the matrix has no service and region: keep one in the book",
                    book.name(),
                    found.len()
                ),
            }
        };
        match price {
            Ok(price) => Ok(row(price)),
            Err(_) if is_of_matrix => Ok(known.clone()),
            Err(error) => Err(error.into()),
        }
    };
    matrix.targets.iter().zip(known).map(one).collect()
}

fn row(price: &Price) -> PriceRow {
    PriceRow {
        usd_per_hour: price.usd_per_hour,
        service: Some(price.service.clone()),
        region: Some(price.region.clone()),
        purchase: Some(price.purchase.clone()),
        source: price.source.clone(),
        date: Some(price.date.to_string()),
        is_region_assumed: price.region_assumed,
    }
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
    // An endpoint has the price of its target, even if the agent is local.
    if target.local.is_some() && !matrix.asks_endpoints(name) {
        bail!("no price for {name}: set usd_per_hour in its [[fleet.local]]");
    }
    let Some(book) = book else {
        bail!("no price for {name}: set usd_per_hour in its [[target]], or price_book in [cost]");
    };
    let terms = Terms {
        service: matrix.cost.service.clone().unwrap_or_default(),
        region: matrix.cost.region.clone().unwrap_or_default(),
        purchase: matrix.cost.purchase.clone(),
    };
    Ok(row(book.lookup(name.as_str(), &terms)?))
}

/// Prices for the text of a plan.
pub(super) fn shown(prices: &[PriceRow], today: NaiveDate) -> Vec<text::Price> {
    let source = |price: &PriceRow| match (&price.service, &price.region, &price.date) {
        (Some(service), Some(region), Some(date)) => {
            let assumed = if price.is_region_assumed { ", region assumed" } else { "" };
            let age = date.parse().map(|date: NaiveDate| (today - date).num_days());
            let stale = match age {
                Ok(days) if days > STALE_AFTER_DAYS => ", older than 180 days",
                _ => "",
            };
            format!("{service} {region}, read {date}{assumed}{stale}")
        }
        _ => price.source.clone(),
    };
    let shown =
        |price: &PriceRow| text::Price { usd_per_hour: price.usd_per_hour, source: source(price) };
    prices.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_price_is_marked_in_the_plan() {
        let price = PriceRow {
            usd_per_hour: 0.23,
            service: Some("ec2".to_owned()),
            region: Some("us-east-1".to_owned()),
            purchase: Some("on-demand".to_owned()),
            source: "a list".to_owned(),
            date: Some("2026-01-01".to_owned()),
            is_region_assumed: false,
        };
        let shown =
            |day: &str| shown(std::slice::from_ref(&price), day.parse().unwrap()).remove(0).source;
        assert_eq!(shown("2026-06-30"), "ec2 us-east-1, read 2026-01-01");
        assert_eq!(shown("2026-07-01"), "ec2 us-east-1, read 2026-01-01, older than 180 days");
    }
}
