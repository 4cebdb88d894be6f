//! `controller prices` with a stub of the Price List API, and with a bulk file.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A product in the response of `GetProducts`: a string with JSON.
fn product(target: &str, usage: &str, dimensions: &[(&str, &str)]) -> String {
    let dimensions: serde_json::Map<String, Value> = dimensions
        .iter()
        .enumerate()
        .map(|(index, (unit, usd))| {
            let dimension = json!({ "unit": unit, "pricePerUnit": { "USD": usd } });
            (format!("SKU.TERM.{index}"), dimension)
        })
        .collect();
    json!({
        "product": {
            "sku": "SKU",
            "productFamily": "ML Instance",
            "attributes": {
                "instanceName": target, "regionCode": "us-east-1", "component": "Hosting",
                "usagetype": format!("USE1-{usage}:{target}")
            }
        },
        "serviceCode": "AmazonSageMaker",
        "terms": { "OnDemand": { "SKU.TERM": { "priceDimensions": dimensions } } }
    })
    .to_string()
}

fn hosting(target: &str, usd: &str) -> String {
    product(target, "Host", &[("Hrs", usd), ("Hrs", "0.0000000000")])
}

/// The pages to respond with, and the received requests.
#[derive(Debug, Default)]
struct Stub {
    pages: Vec<Vec<String>>,
    refusal: Option<(u16, &'static str)>,
    requests: Mutex<Vec<(HeaderMap, Value)>>,
}

async fn answer(
    State(stub): State<Arc<Stub>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> (StatusCode, Json<Value>) {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let page = body["NextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap());
    stub.requests.lock().unwrap().push((headers, body));
    if let Some((status, message)) = stub.refusal {
        let refusal = json!({ "__type": "AccessDeniedException", "message": message });
        return (StatusCode::from_u16(status).unwrap(), Json(refusal));
    }
    let mut answer = json!({ "FormatVersion": "aws_v1", "PriceList": stub.pages[page] });
    if page + 1 < stub.pages.len() {
        answer["NextToken"] = (page + 1).to_string().into();
    }
    (StatusCode::OK, Json(answer))
}

/// Runs `prices refresh` of ml.g4dn.xlarge with a stub; returns the output, the price book and the requests.
fn refresh(stub: Stub) -> (String, Option<String>, Vec<(HeaderMap, Value)>) {
    let folder = TempDir::new().unwrap();
    let stub = Arc::new(stub);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(answer)).with_state(Arc::clone(&stub));
    runtime.spawn(async move { axum::serve(listener, app).await });
    let output = prices(
        folder.path(),
        &[
            "refresh",
            "--service",
            "sagemaker-hosting",
            "--region",
            "us-east-1",
            "--targets",
            "ml.g4dn.xlarge",
            "--book",
            "book.toml",
            "--endpoint",
            &endpoint,
        ],
    );
    let book = std::fs::read_to_string(folder.path().join("book.toml")).ok();
    let requests = stub.requests.lock().unwrap().drain(..).collect();
    (text_of(&output), book, requests)
}

/// Exit code, standard output and standard error.
fn text_of(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    let code = output.status.code().expect("it exits by itself");
    format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr))
}

fn prices(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_controller"))
        .current_dir(folder)
        .arg("prices")
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        .env_remove("AWS_PROFILE")
        .output()
        .expect("the binary is built")
}

