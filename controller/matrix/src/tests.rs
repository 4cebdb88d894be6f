//! Defaults, limits and problems of matrix.toml.

mod agents_together;
mod asked;
mod closed_search;
mod endpoints;
mod traces;

use super::*;
use crate::plan::Plan;
use model::generation::{EarlyStopping, Settings};

const SMALL: &str = r#"
name = "small"
[dataset]
source = "builtin:dialogues"
samples = 8
[[model]]
name = "tiny"
id = "builtin:tiny"
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"#;

fn check(text: &str) -> Result<Matrix, Error> {
    Matrix::check(text, "matrix.toml", Path::new("/m"), &Overrides::default())
}

#[test]
fn a_small_matrix_gets_the_defaults() {
    let matrix = check(SMALL).unwrap();
    assert_eq!(
        matrix.protocol,
        Protocol {
            runs: 3,
            warmup: 5,
            order: Order::Interleaved,
            equal_within: None,
            precision: None
        }
    );
    assert_eq!(matrix.targets[0].batch_sizes, [1]);
    assert_eq!(matrix.targets[0].dtypes, [Dtype::F32]);
    assert_eq!(matrix.generation.settings, Settings::default());
    assert_eq!(matrix.wait, Duration::from_mins(5));
}

#[test]
fn an_adapter_mode_requires_an_adapter() {
    let with = |lines: &str| {
        SMALL.replace("id = \"builtin:tiny\"", &format!("id = \"builtin:tiny\"\n{lines}"))
    };
    let adapter = "adapter = \"builtin:tiny-minutes\"\n";
    let mode = |lines: &str| check(&with(lines)).map(|matrix| matrix.models[0].adapter_mode);
    assert_eq!(mode(adapter).unwrap(), AdapterMode::Merged);
    let unmerged = "adapter_mode = \"unmerged\"";
    assert_eq!(mode(&format!("{adapter}{unmerged}")).unwrap(), AdapterMode::Unmerged);
    let error = mode(unmerged).unwrap_err().to_string();
    assert!(error.contains("has no effect without an adapter"), "{error}");
    let error = mode(&format!("{adapter}adapter_mode = \"both\"")).unwrap_err().to_string();
    assert!(
        error.contains("unknown adapter mode `both`: expected one of merged, unmerged"),
        "{error}"
    );
}

#[test]
fn all_problems_are_reported_at_once_with_line_and_path() {
    let text = r#"
name = ""
sede = 7
[dataset]
source = "builtin:dialogues"
samples = -3
[[model]]
name = "base"
id = "google/flan-t5-base"
adaptor = "x"
[[model]]
name = "lora"
id = "google/flan-t5-base"
baseline = "bese"
[factors]
dtypes = ["fp32"]
batch_sizes = [1, 0, "8", 1]
scenarios = []
[[target]]
name = "ml.m5.xlarge"
agents = 0
[generation]
prompt = "Summarize:"
stop = "never"
[protocol]
runs = 0
warmup = 1.5
[cost]
price_book = "prices.toml"
[fleet]
wait = "5 minutes"
[report]
formats = ["docx"]
"#;
    insta::assert_snapshot!(check(text).unwrap_err().to_string());
}

#[test]
fn a_syntax_error_has_a_line() {
    insta::assert_snapshot!(check("name = \"x\"\n[dataset\n").unwrap_err().to_string());
}

#[test]
fn an_empty_file_lists_the_required_keys() {
    insta::assert_snapshot!(check("").unwrap_err().to_string());
}

#[test]
fn paths_are_relative_to_the_matrix_and_hub_ids_are_unchanged() {
    let text = SMALL.replace("builtin:dialogues", "../data/a.jsonl").replace(
        "id = \"builtin:tiny\"",
        "id = \"google/flan-t5-base\"\ntokenizer = \"t.json\"\nadapter = \"./lora\"",
    );
    let matrix = check(&text).unwrap();
    assert_eq!(matrix.dataset.source, "/m/../data/a.jsonl");
    assert_eq!(matrix.models[0].id, "google/flan-t5-base");
    assert_eq!(matrix.models[0].tokenizer.as_deref(), Some("/m/t.json"));
    assert_eq!(matrix.models[0].adapter.as_deref(), Some("/m/./lora"));
}

