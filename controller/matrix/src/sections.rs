//! The sections of matrix.toml with their defaults, in the order of the file.

use super::limits::{self, BATCH_SIZES, RUNS};
use super::reader::{Problem, Problems, Section, hint};
use super::{
    Artifacts, Cost, Dataset, Loads, Local, Matrix, Model, Order, Overrides, Protocol, Report,
    Target, Telemetry,
};
use super::{assignments, gates, plan};
use model::engine::{Dtype, EngineName};
use model::generation::{DIALOGUE, Generation, Settings, Stop};
use model::ids::TargetName;
use model::load::Scenario;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// A shorter period would disturb the measurement.
const PERIODS_MS: std::ops::RangeInclusive<u64> = 20..=60_000;

pub(super) fn check(
    text: &str,
    folder: &Path,
    overrides: &Overrides,
) -> Result<Matrix, Vec<Problem>> {
    let problems = Problems::new(text);
    let assigned: Vec<String> =
        overrides.set.iter().map(|set| assignments::padded(set, text.len() + 1)).collect();
    let mut table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            problems.add(at, "", format!("not TOML: {}", error.message()));
            return Err(problems.take());
        }
    };
    if let Err(found) = assignments::assign(table.get_mut(), &assigned) {
        found.into_iter().for_each(|problem| problems.add(text.len() + 1, "", problem));
        return Err(problems.take());
    }
    let mut root = Section::root(&table, &problems);
    let matrix = matrix(&mut root, folder, overrides);
    root.finish();
    let found = problems.take();
    match matrix {
        Some(mut matrix) if found.is_empty() => {
            keep_only(&mut matrix).map_err(|problem| vec![problem])?;
            Ok(matrix)
        }
        _ => Err(found),
    }
}

/// Drops the targets of which `only` keeps no cell: their agents are not needed.
fn keep_only(matrix: &mut Matrix) -> Result<(), Problem> {
    if matrix.only.is_empty() {
        return Ok(());
    }
    let ids = plan::cell_ids(matrix);
    let kept = |target: &Target| ids.iter().any(|(name, _)| *name == target.name);
    let message = format!(
        "--only {}: no cell has this in its id; the cells are listed by controller plan",
        matrix.only.join(" ")
    );
    let before = matrix.targets.len();
    matrix.targets.retain(kept);
    if matrix.targets.is_empty() && before > 0 {
        return Err(Problem { line: 0, path: String::new(), message });
    }
    Ok(())
}