#[test]
fn one_product_with_one_hourly_price_is_added_to_the_book() {
    let stub =
        Stub { pages: vec![vec![hosting("ml.g4dn.xlarge", "0.7364000000")]], ..Stub::default() };
    let (output, book, requests) = refresh(stub);
    assert!(output.starts_with("exit 0\n") && output.contains("0.7364 USD/h"), "{output}");
    let book = book.unwrap();
    assert!(book.contains("\"ml.g4dn.xlarge\" = 0.7364"), "{book}");
    assert!(
        book.contains("service = \"sagemaker-hosting\"") && book.contains("GetProducts"),
        "{book}"
    );

    let (headers, body) = &requests[0];
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-amz-target"), "AWSPriceListService.GetProducts");
    assert_eq!(header("content-type"), "application/x-amz-json-1.1");
    let signed = header("authorization");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signed}");
    assert!(signed.contains("/us-east-1/pricing/aws4_request"), "{signed}");
    assert!(signed.contains("content-type;host;x-amz-date;x-amz-target"), "{signed}");
    assert_eq!(body["ServiceCode"], "AmazonSageMaker");
    let fields: Vec<_> = body["Filters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["Field"].as_str().unwrap(), f["Value"].as_str().unwrap()))
        .collect();
    assert_eq!(
        fields,
        [("instanceName", "ml.g4dn.xlarge"), ("component", "Hosting"), ("regionCode", "us-east-1")]
    );
}

#[test]
fn all_pages_are_read_and_other_services_are_skipped() {
    let batch = product("ml.g4dn.xlarge", "Tsform", &[("Hrs", "0.9")]);
    let pages = vec![vec![batch], vec![], vec![hosting("ml.g4dn.xlarge", "0.75")]];
    let (output, _, requests) = refresh(Stub { pages, ..Stub::default() });
    assert!(output.contains("0.75 USD/h"), "{output}");
    assert_eq!(requests.len(), 3);
}

#[test]
fn an_ambiguous_price_is_an_error() {
    let twice = vec![hosting("ml.g4dn.xlarge", "0.7"), hosting("ml.g4dn.xlarge", "0.8")];
    let no_hours = product("ml.g4dn.xlarge", "Host", &[("GB-Mo", "0.1")]);
    let two_hours = product("ml.g4dn.xlarge", "Host", &[("Hrs", "0.7"), ("Hrs", "0.8")]);
    let cases = [
        ("no product", vec![]),
        ("two products", twice),
        ("no hourly dimension", vec![no_hours]),
        ("two hourly dimensions", vec![two_hours]),
        ("no price list", vec!["{}".to_owned()]),
    ];
    let mut all = String::new();
    for (what, page) in cases {
        let (output, book, _) = refresh(Stub { pages: vec![page], ..Stub::default() });
        assert_eq!(book, None, "{what}: nothing is written");
        all = format!("{all}{what}: {output}\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_denial_lists_the_required_permission() {
    let message = "User is not authorized to perform: pricing:GetProducts";
    let (output, _, _) = refresh(Stub { refusal: Some((400, message)), ..Stub::default() });
    assert!(output.starts_with("exit 2\n"), "{output}");
    assert!(
        output.contains("rejected the request (400): User is not authorized")
            && output.contains("need pricing:GetProducts"),
        "{output}"
    );
}

/// A bulk file with hosting of two types, batch transform of one, and another region.
fn bulk() -> Value {
    let product = |sku: &str, target: &str, usage: &str, region: &str| {
        let attributes = json!({
            "instanceName": target, "regionCode": region, "usagetype": format!("{usage}:{target}")
        });
        (
            sku.to_owned(),
            json!({ "sku": sku, "productFamily": "ML Instance", "attributes": attributes }),
        )
    };
    let term = |sku: &str, usd: &str| {
        let dimension = json!({ "unit": "Hrs", "pricePerUnit": { "USD": usd } });
        (
            sku.to_owned(),
            json!({ format!("{sku}.T"): { "priceDimensions": { format!("{sku}.T.D"): dimension } } }),
        )
    };
    let products: serde_json::Map<String, Value> = [
        product("A", "ml.g4dn.xlarge", "USE1-Host", "us-east-1"),
        product("B", "ml.m5.xlarge", "Host", "us-east-1"),
        product("C", "ml.g4dn.xlarge", "USE1-Tsform", "us-east-1"),
        product("D", "ml.g4dn.xlarge", "EUW3-Host", "eu-west-3"),
    ]
    .into_iter()
    .collect();
    let terms: serde_json::Map<String, Value> =
        [term("A", "0.736"), term("B", "0.23"), term("C", "0.9"), term("D", "0.861")]
            .into_iter()
            .collect();
    json!({
        "formatVersion": "v1.0", "offerCode": "AmazonSageMaker", "version": "20261120180000",
        "publicationDate": "2026-11-20T18:00:00Z", "products": products, "terms": { "OnDemand": terms }
    })
}

fn import_bulk(bulk: &Value, more: &[&str]) -> (String, Option<String>) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("index.json"), bulk.to_string()).unwrap();
    let arguments = ["import", "index.json", "--region", "us-east-1", "--book", "book.toml"];
    let output = prices(folder.path(), &[&arguments, more].concat());
    let text = text_of(&output);
    let book = std::fs::read_to_string(folder.path().join("book.toml")).ok();
    (text, book)
}

