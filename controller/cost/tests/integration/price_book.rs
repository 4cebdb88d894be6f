//! The price book: what it takes, what it refuses, and the one that is shipped.

use chrono::NaiveDate;
use cost::book::Error;
use cost::{PriceBook, Terms, usd_per_1000_requests};
use stats::Estimate;

const SHIPPED: &str = include_str!("../../../../deploy/prices/aws.toml");

fn terms(service: &str, region: &str) -> Terms {
    Terms {
        service: service.to_owned(),
        region: region.to_owned(),
        purchase: "on-demand".to_owned(),
    }
}

fn list(date: &str, prices: &str) -> String {
    format!(
        "[[list]]\nprovider = 'aws'\nservice = 'ec2'\nregion = 'us-east-1'\noperating_system = 'linux'\n\
         purchase = 'on-demand'\ncurrency = 'USD'\nsource = 'a test'\ndate = {date}\nusd_per_hour = {{ {prices} }}\n"
    )
}

fn book(lists: &[String]) -> Result<PriceBook, Error> {
    PriceBook::parse("book.toml", &format!("version = 1\n{}", lists.concat()))
}

fn problems(lists: &[String]) -> Vec<String> {
    match book(lists) {
        Err(Error::Content { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shipped_book_knows_the_targets_of_the_readme() {
    let book = PriceBook::parse("deploy/prices/aws.toml", SHIPPED).unwrap();
    let hosting = terms("sagemaker-hosting", "us-east-1");
    let gpu = book.lookup("ml.g4dn.xlarge", &hosting).unwrap();
    assert_eq!(gpu.usd_per_hour.to_string(), "0.7364");
    assert!(gpu.region_assumed, "its source does not state the region");
    let cpu = book.lookup("ml.m5.xlarge", &hosting).unwrap();
    assert_eq!((cpu.date.to_string().as_str(), cpu.region_assumed), ("2026-09-28", false));
    assert!(cpu.is_stale(NaiveDate::from_ymd_opt(2027, 6, 1).unwrap()));
    assert_eq!(book.prices().count(), 75);
}

#[test]
fn one_type_costs_differently_as_hosting_and_as_ec2() {
    let book = PriceBook::parse("aws.toml", SHIPPED).unwrap();
    let price = |target, service| {
        book.lookup(target, &terms(service, "us-east-1")).unwrap().usd_per_hour.to_string()
    };
    assert_eq!(price("ml.m5.xlarge", "sagemaker-hosting"), "0.23");
    assert_eq!(price("m5.xlarge", "ec2"), "0.192");
}

#[test]
fn an_unknown_price_says_what_there_is_and_how_to_give_it() {
    let book = PriceBook::parse("aws.toml", SHIPPED).unwrap();
    let hosting = terms("sagemaker-hosting", "us-east-1");
    let error = book.lookup("ml.g6.xlarge", &hosting).unwrap_err().to_string();
    assert!(error.contains("sagemaker-hosting, eu-west-3, on-demand"), "{error}");
    assert!(error.contains("usd_per_hour = { \"ml.g6.xlarge\" = ... }"), "{error}");
    let error = book.lookup("ml.g4dn.xlarg", &hosting).unwrap_err().to_string();
    assert!(error.contains("it has ml.g4dn."), "{error}");
}

#[test]
fn the_newest_price_wins_wherever_it_stands() {
    let (old, new) = (list("2025-01-01", "m = 1.0"), list("2026-01-01", "m = 2"));
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let book = book(&lists).unwrap();
        let price = book.lookup("m", &terms("ec2", "us-east-1")).unwrap();
        assert_eq!(price.usd_per_hour.to_string(), "2");
    }
}

#[test]
fn two_prices_of_one_day_must_agree() {
    let lists = [
        list("2025-01-01", "m = 1.0"),
        list("2026-01-01", "m = 2.0"),
        list("2025-01-01", "m = 1.5"),
    ];
    assert_eq!(
        problems(&lists),
        [
            "list[2].usd_per_hour.\"m\": 1.5 USD per hour, but list[0].usd_per_hour.\"m\" has 1 on the same day, 2025-01-01"
        ]
    );
    let equal = [list("2025-01-01", "m = 1.0"), list("2025-01-01", "m = 1.0")];
    assert!(book(&equal).is_ok());
}

#[test]
fn all_problems_are_named_at_once_with_their_path() {
    let bad = list("'soon'", "m = -1.0, n = 'x'").replace("'USD'", "'EUR'") + "colour = 'red'\n";
    assert_eq!(
        problems(&[bad.replace("region = 'us-east-1'\n", "")]),
        [
            "list[0].colour: unknown key; expected one of provider, service, region, region_assumed, \
             operating_system, purchase, currency, source, date, usd_per_hour",
            "list[0].region: missing",
            "list[0].date: expected a date such as 2026-09-28",
            "list[0].usd_per_hour.\"m\": expected a number above zero",
            "list[0].usd_per_hour.\"n\": expected a number above zero",
            "list[0].currency: unsupported currency `EUR`: expected USD",
        ]
    );
    assert!(matches!(PriceBook::parse("b", "version = "), Err(Error::Syntax { .. })));
    let error = PriceBook::parse("b", "version = 2").unwrap_err().to_string();
    assert_eq!(error, "b is invalid:\n  version: expected 1");
}

#[test]
fn cost_is_not_rounded_on_its_way() {
    let book = PriceBook::parse("aws.toml", SHIPPED).unwrap();
    let price = book.lookup("ml.m5.xlarge", &terms("sagemaker-hosting", "us-east-1")).unwrap();
    let slow = Estimate::within(0.4 / 60.0, (0.39 / 60.0, 0.41 / 60.0), 3);
    let cost = usd_per_1000_requests(&slow, price.usd_per_hour).value.unwrap();
    assert!((cost - 9.583_333_333_333_334).abs() < 1e-12, "{cost}");
}