/// Reads all sections before it fails, so that all problems are found.
fn matrix(root: &mut Section<'_, '_>, folder: &Path, overrides: &Overrides) -> Option<Matrix> {
    let name = root.required_text("name", "\"t4-vs-m5\"");
    let seed = root.whole("seed", 0..=i64::MAX.cast_unsigned()).unwrap_or(0);
    let dataset = dataset(root.section("dataset"), folder, overrides);
    let generation = generation(root.section("generation"));
    let of_all = generation.as_ref().map(|all| all.settings.clone()).unwrap_or_default();
    let Factors { levels, scenarios, search, engines } =
        factors(root.section("factors"), overrides);
    let models = all_models(root, folder, &of_all, &engines);
    let mut targets: Vec<Target> = root
        .sections("target")
        .into_iter()
        .filter_map(|section| target(section, &levels))
        .collect();
    let (protocol, loads) = protocol(
        root.section("protocol"),
        overrides,
        scenarios.as_deref().unwrap_or_default(),
        folder,
    );
    let cost = cost(root.section("cost"), folder);
    let fleet = fleet(root.section("fleet"), &levels, &mut targets);
    let artifacts = artifacts(root.section("artifacts"));
    let report = report(root.section("report"));
    let slo = limits::slo(root.section("slo"));
    if loads.server.as_ref().is_some_and(|server| server.search.is_some()) && !root.has("slo") {
        let message = "is missing: protocol.server.search looks for the highest load that keeps an objective, for example [slo] with request_latency_ms = 500";
        root.problem("slo", message);
    }
    let decision = limits::decision(root.section("decision"));
    let notify = super::notify::read(root.section("notify"), folder);
    let telemetry = telemetry(root.section("telemetry"));
    if targets.is_empty() {
        root.problem(
            "target",
            "no target: add a [[target]] to compare, or start a local agent with [[fleet.local]]",
        );
    }
    let (models_of, scenarios_of) =
        (models.as_deref().unwrap_or_default(), scenarios.as_deref().unwrap_or_default());
    check_targets(root, models_of, &targets);
    for problem in super::endpoint::check_combinations(
        models_of,
        &targets,
        scenarios_of,
        &loads,
        generation.as_ref(),
    ) {
        root.problem("model", problem);
    }
    check_factors(root, &search, models_of, generation.as_ref());
    check_settings(root, &search, models_of, generation.as_ref());
    if slo.is_some_and(|slo| slo.ttft_ms.or(slo.tpot_ms).is_some()) {
        let is_whole =
            |model: &&Model| model.endpoint.as_ref().is_some_and(|one| one.stream.is_none());
        for model in models_of.iter().filter(is_whole) {
            root.problem("slo", format!("{} is an endpoint whose responses arrive as a whole, without ttft and tpot: set stream = true in its endpoint, or only request_latency_ms", model.name));
        }
    }
    unique(root, "target", targets.iter().map(|target| target.name.as_str()));
    let known = gates::Known {
        targets: targets.iter().map(|target| target.name.as_str()).collect(),
        models: models_of.iter().map(|model| model.name.as_str()).collect(),
    };
    let gates = gates::gates(root.section("gates"), &known);
    Some(Matrix {
        name: name?,
        seed,
        dataset: dataset?,
        models: models?,
        targets,
        scenarios: scenarios?,
        num_beams: search.num_beams,
        prompt_lookup_num_tokens: search.prompt_lookup_num_tokens,
        generation: generation?,
        protocol,
        loads: Box::new(loads),
        slo,
        decision,
        gates,
        cost,
        wait: fleet.wait,
        progress_timeout: fleet.progress_timeout,
        artifacts,
        notify,
        report,
        telemetry,
        only: overrides.only.clone(),
    })
}

/// Settings of generation that are factors.
#[derive(Default)]
struct SearchLevels {
    num_beams: Vec<u32>,
    prompt_lookup_num_tokens: Vec<u32>,
}

/// Checks that nothing else sets what is a factor, and that every model can decode with its levels.
fn check_factors(
    root: &Section<'_, '_>,
    levels: &SearchLevels,
    models: &[Model],
    generation: Option<&Generation>,
) {
    type Setting = fn(&Settings) -> Option<u32>;
    let factors: [(&str, &[u32], Setting); 2] = [
        ("num_beams", &levels.num_beams, |settings| settings.num_beams),
        ("prompt_lookup_num_tokens", &levels.prompt_lookup_num_tokens, |settings| {
            settings.prompt_lookup_num_tokens
        }),
    ];
    let problem = |message: String| root.problem("factors", message);
    for (key, _, setting) in factors.into_iter().filter(|(_, levels, _)| !levels.is_empty()) {
        if generation.is_some_and(|generation| setting(&generation.settings).is_some()) {
            problem(format!("{key} is a factor: remove generation.{key}"));
        }
        for model in models {
            let name = &model.name;
            if setting(&model.generation).is_some() {
                problem(format!("{key} is a factor: remove generation.{key} of {name}"));
            }
            if model.endpoint.is_some() {
                problem(format!(
                    "{name} is an endpoint, which has settings of its own: {key} can't be a factor"
                ));
            }
        }
    }
}

/// Checks the settings that each model is asked for together.
fn check_settings(
    root: &Section<'_, '_>,
    levels: &SearchLevels,
    models: &[Model],
    generation: Option<&Generation>,
) {
    let Some(generation) = generation else { return };
    let most = Settings {
        num_beams: levels.num_beams.iter().copied().max(),
        prompt_lookup_num_tokens: levels.prompt_lookup_num_tokens.iter().copied().max(),
        ..Settings::default()
    };
    for model in models {
        let asked = most.or(&model.generation).or(&generation.settings);
        for problem in super::settings::check_combination(&asked) {
            root.problem("generation", format!("{problem} (model {})", model.name));
        }
        for problem in super::engines::check_model(model, &asked) {
            root.problem("model", problem);
        }
    }
}

