//! A results.json whose every text is hostile, in every format: nothing of it acts where it is shown.

use super::super::compare::{self, Asked, Compared, Side};
use super::super::document::document;
use super::super::{annotations, csv, history, html, junit, markdown, mlperf, pdf, terminal};
use super::World;
use model::text::is_unprintable;
use results::parquet::read::SamplesRead;
use results::{Results, json};
use serde_json::Value;
use stats::comparison::regression::{Metric, Undecided};

/// Starts a command of a CI system on a line of its own, and within one.
const COMMAND: &str =
    "::error::owned\n ::warning::owned\r::notice::owned\u{2028}::debug::owned ##[error]owned";
/// Acts on a terminal, or turns the direction of writing.
const MARKS: &str =
    "\u{1b}[2J\u{9b}31m\u{7}\u{8}\t\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}\u{e0041}";

/// Every text of the value with hostile ones around it, one at a time: what can still be read as results is kept, and
/// the rest is a word of the schema.
fn hostile(results: &Results) -> Results {
    let mut value = serde_json::to_value(results).unwrap();
    let mut places = Vec::new();
    collect(&value, String::new(), &mut places);
    let mut replaced = 0;
    for place in &places {
        let mut changed = value.clone();
        let text = changed.pointer_mut(place).unwrap();
        *text = format!("{COMMAND}{MARKS}{}{MARKS}\n{COMMAND}", text.as_str().unwrap()).into();
        if serde_json::from_value::<Results>(changed.clone()).is_ok() {
            value = changed;
            replaced += 1;
        }
    }
    assert!(replaced > 100, "{replaced} of {} texts", places.len());
    rename(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Gives the maps of the schema hostile keys.
fn rename(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rename),
        Value::Object(fields) => {
            fields.values_mut().for_each(rename);
            for map in ["batch_performance", "failed_by"] {
                let Some(Value::Object(map)) = fields.get_mut(map) else { continue };
                let renamed = std::mem::take(map).into_iter();
                map.extend(renamed.map(|(key, value)| (format!("{key}\n{COMMAND}{MARKS}"), value)));
            }
        }
        _ => {}
    }
}

fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::String(_) => places.push(place),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, item)| collect(item, format!("{place}/{index}"), places));
        }
        Value::Object(fields) => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            let fields = fields.iter();
            fields.for_each(|(name, field)| {
                collect(field, format!("{place}/{}", escaped(name)), places);
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `own`: the starts of lines that are commands of ours.
fn assert_inert(format: &str, text: &str, own: &[&str]) {
    assert!(text.contains("owned"), "{format} shows no text");
    for line in text.split('\n') {
        assert!(!line.contains(is_unprintable), "{format}: {line:?}");
        let is_own = own.iter().any(|start| line.starts_with(start));
        assert!(is_own || !line.trim_start().starts_with("::"), "{format}: {line:?}");
        assert!(!line.contains("##["), "{format}: {line:?}");
    }
}

const ANNOTATIONS: [&str; 3] = ["::notice title=", "::warning title=", "::error title="];

#[test]
fn no_text_of_results_acts_in_a_report() {
    let results = hostile(&World::of(20, "plain").results());
    let document = document(&results);
    assert_inert("JSON", &json::render(&results), &[]);
    assert_eq!(serde_json::from_str::<Results>(&json::render(&results)).unwrap(), results);
    assert_inert("HTML", &html::render(&document), &[]);
    assert_inert("Markdown", &markdown::render(&document), &[]);
    assert_inert("terminal", &terminal::render(&document, None), &[]);
    assert_inert("JUnit", &junit::render(&results), &[]);
    assert_inert("CSV", &String::from_utf8(csv::render(&results)).unwrap(), &[]);
    assert_inert("annotations", &annotations::render(&results, &document), &ANNOTATIONS);
    for logs in mlperf::render(&results) {
        assert_inert("LoadGen's summary", &logs.summary, &[]);
        assert_inert("LoadGen's detail", &logs.detail, &[":::MLLOG {"]);
        assert!(!logs.folder.contains(['/', '\\']) && logs.folder.is_ascii(), "{}", logs.folder);
    }
    let history = history::draw(&[results.clone(), results], Metric::Throughput, "");
    assert_inert("history", &history, &[]);
    assert!(pdf::render(&document).unwrap().starts_with(b"%PDF"));
}

#[test]
fn no_text_of_results_acts_in_a_comparison() {
    let results = hostile(&World::of(20, "plain").results());
    let side = Side { results, samples: SamplesRead::default() };
    let compared = compare::compared(&side, &side, &Asked::default()).unwrap();
    let compared = Compared { unmatched: vec![format!("baseline: {COMMAND}{MARKS}")], ..compared };
    assert_inert("table", &compare::table::render(&compared, None), &[]);
    assert_inert("Markdown", &compare::markdown::render(&compared), &[]);
    assert_inert("JUnit", &compare::junit::render(&compared, Undecided::Fails), &[]);
    let lines = compare::annotations::render(&compared, Undecided::Fails);
    assert_inert("annotations", &lines, &ANNOTATIONS);
}
