//! The machines and engines, and how to reproduce the campaign.

use super::table::{Column, Entry, Table};
use super::{Block, Detail, Section, shortened};
use crate::sentences::prompt;
use plot::number;
use results::{Engine, Host, Results};

pub(super) fn section(results: &Results) -> Section {
    let mut blocks = vec![Block::Table(hosts(&results.environment.hosts))];
    let engines = engines(results);
    if !engines.rows.is_empty() {
        blocks.push(Block::Table(engines));
    }
    blocks.push(Block::Facts(facts(results)));
    Section {
        id: "environment",
        title: "Environment".to_owned(),
        lead: String::new(),
        blocks,
        detail: Detail::Page,
    }
}

pub(super) fn reproduction(results: &Results) -> Section {
    let campaign = &results.campaign;
    let commands = format!(
        "controller plan matrix.toml     # the cells, their order and the expected cost\n\
         controller run matrix.toml      # runs the same dialogues in the same batches\n\
         controller report {}",
        campaign.id
    );
    let mut matrix = campaign.matrix.clone();
    if matrix.len() > LONGEST_MATRIX {
        matrix = shortened(&matrix, LONGEST_MATRIX);
        matrix.push_str("\n# the rest is in results.json");
    }
    Section {
        id: "reproduction",
        title: "Reproduction".to_owned(),
        lead: "The matrix and its seed determine the dialogues, their batches and the order of the runs. Save the matrix and run it with the same version.".to_owned(),
        blocks: vec![
            Block::Code { title: "Commands".to_owned(), text: commands },
            Block::Code { title: "matrix.toml".to_owned(), text: matrix },
        ],
        detail: Detail::Page,
    }
}

const LONGEST_MATRIX: usize = 60_000;

fn hosts(hosts: &[Host]) -> Table {
    let row = |host: &Host| {
        let or_unknown = |text: Option<&String>| {
            text.map_or_else(|| Entry::missing("not detected"), Entry::words)
        };
        vec![
            Entry::words(&host.name),
            Entry::words(host.targets.join(", ")),
            or_unknown(host.instance_type.as_ref()),
            or_unknown(host.cpu_model.as_ref()),
            Entry::count(u64::from(host.logical_cpus)),
            Entry::figure(Some(host.memory_mb / 1024.0)),
            or_unknown(host.gpu_name.as_ref()),
            Entry::words(format!("{}, {}", host.operating_system, host.kernel)),
            or_unknown(conditions(host).as_ref()),
            Entry::words(host.agent_versions.join(", ")),
        ]
    };
    let columns = vec![
        Column::words("Host"),
        Column::words("Targets"),
        Column::words("Instance type"),
        Column::words("CPU"),
        Column::figures("Logical CPUs", ""),
        Column::figures("Memory", "GiB"),
        Column::words("GPU"),
        Column::words("System"),
        Column::words("Conditions"),
        Column::words("Agent"),
    ];
    Table::new("hosts", "Machines", Detail::Page, columns, hosts.iter().map(row))
}