/// Checks that the targets of each model exist, and that each target has a model.
fn check_targets(root: &Section<'_, '_>, models: &[Model], targets: &[Target]) {
    for problem in super::engines::check_levels(models, targets) {
        root.problem("factors", problem);
    }
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    for model in models {
        for unknown in model.targets.iter().filter(|name| !names.contains(&name.as_str())) {
            let hint = hint(unknown, &names);
            root.problem(
                "model",
                format!("unknown target `{unknown}` of model {}{hint}", model.name),
            );
        }
    }
    let is_idle = |target: &&Target| !models.iter().any(|model| model.is_measured_on(&target.name));
    for target in targets.iter().filter(is_idle).filter(|_| !models.is_empty()) {
        root.problem("target", format!("no model is measured on {}", target.name));
    }
}

fn unique<'n>(root: &Section<'_, '_>, key: &str, names: impl Iterator<Item = &'n str>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            root.problem(key, format!("duplicate name `{name}`"));
        }
    }
}

/// Paths are relative to the matrix file. Hub ids and URLs are unchanged.
fn resolve(text: String, folder: &Path, is_path: bool) -> String {
    if is_path { folder.join(text).to_string_lossy().into_owned() } else { text }
}

/// Models, adapters and tokenizers: `./x`, `../x`, `/x` and files are paths; `owner/name` is a hub
/// id.
fn resolve_model(text: String, folder: &Path) -> String {
    if let Some(path) = text.strip_prefix("scripted:") {
        return format!("scripted:{}", resolve(path.to_owned(), folder, true));
    }
    let has_scheme = text.contains("://") || text.contains(':');
    let starts_as_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    let is_file = [".json", ".gz", ".tar", ".gguf"].iter().any(|end| text.ends_with(end));
    resolve(text, folder, !has_scheme && (starts_as_path || is_file))
}

fn dataset(mut section: Section<'_, '_>, folder: &Path, overrides: &Overrides) -> Option<Dataset> {
    let source = section.required_text("source", "\"builtin:dialogues\"");
    let samples = section.whole("samples", 0..=10_000_000_u32).unwrap_or(0);
    let split = section.text("split");
    let has_splits = |source: &String| source.starts_with("hf://") || source.starts_with("s3://");
    if split.is_some() && source.as_ref().is_some_and(|source| !has_splits(source)) {
        section
            .problem("split", "only datasets from the hub or S3 have splits; a file is read whole");
    }
    let mut columns = section.section("columns");
    let mut column = |key, default: &str| columns.text(key).unwrap_or_else(|| default.to_owned());
    let (id_column, dialogue_column) = (column("id", "id"), column("dialogue", "dialogue"));
    let summary_column = column("summary", "summary");
    columns.finish();
    section.finish();
    let source = source?;
    let is_path = !source.contains("://") && !source.starts_with("builtin:");
    Some(Dataset {
        source: resolve(source, folder, is_path),
        split,
        samples: overrides.samples.unwrap_or(samples as usize),
        id_column,
        dialogue_column,
        summary_column,
    })
}

/// `all`: the settings of `[generation]`. `engines`: those of models without one of their own.
fn all_models(
    root: &mut Section<'_, '_>,
    folder: &Path,
    all: &Settings,
    engines: &[EngineName],
) -> Option<Vec<Model>> {
    let sections = root.sections("model");
    let declared = sections.len();
    let models = models(sections, folder, all, engines);
    let is_some = |value: &toml::Spanned<toml::de::DeValue<'_>>| {
        value.get_ref().as_array().is_none_or(|models| !models.is_empty())
    };
    if root.value("model").is_none_or(|value| !is_some(value)) {
        root.problem(
            "model",
            "no model, for example:\n    [[model]]\n    name = \"tiny\"\n    id = \"builtin:tiny\"",
        );
    }
    let is_unchanged = |models: &Vec<Model>| !models.is_empty() && models.len() == declared;
    if engines.len() > 1 && models.as_ref().is_some_and(is_unchanged) {
        root.problem("factors", "engines has no effect: each model has an engine of its own, or is not computed by agents");
    }
    models
}