#[test]
fn a_bulk_file_becomes_a_list_of_one_service_and_region() {
    let (output, book) = import_bulk(&bulk(), &["--service", "sagemaker-hosting"]);
    assert!(
        output.contains("2 prices of sagemaker-hosting in us-east-1, published 2026-11-20"),
        "{output}"
    );
    insta::assert_snapshot!(book.unwrap());
    let (_, book) = import_bulk(&bulk(), &["--service", "sagemaker-batch-transform"]);
    assert!(book.unwrap().contains("\"ml.g4dn.xlarge\" = 0.9"));
    let (_, book) =
        import_bulk(&bulk(), &["--service", "sagemaker-hosting", "--targets", "ml.m5.xlarge"]);
    assert!(!book.unwrap().contains("ml.g4dn.xlarge"));
}

#[test]
fn an_unsuitable_bulk_file_is_rejected() {
    let rejected = |bulk: &Value, more: &[&str]| {
        let (output, book) = import_bulk(bulk, more);
        assert_eq!(book, None);
        assert!(output.starts_with("exit 2\n"), "{output}");
        output
    };
    let hosting = ["--service", "sagemaker-hosting"];
    assert!(rejected(&bulk(), &["--service", "ec2"]).contains(
        "price list is for AmazonSageMaker, but prices of ec2 are in the list for AmazonEC2"
    ));
    assert!(rejected(&json!({}), &hosting).contains("not an AWS price list"));
    let missing = [&hosting[..], &["--targets", "ml.p9.xlarge"]].concat();
    assert!(rejected(&bulk(), &missing).contains("ml.p9.xlarge: AWS has no price for it"));
    let mut yuan = bulk();
    for sku in ["A", "B"] {
        yuan["terms"]["OnDemand"][sku] = in_yuan(sku);
    }
    let rejected_yuan = rejected(&yuan, &hosting);
    assert!(rejected_yuan.contains("no on-demand price of sagemaker-hosting in us-east-1"));
    assert!(rejected_yuan.contains("ml.m5.xlarge (SKU B): currency CNY, expected USD"));
    assert!(rejected(&bulk(), &["--service", "lambda"]).contains("unknown service"));
}

fn in_yuan(sku: &str) -> Value {
    let dimension = json!({ "unit": "Hrs", "pricePerUnit": { "CNY": "2.012" } });
    json!({ format!("{sku}.T"): { "priceDimensions": { "D": dimension } } })
}