/// Other conditions that affect speed, if any is known.
fn conditions(host: &Host) -> Option<String> {
    let known = |label: &str, value: Option<&String>| value.map(|value| format!("{label}{value}"));
    let driver = host.gpus.iter().find_map(|gpu| gpu.driver.as_ref());
    let cores = host.cpu_limit_cores.map(number::shown);
    let memory = host.memory_limit_mb.map(|mb| number::shown(mb / 1024.0));
    let all = [
        known("governor: ", host.governor.as_ref()),
        known("turbo: ", host.turbo.as_ref()),
        known("virtualization: ", host.virtualization.as_ref()),
        known("container: ", host.container.as_ref()),
        known("power: ", host.power_supply.as_ref()),
        cores.map(|cores| format!("limited to {cores} cores")),
        memory.map(|memory| format!("limited to {memory} GiB")),
        known("NVIDIA driver ", driver),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Whether a model was asked for a system message.
fn has_system(results: &Results) -> bool {
    results.results.iter().filter_map(|entry| entry.engine.as_ref()).any(|it| it.system.is_some())
}

fn engines(results: &Results) -> Table {
    let has_system = has_system(results);
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    for entry in &results.results {
        let Some(engine) = &entry.engine else { continue };
        let row = engine_row(results, entry, engine, has_system);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut columns = vec![
        Column::words("Model"),
        Column::words("Dtype"),
        Column::words("Device"),
        Column::words("Kernel"),
        Column::words("Prompt"),
        Column::words("Generation"),
        Column::figures("Parameters", ""),
        Column::words("Weights, SHA-256"),
        Column::words("Notes"),
    ];
    if has_system {
        columns.insert(SYSTEM, Column::words("System message"));
    }
    Table::new("engines", "Engines", Detail::Page, columns, rows.into_iter())
}

const LONGEST_PROMPT: usize = 120;
/// The place of the column of system messages, after that of prompts.
const SYSTEM: usize = 5;
const UNSEEN: &str = "the files behind an endpoint aren't visible";

fn engine_row(
    results: &Results,
    entry: &results::Entry,
    engine: &Engine,
    has_system: bool,
) -> Vec<Entry> {
    let mut notes: Vec<String> = engine.endpoint.iter().cloned().collect();
    notes.extend(engine.notes.iter().cloned());
    notes.extend(engine.adapter_sha256.iter().map(|hash| format!("adapter {}", start(hash))));
    notes.extend(engine.revision.iter().map(|revision| format!("revision {revision}")));
    if engine.random_weights {
        notes.push("random weights".to_owned());
    }
    let mut row = vec![
        Entry::words(&entry.model),
        Entry::words(&entry.dtype),
        entry.device.as_ref().map_or_else(|| Entry::missing("not detected"), Entry::words),
        Entry::words(&engine.kernel),
        match prompt(results, entry) {
            Some(prompt) => Entry::words(shortened(&prompt, LONGEST_PROMPT)).because(prompt),
            None => Entry::missing("not recorded"),
        },
        Entry::words(engine.decoding_summary()).because(engine.decoding.as_ref().map_or_else(
            String::new,
            |decoding| {
                format!(
                    "at most {} output tokens, start token {}",
                    number::count(u64::from(decoding.max_new_tokens)),
                    decoding.decoder_start_token_id
                )
            },
        )),
        engine.parameters.map_or_else(|| Entry::missing(UNSEEN), Entry::count),
        match &engine.model_sha256 {
            Some(hash) => Entry::words(start(hash)).because(hash.clone()),
            None => Entry::missing(UNSEEN),
        },
        Entry::words(if notes.is_empty() { "none".to_owned() } else { notes.join("; ") }),
    ];
    if has_system {
        let system = match &engine.system {
            Some(text) => Entry::words(shortened(text, LONGEST_PROMPT)).because(text.clone()),
            None => Entry::words("none"),
        };
        row.insert(SYSTEM, system);
    }
    row
}

/// The start identifies a hash; results.json has all of it.
fn start(hash: &str) -> String {
    shortened(hash, 12)
}

fn facts(results: &Results) -> Vec<(String, String)> {
    let (dataset, generation) = (&results.dataset, &results.environment.generation);
    let campaign = &results.campaign;
    let fact = |name: &str, text: String| (name.to_owned(), shortened(&text, 400));
    let notes = dataset.notes.join("; ");
    let notes = (!notes.is_empty()).then(|| fact("Dataset, notes", notes));
    let mut facts = vec![
        fact("Dataset", dataset.source.clone()),
        fact("Dataset, SHA-256", dataset.sha256.clone()),
        fact(
            "Dialogues",
            format!(
                "{} of {} measured in each run, {} with references",
                number::count(dataset.samples),
                number::count(dataset.dialogues),
                number::count(dataset.references)
            ),
        ),
        fact("Sample ids, SHA-256", dataset.sample_ids_sha256.clone()),
        fact(
            "Prompt",
            generation.prompt.clone().unwrap_or_else(|| "as each engine is prompted".to_owned()),
        ),
        fact(
            "Limits",
            format!(
                "{} input tokens, {} output tokens, stop at {}",
                number::count(u64::from(generation.max_input_tokens)),
                generation.max_new_tokens.map_or_else(
                    || "each model's limit of".to_owned(),
                    |tokens| number::count(u64::from(tokens))
                ),
                generation.stop
            ),
        ),
        fact("Seed", campaign.seed.to_string()),
        fact("Controller", campaign.controller_version.clone()),
    ];
    facts.extend(generation.system.clone().map(|text| fact("System message", text)));
    facts.extend(notes);
    facts
}