fn models(
    sections: Vec<Section<'_, '_>>,
    folder: &Path,
    all: &Settings,
    engines: &[EngineName],
) -> Option<Vec<Model>> {
    let mut is_complete = true;
    let mut models: Vec<Model> = Vec::new();
    for mut section in sections {
        let name = section.required_text("name", "\"base\"");
        let id = section.required_text("id", "\"google/flan-t5-base\"");
        let mut path = |key| section.text(key).map(|text| resolve_model(text, folder));
        let (tokenizer, adapter) = (path("tokenizer"), path("adapter"));
        let adapter_mode = section.word("adapter_mode");
        let engine = section.word("engine");
        if adapter_mode.is_some() && adapter.is_none() {
            section.problem("adapter_mode", "has no effect without an adapter".to_owned());
        }
        let revision = section.text("revision");
        let targets = section.word_list("targets", "[\"ml.m5.xlarge\"]").unwrap_or_default();
        let baseline = section.text("baseline");
        let prompt = prompt(&mut section);
        let mut asked = section.section("generation");
        let generation = super::settings::read(&mut asked);
        asked.finish();
        let asked = generation.or(all);
        let endpoint = super::endpoint::read(&mut section, id.as_deref(), &asked);
        let is_scripted = id.as_ref().is_some_and(|id| id.starts_with("scripted:"));
        let is_computed = endpoint.is_none() && !is_scripted;
        if engine.is_some() && !is_computed {
            section.problem("engine", "only models that agents compute have an engine");
        }
        if let Some(name) = &name {
            check_name(&section, name);
            if models.iter().any(|model| model.name == *name) {
                section.problem("name", format!("duplicate model name `{name}`"));
            }
        }
        if let (Some(name), Some(id)) = (name, id) {
            let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            if let Some(baseline) = baseline.as_deref().filter(|name| !known.contains(name)) {
                let hint = hint(baseline, &known);
                section
                    .problem("baseline", format!("no earlier model is named `{baseline}`{hint}"));
            }
            let id = resolve_model(id, folder);
            let adapter_mode = adapter_mode.unwrap_or_default();
            let model = Model {
                name,
                id,
                revision,
                tokenizer,
                adapter,
                adapter_mode,
                baseline,
                targets,
                endpoint,
                engine: engine.unwrap_or_default(),
                prompt,
                generation,
            };
            let levels = if engine.is_none() && is_computed { engines } else { &[] };
            let with_engines = super::engines::expanded(model, levels);
            for model in with_engines.iter().skip(1) {
                check_name(&section, &model.name);
                if models.iter().any(|earlier| earlier.name == model.name) {
                    section.problem("name", format!("duplicate model name `{}`", model.name));
                }
            }
            models.extend(with_engines);
        } else {
            is_complete = false;
        }
        section.finish();
    }
    is_complete.then_some(models)
}

/// Names are part of cell ids and file names.
fn check_name(section: &Section<'_, '_>, name: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() > 64 || !name.chars().all(is_plain) {
        let message = "expected at most 64 letters, digits, `.`, `_` or `-`";
        section.problem("name", format!("{message}, found \"{name}\""));
    }
}

/// Default levels of the targets.
#[derive(Debug, Clone)]
struct Levels {
    dtypes: Vec<Dtype>,
    batch_sizes: Vec<u32>,
    are_overridden: bool,
    are_dtypes_overridden: bool,
}

struct Factors {
    levels: Levels,
    scenarios: Option<Vec<Scenario>>,
    search: SearchLevels,
    /// Empty if engines are no factor.
    engines: Vec<EngineName>,
}