#[test]
fn the_command_line_overrides_the_matrix() {
    let overrides = Overrides {
        runs: Some(2),
        samples: Some(4),
        batch_sizes: Some(vec![1, 8]),
        ..Overrides::default()
    };
    let text = SMALL.replace("threads = 1", "threads = 1\nbatch_sizes = [4]");
    let matrix = Matrix::check(&text, "m", Path::new("/"), &overrides).unwrap();
    assert_eq!((matrix.protocol.runs, matrix.dataset.samples), (2, 4));
    assert_eq!(matrix.targets[0].batch_sizes, [1, 8]);
}

#[test]
fn a_local_agent_joins_the_target_of_its_name() {
    let text = format!("{SMALL}\n[[target]]\nname = \"here\"\nagents = 2\n");
    let matrix = check(&text).unwrap();
    assert_eq!(matrix.targets.len(), 1);
    assert_eq!(matrix.targets[0].agents, 2);
    assert_eq!(matrix.targets[0].local, Some(Local { threads: 1 }));
}

#[test]
fn a_second_local_agent_of_a_target_is_reported_with_its_line() {
    let local = "[[fleet.local]]\ntarget = \"here\"\nthreads = 2\n";
    let error = check(&format!("{SMALL}{local}{local}")).unwrap_err().to_string();
    assert!(error.contains("fleet.local[2].target: has a local agent already"), "{error}");
}

#[test]
fn the_quality_margin_is_a_difference_of_rouge_l() {
    let margin = |text: &str| check(&format!("{SMALL}[decision]\nquality_margin = {text}\n"));
    assert_eq!(margin("0.05").unwrap().decision.quality_margin.to_string(), "0.05");
    assert_eq!(check(SMALL).unwrap().decision.quality_margin.to_string(), "0.02");
    assert!(margin("2").unwrap_err().to_string().contains("below 1"));
    assert!(margin("-0.1").is_err());
}

#[test]
fn an_objective_needs_a_reported_percentile() {
    let with = |slo: &str| check(&format!("{SMALL}[slo]\n{slo}\n"));
    let slo = with("request_latency_ms = 500").unwrap().slo.unwrap();
    assert_eq!(
        (slo.request_latency_ms, slo.percentile.to_string(), slo.error_rate),
        (Some(500.0), "95".to_owned(), None)
    );
    let slo = with("ttft_ms = 200\ntpot_ms = 30\nerror_rate = 0.01").unwrap().slo.unwrap();
    assert_eq!(
        (slo.request_latency_ms, slo.ttft_ms, slo.tpot_ms, slo.error_rate),
        (None, Some(200.0), Some(30.0), Some(0.01))
    );
    let problem = with("ttft_ms = 200\nerror_rate = 5").unwrap_err().to_string();
    assert!(problem.contains("slo.error_rate: expected a share below 1"), "{problem}");
    assert_eq!(check(SMALL).unwrap().slo, None);
    let problem = with("request_latency_ms = 500\npercentile = 97").unwrap_err().to_string();
    assert!(problem.contains("slo.percentile: expected 50, 90, 95, 99 or 99.9"), "{problem}");
    let problem = with("percentile = 99").unwrap_err().to_string();
    assert!(problem.contains("slo.request_latency_ms: is missing"), "{problem}");
}

