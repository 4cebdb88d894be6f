//! AWS's price lists: the rows that give a price, and the reasons of those that don't.

use chrono::NaiveDate;
use cost::aws::{Bulk, Error, Prices, Service, bulk, price_of, product};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A list of SageMaker hosting in us-east-1: one product for each of `terms`, named ml.a, ml.b and so on.
fn hosting(terms: &[Value]) -> Value {
    let names = ('a'..='z').zip(terms);
    let products = names.clone().map(|(name, _)| {
        let attributes = json!({
            "instanceName": format!("ml.{name}"), "regionCode": "us-east-1",
            "usagetype": format!("USE1-Host:ml.{name}"),
        });
        (name.to_string(), json!({ "sku": name, "attributes": attributes }))
    });
    let terms = names.clone().filter(|(_, terms)| !terms.is_null());
    list("AmazonSageMaker", products, terms.map(|(name, terms)| (name.to_string(), terms.clone())))
}

fn list(
    offer: &str,
    products: impl Iterator<Item = (String, Value)>,
    terms: impl Iterator<Item = (String, Value)>,
) -> Value {
    json!({
        "formatVersion": "v1.0", "offerCode": offer, "version": "20261101000000",
        "publicationDate": "2026-11-01T10:00:00Z",
        "products": products.collect::<Map<_, _>>(),
        "terms": { "OnDemand": terms.collect::<Map<_, _>>() },
    })
}

/// On-demand terms since a day, with one price.
fn since(day: &str, unit: &str, price: &Value) -> Value {
    let dimension = json!({ "unit": unit, "pricePerUnit": price });
    json!({
        "effectiveDate": format!("{day}T00:00:00Z"), "priceDimensions": { "D": dimension }
    })
}

fn terms(unit: &str, price: &Value) -> Value {
    json!({ "T": since("2026-11-01", unit, price) })
}

fn usd(price: &str) -> Value {
    terms("Hrs", &json!({ "USD": price }))
}

fn read(list: &Value) -> Prices {
    let read = bulk(&list.to_string(), Service::SageMakerHosting, "us-east-1", &[]);
    read.map(|Bulk { prices, .. }| prices).expect("it is a price list")
}

fn price(prices: &Prices, target: &str) -> String {
    prices.usd_per_hour[target].to_string()
}

fn reasons(prices: &Prices) -> Vec<String> {
    prices.passed_over.iter().map(ToString::to_string).collect()
}

#[test]
fn a_row_without_a_price_is_passed_over_with_its_reason() {
    for (terms, reason) in [
        (Value::Null, "no on-demand terms"),
        (json!({}), "no on-demand terms"),
        (json!([]), "not in the format of an AWS price list"),
        (json!("none"), "not in the format of an AWS price list"),
        (usd("0.0000000000"), "price 0.0000000000, expected USD above zero"),
        (usd("free"), "price free, expected USD above zero"),
        (usd(""), "price , expected USD above zero"),
        (usd("inf"), "price inf, expected USD above zero"),
        (terms("Hrs", &json!({ "USD": null })), "price none, expected USD above zero"),
        (terms("Hrs", &json!({ "USD": -1 })), "price -1, expected USD above zero"),
        (terms("Hrs", &json!({})), "price none, expected USD above zero"),
        (terms("Hrs", &json!({ "CNY": "2.012" })), "currency CNY, expected USD"),
        (terms("GB-Mo", &json!({ "USD": "0.1" })), "unit GB-Mo, expected Hrs"),
        (
            json!({ "T": since("2026-12-01", "Hrs", &json!({ "USD": "0.24" })) }),
            "0.24 USD per hour takes effect on 2026-12-01, after 2026-11-01",
        ),
        (
            json!({
                "T": since("2026-11-01", "Hrs", &json!({ "USD": "0.24" })),
                "U": since("2026-11-01", "Hrs", &json!({ "USD": "0.25" })),
            }),
            "2 hourly prices, expected one: 0.24, 0.25",
        ),
    ] {
        let prices = read(&hosting(&[usd("0.23"), terms.clone(), usd("0.736")]));
        assert_eq!(prices.usd_per_hour.len(), 2, "{terms}");
        assert_eq!(
            (price(&prices, "ml.a"), price(&prices, "ml.c")),
            ("0.23".into(), "0.736".into())
        );
        assert_eq!(reasons(&prices), [format!("ml.b (SKU b): {reason}")]);
    }
}

#[test]
fn an_hour_is_an_hour_in_every_spelling() {
    for unit in ["Hrs", "hrs", "Hours", "hours", "Hour"] {
        let prices = read(&hosting(&[terms(unit, &json!({ "USD": "0.23" }))]));
        assert_eq!(
            (price(&prices, "ml.a").as_str(), prices.passed_over.len()),
            ("0.23", 0),
            "{unit}"
        );
    }
    let number = read(&hosting(&[terms("Hrs", &json!({ "USD": 0.23 }))]));
    assert_eq!(price(&number, "ml.a"), "0.23");
}

#[test]
fn of_several_dates_the_one_in_force_counts() {
    let on = |day, usd: &str| since(day, "Hrs", &json!({ "USD": usd }));
    let dated = json!({
        "T": on("2026-12-01", "0.24"), "U": on("2026-11-01", "0.23"), "V": on("2026-10-01", "0.22"),
    });
    let prices = read(&hosting(&[dated]));
    assert_eq!(price(&prices, "ml.a"), "0.23");
    assert_eq!(
        reasons(&prices),
        [
            "ml.a (SKU a): 0.24 USD per hour takes effect on 2026-12-01, after 2026-11-01",
            "ml.a (SKU a): 0.22 USD per hour is replaced by a price of 2026-11-01",
        ]
    );
}