fn factors(mut section: Section<'_, '_>, overrides: &Overrides) -> Factors {
    let mut dtypes = section.word_list("dtypes", "[\"f32\"]").unwrap_or_else(|| vec![Dtype::F32]);
    let are_dtypes_overridden = overrides.dtypes.is_some();
    if let Some(given) = &overrides.dtypes {
        dtypes.clone_from(given);
    }
    let mut batch_sizes =
        section.whole_list("batch_sizes", &BATCH_SIZES).unwrap_or_else(|| vec![1]);
    let are_overridden = overrides.batch_sizes.is_some();
    if let Some(given) = &overrides.batch_sizes {
        batch_sizes.clone_from(given);
    }
    let is_given = section.has("scenarios");
    let scenarios = section.word_list("scenarios", "[\"offline\"]");
    let scenarios = if is_given { scenarios } else { Some(vec![Scenario::Offline]) };
    let num_beams = section.whole_list("num_beams", &(1..=Settings::MOST_BEAMS));
    let lookups = section.whole_list("prompt_lookup_num_tokens", &(0..=Settings::MOST_DRAFTED));
    let search = SearchLevels {
        num_beams: num_beams.unwrap_or_default(),
        prompt_lookup_num_tokens: lookups.unwrap_or_default(),
    };
    let engines = section.word_list("engines", "[\"native\", \"candle\"]").unwrap_or_default();
    section.finish();
    let levels = Levels { dtypes, batch_sizes, are_overridden, are_dtypes_overridden };
    Factors { levels, scenarios, search, engines }
}

fn target(mut section: Section<'_, '_>, levels: &Levels) -> Option<Target> {
    let name = section.required_text("name", "\"ml.m5.xlarge\"");
    let agents = section.whole("agents", 1..=10_000).unwrap_or(1);
    let target = target_levels(&mut section, levels, name, "name");
    let usd_per_hour = section.positive("usd_per_hour");
    section.finish();
    Some(Target { agents, usd_per_hour, ..target? })
}

/// The common keys of `[[target]]` and `[[fleet.local]]`.
fn target_levels(
    section: &mut Section<'_, '_>,
    levels: &Levels,
    name: Option<String>,
    key: &str,
) -> Option<Target> {
    let dtypes = section.word_list("dtypes", "[\"f16\"]");
    let dtypes = dtypes.filter(|_| !levels.are_dtypes_overridden);
    let batch_sizes = section.whole_list("batch_sizes", &BATCH_SIZES);
    let batch_sizes = batch_sizes.filter(|_| !levels.are_overridden);
    let name = name?;
    if name.contains('@') {
        section.problem(key, "can't contain `@`");
    }
    let name = TargetName::try_from(name).map_err(|e| section.problem(key, e.to_string())).ok()?;
    Some(Target {
        name,
        agents: 1,
        dtypes: dtypes.unwrap_or_else(|| levels.dtypes.clone()),
        batch_sizes: batch_sizes.unwrap_or_else(|| levels.batch_sizes.clone()),
        usd_per_hour: None,
        local: None,
    })
}

/// `None`: as the model is prompted by default.
fn prompt(section: &mut Section<'_, '_>) -> Option<String> {
    let prompt = section.text("prompt")?;
    if prompt.matches(DIALOGUE).count() != 1 {
        section.problem("prompt", format!("expected {DIALOGUE} once, found \"{prompt}\""));
    }
    Some(prompt)
}

fn generation(mut section: Section<'_, '_>) -> Option<Generation> {
    let prompt = prompt(&mut section);
    let max_input_tokens = section.whole("max_input_tokens", 1..=16_384).unwrap_or(512);
    let stop = if section.value("stop").is_some() { section.word("stop") } else { Some(Stop::Eos) };
    let settings = super::settings::read(&mut section);
    section.finish();
    Some(Generation { prompt, max_input_tokens, stop: stop?, settings })
}