#[test]
fn max_runs_of_precision_is_at_least_the_minimum_number_of_runs() {
    let with = |precision: &str| {
        check(&format!("{SMALL}[protocol]\nruns = 3\nprecision = {{ {precision} }}\n"))
    };
    let protocol = with("half_width = 0.05, max_runs = 10").unwrap().protocol;
    assert_eq!((protocol.runs, protocol.most_runs()), (3, 10));
    for (precision, problem) in [
        ("half_width = 0.05, max_runs = 2", "max_runs: is less than the 3 runs"),
        ("half_width = 5, max_runs = 10", "half_width: expected a share of the mean below 1"),
        ("half_width = 0.05", "max_runs: is missing"),
        ("max_runs = 5", "half_width: is missing"),
    ] {
        let error = with(precision).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_budget_is_an_amount_above_zero() {
    let with = |budget: &str| check(&format!("{SMALL}[cost]\nmax_usd = {budget}\n"));
    assert_eq!(with("0.5").unwrap().cost.max_usd, Some(0.5));
    assert!(
        with("0").unwrap_err().to_string().contains("cost.max_usd: expected a number above zero")
    );
}

fn with_protocol(scenarios: &str, lines: &str) -> Result<Matrix, Error> {
    check(&format!("{SMALL}[factors]\nscenarios = [{scenarios}]\n[protocol]\n{lines}\n"))
}

#[test]
fn the_default_window_depends_on_the_duration_of_the_load() {
    let windows = |stress: &str| {
        let matrix = with_protocol("\"stress\"", &format!("stress = {{ {stress} }}")).unwrap();
        let stress = matrix.loads.stress.unwrap();
        (stress.window.as_secs(), stress.windows())
    };
    assert_eq!(windows("duration = \"5m\""), (1, 300));
    assert_eq!(windows("duration = \"1h\""), (12, 300));
    assert_eq!(windows("duration = \"3d\""), (60, 4320));
    assert_eq!(windows("duration = \"10s\", window = \"3s\""), (3, 4));
}

#[test]
fn a_search_replaces_the_rates_and_needs_an_objective() {
    let with = |server: &str, more: &str| {
        check(&format!(
            "{SMALL}[factors]\nscenarios = [\"server\"]\n[protocol]\nserver = {{ {server} }}\n{more}\n"
        ))
    };
    let slo = "[slo]\nttft_ms = 200";
    let found = with("search = { lowest = 1, highest = 16 }", slo).unwrap();
    let search = *found.search().unwrap();
    assert_eq!((search.resolution.to_string(), search.max_runs), ("0.2".to_owned(), 30));
    let rates = &found.loads.server.as_ref().unwrap().request_rates;
    // Four gaps are 20%.
    assert!((rates[4] / rates[0] - 1.2).abs() < 1e-3 && rates.is_sorted(), "{rates:?}");
    assert!((15.5..16.8).contains(rates.last().unwrap()), "{rates:?}");
    let plan = plan::Plan::make(&found, 8).unwrap();
    assert_eq!(plan.searches(&found), [(0..rates.len()).collect::<Vec<_>>()]);
    assert_eq!(plan.runs.len(), rates.len() * 30);
    for (server, more, problem) in [
        ("search = { lowest = 1, highest = 16 }", "", "slo: is missing"),
        ("search = { highest = 16 }", slo, "server.search.lowest: is missing"),
        ("search = { lowest = 9, highest = 16 }", slo, "at least twice `lowest`"),
        ("search = { lowest = 1, highest = 9999 }", slo, "at most 1024 times `lowest`"),
        ("search = { lowest = 1, highest = 9, resolution = 0.01 }", slo, "from 0.05 to below 1"),
        (
            "request_rates = [2], search = { lowest = 1, highest = 9 }",
            slo,
            "has no effect with request_rates",
        ),
        ("arrivals = \"poisson\"", slo, "server.request_rates: is missing"),
    ] {
        let error = with(server, more).unwrap_err().to_string();
        assert!(error.contains(problem), "{server}: {error}");
    }
    let precise = "precision = { half_width = 0.05, max_runs = 9 }\n[slo]\nttft_ms = 200";
    let error = with("search = { lowest = 1, highest = 16 }", precise).unwrap_err().to_string();
    assert!(error.contains("can't be combined with server.search"), "{error}");
}

#[test]
fn a_server_has_a_queue_and_rates_above_zero() {
    let server =
        "server = { request_rates = [0.5, 2], arrivals = \"constant\", max_batch_delay_ms = 20 }";
    let server = with_protocol("\"server\"", server).unwrap().loads.server.unwrap();
    assert_eq!(server.request_rates, [0.5, 2.0]);
    let max_batch_delay = Duration::from_millis(20);
    let (arrivals, batching) = (Arrivals::Constant, Batching::Dynamic);
    let (max_queue, max_in_flight) = (1000, 1000);
    let gap_cv = None;
    let expected = Queue { arrivals, gap_cv, max_batch_delay, max_queue, batching, max_in_flight };
    assert_eq!(server.queue, expected);
}

#[test]
fn a_rate_has_bursts_ramps_and_steps() {
    let server = "request_rates = [5], arrivals = \"gamma\", gap_cv = 2.5, rate_profile = [
        { at = \"0s\", factor = 0.5 }, { at = \"1m\", factor = 2 }, { at = \"1m\", factor = 1 }]";
    let server = with_protocol("\"server\"", &format!("server = {{ {server} }}"));
    let server = server.unwrap().loads.server.unwrap();
    assert_eq!((server.queue.arrivals, server.queue.gap_cv), (Arrivals::Gamma, Some(2.5)));
    let points: Vec<(u64, f64)> =
        server.rate_profile.points().iter().map(|point| (point.at_ns, point.factor)).collect();
    assert_eq!(points, [(0, 0.5), (60_000_000_000, 2.0), (60_000_000_000, 1.0)]);

    let stress = "stress = { duration = \"5m\", request_rate = 5, gap_cv = 2, rate_profile = [
        { at = \"6m\", factor = 1 }, { at = \"soon\", factor = 0 }, { factor = 1, rate = 2 }] }";
    let error = with_protocol("\"stress\"", stress).unwrap_err().to_string();
    for problem in [
        "gap_cv: has no effect without arrivals = \"gamma\"",
        "rate_profile[0].at: is after the end of the load",
        "rate_profile[1].at: expected a time such as",
        "rate_profile[1].factor: expected a number above zero",
        "rate_profile[2].at: is missing",
        "rate_profile[2].rate: unknown key",
    ] {
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
    for (stress, problem) in [
        ("request_rate = 5, arrivals = \"gamma\"", "gap_cv: is missing"),
        ("request_rate = 5, arrivals = \"gamma\", gap_cv = 11", "from 0.01 to 10"),
        ("rate_profile = [{ at = \"1m\", factor = 2 }]", "rate_profile: has no effect in closed"),
        (
            "request_rate = 1, rate_profile = [{ at = \"2m\", factor = 2 }, { at = \"1m\", factor = 2 }]",
            "rate_profile: point 1 is earlier than the one before it",
        ),
        ("request_rate = 1, rate_profile = [{ at = \"2m\", factor = 2000 }]", "0.001 to 1000"),
    ] {
        let stress = format!("stress = {{ duration = \"5m\", {stress} }}");
        let error = with_protocol("\"stress\"", &stress).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
}

#[test]
fn contradictions_in_a_load_are_all_reported() {
    let stress = "stress = { duration = \"5m\", window = \"6m\", concurrency = 2, request_rate = 1 }\n\
                  precision = { half_width = 0.05, max_runs = 9 }";
    let error = with_protocol("\"stress\"", stress).unwrap_err().to_string();
    for problem in [
        "set either concurrency (closed loop) or request_rate (open loop)",
        "is longer than the duration of the load",
        "has a duration",
    ] {
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
    let closed = "stress = { duration = \"5m\", max_queue = 7 }";
    let error = with_protocol("\"stress\"", closed).unwrap_err().to_string();
    assert!(error.contains("max_queue: has no effect in closed loop"), "{error}");
}

fn check_model(lines: &str) -> Result<Matrix, Error> {
    check(&SMALL.replace("id = \"builtin:tiny\"", lines))
}

#[test]
fn a_target_measures_either_endpoints_or_loaded_models() {
    let both = "id = \"builtin:tiny\"\n[[model]]\nname = \"hosted\"\nid = \"https://h/x\"";
    let error = check_model(both).unwrap_err().to_string();
    assert!(error.contains("here can't be the price of both"), "{error}");
    let other = "\n[[target]]\nname = \"there\"\nusd_per_hour = 1";
    let apart = both
        .replacen("tiny\"", "tiny\"\ntargets = [\"here\"]", 1)
        .replace("h/x\"", "h/x\"\ntargets = [\"there\"]");
    let text = format!("{}{other}", SMALL.replace("id = \"builtin:tiny\"", &apart));
    let matrix = check(&text).unwrap();
    let there = matrix.targets.iter().find(|target| target.name.as_str() == "there").unwrap();
    assert!(matrix.asks_endpoints(&there.name));
    let plan = Plan::make(&matrix, 8).unwrap();
    let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids, ["hosted.f32.b1.offline@there", "tiny.f32.b1.offline@here"]);
    let idle = check(&format!(
        "{}{other}",
        SMALL.replace("id = \"builtin:tiny\"", "id = \"builtin:tiny\"\ntargets = [\"here\"]")
    ));
    assert!(idle.unwrap_err().to_string().contains("no model is measured on there"));
    let twice = check(&format!("{}{other}", SMALL.replace("builtin:tiny", "https://h/x")));
    assert!(twice.unwrap_err().to_string().contains("would queue behind each other"));
}

#[test]
fn a_budget_below_the_estimate_and_batches_that_are_never_full_are_warned_of() {
    use crate::plan::{estimate::Estimate, text::Price, warnings};
    let warned = |lines: &str, samples: usize| {
        let matrix = check(&format!("{SMALL}{lines}")).unwrap();
        let plan = Plan::make(&matrix, samples).unwrap();
        // 1 USD a second.
        let price = Price { usd_per_hour: 3600.0, source: "matrix".to_owned() };
        warnings(&plan, &matrix, &[price], &Estimate::assumed(&plan, &matrix))
    };
    let sizes = |sizes: &str| format!("[factors]\nbatch_sizes = [{sizes}]\n");
    assert_eq!(warned(&sizes("1, 8"), 8), [""; 0]);
    let never_full = warned(&sizes("1, 8, 64, 32"), 8);
    assert_eq!(
        never_full,
        [
            "a run has 8 dialogues, so batches of 32, 64 are never full, and their figures are those of a smaller \
             batch: set dataset.samples to 64 or more, or remove these batch sizes"
        ]
    );
    assert_eq!(warned("[cost]\nmax_usd = 1e6\n", 8), [""; 0]);
    let budget = warned("[cost]\nmax_usd = 0.001\n", 8).remove(0);
    assert!(budget.starts_with("cost.max_usd is 0.001 USD, below the estimated cost of "));
    assert!(budget.contains("raise it (--max-usd), or measure fewer"), "{budget}");
    // The windows of a sustained load are no dialogues.
    let stress = "[factors]\nscenarios = [\"stress\"]\nbatch_sizes = [64]\n\
                  [protocol]\nstress = { duration = \"1m\" }\n";
    assert_eq!(warned(stress, 8), [""; 0]);
}

fn with_settings(lines: &str) -> Result<Settings, Error> {
    let matrix = check(&format!("{SMALL}[generation]\n{lines}"))?;
    Ok(matrix.generation.settings)
}

#[test]
fn settings_of_generation_are_read_with_their_limits() {
    let settings = with_settings(
        "num_beams = 4\nlength_penalty = -1\nearly_stopping = \"never\"\nmin_length = 0\n\
         max_length = 142\nrepetition_penalty = 1.2\nforced_eos_token_id = 2\nsuppress_tokens = [3, 4]",
    );
    let expected = Settings {
        num_beams: Some(4),
        length_penalty: Some(-1.0),
        early_stopping: Some(EarlyStopping::Never),
        min_length: Some(0),
        max_length: Some(142),
        repetition_penalty: Some(1.2),
        forced_eos_token_id: Some(vec![2]),
        suppress_tokens: Some(vec![3, 4]),
        ..Settings::default()
    };
    assert_eq!(settings.unwrap(), expected);
    let error = with_settings(
        "num_beams = 33\nlength_penalty = \"long\"\nearly_stopping = 1\nmax_length = 9\nmax_new_tokens = 8\n\
         repetition_penalty = 0\nforced_bos_token_id = -1\nnum_beam_groups = 2\npenalty_alpha = 0.6\ntypical_p = 0.9\nnum_beam = 3",
    );
    let error = error.unwrap_err().to_string();
    for problem in [
        "generation.num_beams: expected a whole number from 1 to 32, found 33",
        "generation.length_penalty: expected a number, found the string \"long\"",
        "generation.early_stopping: expected true, false or \"never\"",
        "generation.max_length: has no effect beside max_new_tokens: remove one of them",
        "generation.repetition_penalty: expected a number above zero",
        "generation.forced_bos_token_id: expected a whole number",
        "generation.num_beam_groups: is not supported",
        "generation.penalty_alpha: is not supported",
        "generation.typical_p: is not supported",
        "generation.num_beam: unknown key; did you mean `num_beams`?",
    ] {
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
}

#[test]
fn sampling_has_the_seed_of_the_matrix_and_no_beams() {
    let asked = |lines: &str| {
        let matrix = check(&format!("seed = 9\n{SMALL}[generation]\n{lines}"))?;
        Ok::<_, Error>(matrix.asked(&matrix.models[0], &Settings::default()).settings)
    };
    let settings = asked("do_sample = true\ntemperature = 0.7\ntop_k = 0\ntop_p = 1").unwrap();
    let expected = Settings {
        do_sample: Some(true),
        temperature: Some(0.7),
        top_k: Some(0),
        top_p: Some(1.0),
        seed: Some(9),
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    assert_eq!(asked("do_sample = true\nseed = 4").unwrap().seed, Some(4));
    assert_eq!(asked("do_sample = false").unwrap().seed, None);
    let error = |lines: &str| asked(lines).unwrap_err().to_string();
    let refused = error("temperature = 0\ntop_p = 1.5\ndo_sample = 1");
    for problem in [
        "generation.temperature: expected a number above zero",
        "generation.top_p: expected a number above 0, at most 1",
        "generation.do_sample: expected true or false",
    ] {
        assert!(refused.contains(problem), "{problem} is missing in {refused}");
    }
    let without = error("seed = 4");
    assert!(
        without.contains("seed has no effect without do_sample = true (model tiny)"),
        "{without}"
    );
    let beams = error("do_sample = true\nnum_beams = 2");
    assert!(
        beams.contains("do_sample can't be combined with num_beams above 1 (model tiny)"),
        "{beams}"
    );
    let drafts = error("do_sample = true\nprompt_lookup_num_tokens = 8");
    assert!(
        drafts.contains(
            "prompt_lookup_num_tokens can't be combined with do_sample: only greedy decoding can check drafts (model tiny)"
        ),
        "{drafts}"
    );
    let factor = error("do_sample = true\n[factors]\nnum_beams = [1, 2]");
    assert!(
        factor.contains("do_sample can't be combined with num_beams above 1 (model tiny)"),
        "{factor}"
    );
}

#[test]
fn an_endpoint_has_settings_of_its_own() {
    let endpoint = SMALL.replace("id = \"builtin:tiny\"", "id = \"https://h.example/v1\"");
    let with = |lines: &str| check(&format!("{endpoint}[generation]\n{lines}"));
    assert!(with("max_length = 20").is_ok());
    let error = with("num_beams = 4").unwrap_err().to_string();
    assert!(
        error.contains(
            "tiny is an endpoint, which has settings of its own: remove generation.num_beams"
        ),
        "{error}"
    );
}

#[test]
fn metrics_are_those_of_the_endpoints_server() {
    let at = |endpoint: &str| {
        let lines = format!(
            "id = \"https://models.example/v1/completions?key=1\"\n[model.endpoint]\n{endpoint}"
        );
        check_model(&lines)
    };
    let url = |endpoint: &str| {
        at(endpoint).unwrap().models[0].endpoint.as_ref().unwrap().metrics_url.clone()
    };
    let api = "api = \"openai-completions\"\nmodel = \"m\"";
    assert_eq!(url(api).as_deref(), Some("https://models.example/metrics"));
    assert_eq!(url(&format!("{api}\nmetrics_url = \"none\"")), None);
    assert_eq!(url(""), None);
    let own = "http://models.example:9090/stats";
    assert_eq!(url(&format!("metrics_url = \"{own}\"")).as_deref(), Some(own));
    for other in ["http://other.example/metrics", "metrics", "file:///etc/passwd"] {
        let error = at(&format!("metrics_url = \"{other}\"")).unwrap_err().to_string();
        assert!(error.contains("expected a URL on the endpoint's host"), "{other}: {error}");
    }
    let sagemaker =
        "id = \"sagemaker:summaries\"\n[model.endpoint]\nmetrics_url = \"http://a/metrics\"";
    let error = check_model(sagemaker).unwrap_err().to_string();
    assert!(error.contains("only endpoints with a URL have metrics"), "{error}");
}