/// A plain Linux machine.
fn machine(sku: &str, usage_type: &str, market: Option<&str>) -> (String, Value) {
    let mut attributes = json!({
        "instanceType": "p5.48xlarge", "operatingSystem": "Linux", "tenancy": "Shared",
        "preInstalledSw": "NA", "capacitystatus": "Used", "regionCode": "us-east-1",
        "usagetype": usage_type,
    });
    if let Some(market) = market {
        attributes["marketoption"] = market.into();
    }
    (sku.to_owned(), json!({ "sku": sku, "attributes": attributes }))
}

#[test]
fn other_market_options_are_no_on_demand_price() {
    for (usage_type, market, found) in [
        ("CapacityBlock:p5.48xlarge", Some("CapacityBlock"), "CapacityBlock"),
        ("BoxUsage:p5.48xlarge", Some("Spot"), "Spot"),
        ("USE1-BoxUsage:p5.48xlarge", Some("Reserved"), "Reserved"),
        ("USE1-CapacityBlock:p5.48xlarge", None, "CapacityBlock"),
        ("SpotUsage:p5.48xlarge", None, "SpotUsage"),
    ] {
        for other in ["0.0000000000", "31.464"] {
            let products = [
                machine("A", "BoxUsage:p5.48xlarge", market.map(|_| "OnDemand")),
                machine("B", usage_type, market),
            ];
            let terms = [("A".to_owned(), usd("55.04")), ("B".to_owned(), usd(other))];
            let list = list("AmazonEC2", products.into_iter(), terms.into_iter()).to_string();
            let prices = bulk(&list, Service::Ec2, "us-east-1", &[]).unwrap().prices;
            assert_eq!(price(&prices, "p5.48xlarge"), "55.04");
            let reason = format!("p5.48xlarge (SKU B): market option {found}, expected OnDemand");
            assert_eq!(reasons(&prices), [reason]);
        }
    }
}

#[test]
fn two_products_with_a_price_are_ambiguous_but_one_without_is_not() {
    let read = |second: &str| {
        let products = [
            machine("A", "BoxUsage:p5.48xlarge", None),
            machine("B", "USE1-BoxUsage:p5.48xlarge", None),
        ];
        let terms = [("A".to_owned(), usd("55.04")), ("B".to_owned(), usd(second))];
        let list = list("AmazonEC2", products.into_iter(), terms.into_iter()).to_string();
        bulk(&list, Service::Ec2, "us-east-1", &[]).unwrap().prices
    };
    assert_eq!(price(&read("0.0"), "p5.48xlarge"), "55.04");
    let ambiguous = read("60.0");
    assert!(ambiguous.usd_per_hour.is_empty());
    assert_eq!(
        reasons(&ambiguous),
        [
            "p5.48xlarge: 2 products match, expected one: BoxUsage:p5.48xlarge, USE1-BoxUsage:p5.48xlarge"
        ]
    );
}

#[test]
fn another_region_is_an_error_that_names_those_of_the_list() {
    let list = hosting(&[usd("0.23")]).to_string();
    let error = bulk(&list, Service::SageMakerHosting, "cn-north-1", &[]).unwrap_err();
    assert!(matches!(error, Error::NoRegion { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "price list of AmazonSageMaker has no sagemaker-hosting in cn-north-1; it has it in us-east-1"
    );
}

#[test]
fn a_wanted_instance_type_that_is_not_listed_is_named() {
    let list = hosting(&[usd("0.23"), usd("0.736")]).to_string();
    let wanted = ["ml.b".to_owned(), "ml.p9".to_owned()];
    let prices = bulk(&list, Service::SageMakerHosting, "us-east-1", &wanted).unwrap().prices;
    assert_eq!(prices.usd_per_hour.keys().collect::<Vec<_>>(), ["ml.b"]);
    assert!(reasons(&prices)[0].starts_with("ml.p9: AWS has no price for it"), "{prices:?}");
}

#[test]
fn the_price_of_today_is_taken_from_the_api() {
    let on = |day, usd: &str| since(day, "Hrs", &json!({ "USD": usd }));
    let listed = json!({
        "product": machine("A", "BoxUsage:p5.48xlarge", Some("OnDemand")).1,
        "terms": { "OnDemand": {
            "T": on("2026-11-01", "55.04"), "U": on("2026-12-01", "50"),
        } },
    });
    let listed = [product(&listed.to_string()).unwrap()];
    let read = |day: &str| {
        let day: NaiveDate = day.parse().unwrap();
        price(&price_of("p5.48xlarge", Service::Ec2, "us-east-1", day, &listed), "p5.48xlarge")
    };
    assert_eq!(read("2026-11-30"), "55.04");
    assert_eq!(read("2026-12-01"), "50");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever stands in one row, the rows beside it keep their prices, and every row is accounted for.
    #[test]
    fn no_row_ends_the_others(damage in any_json(), place in 0_usize..5) {
        let mut list = hosting(&[usd("0.23"), usd("0.5"), usd("0.736")]);
        let terms = "/terms/OnDemand/b";
        let dimension = format!("{terms}/T/priceDimensions/D");
        let pointer = match place {
            0 => "/products/b".to_owned(),
            1 => "/products/b/attributes".to_owned(),
            2 => terms.to_owned(),
            3 => format!("{terms}/T"),
            _ => format!("{dimension}/pricePerUnit"),
        };
        *list.pointer_mut(&pointer).unwrap() = damage;
        let prices = read(&list);
        prop_assert_eq!((price(&prices, "ml.a"), price(&prices, "ml.c")), ("0.23".into(), "0.736".into()));
        let has_reason = !prices.passed_over.is_empty();
        // A product that is not recognized as one of the service is no row of it.
        prop_assert!(has_reason || place < 2, "{:?}", prices);
    }
}