fn protocol(
    mut section: Section<'_, '_>,
    overrides: &Overrides,
    scenarios: &[Scenario],
    folder: &Path,
) -> (Protocol, Loads) {
    let runs = section.whole("runs", RUNS).unwrap_or(3);
    let warmup = section.whole("warmup", 0..=1000).unwrap_or(5);
    let order = section.word("order").unwrap_or(Order::Interleaved);
    let equal_within = section.positive("equal_within");
    let runs = overrides.runs.unwrap_or(runs);
    let precision = limits::precision(section.section("precision"), runs);
    let loads = super::load::loads(&mut section, scenarios, folder);
    if precision.is_some() && loads.stress.is_some() {
        let message =
            "can't be combined with scenario \"stress\", which has a duration: use two matrices";
        section.problem("precision", message);
    }
    let is_search = loads.server.as_ref().is_some_and(|server| server.search.is_some());
    if precision.is_some() && is_search {
        let message = "can't be combined with server.search, which has a precision of its own";
        section.problem("precision", message);
    }
    section.finish();
    (Protocol { runs, warmup, order, equal_within, precision }, loads)
}

fn cost(mut section: Section<'_, '_>, folder: &Path) -> Cost {
    let price_book = section.text("price_book").map(|path| resolve(path, folder, true));
    let service = section.text("service");
    let region = section.text("region");
    let purchase = section.text("purchase").unwrap_or_else(|| "on-demand".to_owned());
    let max_usd = section.positive("max_usd");
    for (key, value) in [("service", &service), ("region", &region)] {
        if price_book.is_some() && value.is_none() {
            section.problem(key, "is missing: required with a price book");
        }
    }
    section.finish();
    Cost { price_book, service, region, purchase, max_usd }
}

struct Fleet {
    wait: Duration,
    progress_timeout: Option<Duration>,
}

fn fleet(mut section: Section<'_, '_>, levels: &Levels, targets: &mut Vec<Target>) -> Fleet {
    let wait = section.time("wait", "a time such as \"5m\"", Duration::MAX);
    let progress_timeout =
        section.time("progress_timeout", "a time such as \"10m\"", Duration::MAX);
    if progress_timeout.is_some_and(|timeout| timeout < Duration::from_secs(1)) {
        section.problem("progress_timeout", "expected at least `1s`");
    }
    for mut local in section.sections("local") {
        let name = local.required_text("target", "\"two-threads\"");
        let target = target_levels(&mut local, levels, name, "target");
        let threads = local.whole("threads", 1..=1024).unwrap_or(1);
        let usd_per_hour = local.positive("usd_per_hour");
        let is_known = |known: &&Target| target.as_ref().is_some_and(|one| one.name == known.name);
        if targets.iter().find(is_known).is_some_and(|known| known.local.is_some()) {
            local.problem(
                "target",
                "has a local agent already; to compare two settings on this machine, name two targets",
            );
        }
        local.finish();
        if let Some(target) = target {
            match targets.iter_mut().find(|known| known.name == target.name) {
                Some(known) => {
                    known.local = Some(Local { threads });
                    known.usd_per_hour = usd_per_hour.or(known.usd_per_hour);
                }
                None => {
                    targets.push(Target { usd_per_hour, local: Some(Local { threads }), ..target });
                }
            }
        }
    }
    section.finish();
    Fleet { wait: wait.unwrap_or(Duration::from_mins(5)), progress_timeout }
}

fn telemetry(mut section: Section<'_, '_>) -> Telemetry {
    let default = Telemetry::default();
    let period = section.whole("period_ms", PERIODS_MS).map(Duration::from_millis);
    let grams_co2e_per_kwh = section.positive("grams_co2e_per_kwh");
    section.finish();
    Telemetry { period: period.unwrap_or(default.period), grams_co2e_per_kwh }
}

fn artifacts(mut section: Section<'_, '_>) -> Option<Artifacts> {
    if section.is_absent() {
        return None;
    }
    let s3 = section.required_text("s3", "\"s3://bucket/prefix\"");
    if let Some(Err(error)) = s3.as_ref().map(|text| text.parse::<model::s3_address::Address>()) {
        section.problem("s3", error.to_string());
    }
    // The maximum of S3's presigned URLs.
    let link_days = section.whole("link_days", 1..=7_u32);
    section.finish();
    Some(Artifacts { s3: s3?, link_days })
}

fn report(mut section: Section<'_, '_>) -> Report {
    let formats = section.word_list("formats", "[\"html\"]").unwrap_or_default();
    let sample_texts = section.whole("sample_texts", 0..=1000_usize).unwrap_or(0);
    section.finish();
    Report { formats, sample_texts }
}
