//! Where models of one campaign were asked for different things.

use super::{beams, enumerated};
use crate::one_line::one_line;
use crate::shortened::shortened;
use plot::number;
use results::{Entry, Results};
use std::collections::{BTreeMap, BTreeSet};

/// Longer prompts are cut; results.json has them in full.
const LONGEST: usize = 120;
const LONGEST_NAME: usize = 80;

/// One sentence for each aspect in which two models differ.
pub(crate) fn asked_differently(results: &Results) -> Vec<String> {
    let prompt = |entry: &Entry| prompt(results, entry).map(|prompt| quoted(&prompt));
    let limit = |entry: &Entry| {
        let limit = entry.engine.as_ref()?.decoding.as_ref()?.max_new_tokens;
        Some(format!("{} tokens", number::count(u64::from(limit))))
    };
    let settings = |entry: &Entry| Some(entry.engine.as_ref()?.decoding.as_ref()?.summary.clone());
    let system = |entry: &Entry| {
        let system = entry.engine.as_ref()?.system.as_deref();
        Some(system.map_or_else(|| "none".to_owned(), quoted))
    };
    let sentence = |what: &str, found: Option<String>| {
        found.map(|values| format!("{what} differ between the models: {values}."))
    };
    [
        sentence("Prompts", values(&results.results, &prompt)),
        sentence("System messages", values(&results.results, &system)),
        sentence("Settings of generation", values(&results.results, &settings)),
        sentence("Output limits", values(&results.results, &limit)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// With its placeholder for the dialogue; `None` if it is unknown.
pub(crate) fn prompt(results: &Results, entry: &Entry) -> Option<String> {
    results.prompt(entry).map(str::to_owned)
}

fn quoted(prompt: &str) -> String {
    format!("\"{}\"", shortened(&one_line(prompt), LONGEST))
}

/// The values with the models that have them; `None` unless two models differ at the same levels of the factors.
fn values(entries: &[Entry], of: &dyn Fn(&Entry) -> Option<String>) -> Option<String> {
    let known = entries.iter().filter_map(|entry| Some((entry, of(entry)?)));
    let known: Vec<(&Entry, String)> = known.collect();
    let mut of_levels: BTreeMap<[Option<u32>; 2], [BTreeSet<&str>; 2]> = BTreeMap::new();
    let mut of_model: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (entry, value) in &known {
        let levels = [entry.num_beams, entry.prompt_lookup_num_tokens];
        let [models, values] = of_levels.entry(levels).or_default();
        models.insert(&entry.model);
        values.insert(value);
        of_model.entry(&entry.model).or_default().insert(value);
    }
    if !of_levels.values().any(|[models, values]| models.len() > 1 && values.len() > 1) {
        return None;
    }
    let mut all: Vec<(&str, Vec<String>)> = Vec::new();
    for (entry, value) in &known {
        let model = shortened(&entry.model, LONGEST_NAME);
        let name = match entry.num_beams {
            Some(number) if of_model[entry.model.as_str()].len() > 1 => {
                format!("{model} with {}", beams(number))
            }
            _ => model,
        };
        match all.iter_mut().find(|(known, _)| known == value) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => all.push((value, vec![name])),
        }
    }
    let shown: Vec<String> =
        all.iter().map(|(value, names)| format!("{value} ({})", names.join(", "))).collect();
    Some(if shown.iter().any(|text| text.contains(", ")) {
        shown.join("; ")
    } else {
        enumerated(&shown, "and")
    })
}