#[test]
fn a_row_without_a_price_does_not_end_the_import_of_the_others() {
    let mut list = bulk();
    list["terms"]["OnDemand"]["A"] = in_yuan("A");
    let (output, book) = import_bulk(&list, &["--service", "sagemaker-hosting"]);
    assert!(output.starts_with("exit 0\n1 price of sagemaker-hosting"), "{output}");
    assert!(
        output.ends_with(
            "note: 1 row passed over:\n  ml.g4dn.xlarge (SKU A): currency CNY, expected USD\n"
        ),
        "{output}"
    );
    let book = book.unwrap();
    assert!(book.contains("\"ml.m5.xlarge\" = 0.23") && !book.contains("g4dn"), "{book}");

    let both = ["--service", "sagemaker-hosting", "--targets", "ml.m5.xlarge,ml.g4dn.xlarge"];
    let (output, book) = import_bulk(&list, &both);
    assert!(output.starts_with("exit 2\n1 price "), "a named target has no price: {output}");
    assert!(
        output.ends_with("error: no price of sagemaker-hosting in us-east-1 for ml.g4dn.xlarge\n"),
        "{output}"
    );
    assert!(book.unwrap().contains("\"ml.m5.xlarge\" = 0.23"), "the other is added");
}

#[test]
fn many_rows_without_a_price_are_counted() {
    let mut list = bulk();
    for row in 0..500 {
        let (sku, target) = (format!("X{row:03}"), format!("ml.x{row:03}.xlarge"));
        let attributes = json!({
            "instanceName": target, "regionCode": "us-east-1", "usagetype": format!("Host:{target}")
        });
        list["products"][&sku] = json!({ "sku": sku, "attributes": attributes });
        if row % 2 == 0 {
            list["terms"]["OnDemand"][&sku] = in_yuan(&sku);
        }
    }
    let (output, _) = import_bulk(&list, &["--service", "sagemaker-hosting"]);
    assert!(output.contains("500 rows passed over:\n  ml.x000.xlarge (SKU X000)"), "{output}");
    assert!(output.ends_with("  and 490 more: 245 currency, 245 no terms\n"), "{output}");
    assert!(output.lines().count() < 16, "{output}");
}

#[test]
fn a_price_list_in_any_encoding_is_read_and_a_pointer_is_named() {
    let import = |bytes: &[u8]| {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("index.json"), bytes).unwrap();
        let book = [&b"\xEF\xBB\xBF"[..], b"version = 1\n"].concat();
        std::fs::write(folder.path().join("book.toml"), book).unwrap();
        let arguments =
            "import index.json --region us-east-1 --service sagemaker-hosting --book book.toml";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        text_of(&prices(folder.path(), &arguments))
    };
    let text = bulk().to_string();
    let wide: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [[&b"\xEF\xBB\xBF"[..], text.as_bytes()].concat(), wide] {
        let output = import(&bytes);
        assert!(output.starts_with("exit 0\n2 prices"), "{output}");
    }
    let output = import(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    assert!(output.starts_with("exit 2\n") && output.contains("git lfs pull"), "{output}");
    let output = import(b"<!DOCTYPE html><title>Sign in</title>");
    assert!(output.contains("index.json is an HTML page"), "{output}");
}

#[test]
fn contradicting_prices_leave_the_book_unchanged() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let import = |bulk: &Value| {
        std::fs::write(path("index.json"), bulk.to_string()).unwrap();
        let arguments = [
            "import",
            "index.json",
            "--region",
            "us-east-1",
            "--service",
            "sagemaker-hosting",
            "--book",
            "book.toml",
        ];
        text_of(&prices(folder.path(), &arguments))
    };
    assert!(import(&bulk()).starts_with("exit 0\n"));
    assert!(import(&bulk()).starts_with("exit 0\n"), "identical prices are allowed");
    let before = std::fs::read_to_string(path("book.toml")).unwrap();
    let mut other = bulk();
    other["terms"]["OnDemand"]["A"]["A.T"]["priceDimensions"]["A.T.D"]["pricePerUnit"]["USD"] =
        "9".into();
    let output = import(&other);
    assert!(
        output.starts_with("exit 2\n")
            && output.contains("which is unchanged")
            && output.contains("on the same day"),
        "{output}"
    );
    assert_eq!(std::fs::read_to_string(path("book.toml")).unwrap(), before);
    let listed = text_of(&prices(folder.path(), &["list", "--book", "book.toml"]));
    assert!(listed.contains("ml.g4dn.xlarge           0.736 USD/h"), "{listed}");
}
