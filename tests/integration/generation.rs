//! Prompts and settings of generation, from the matrix to the report.

use scenarios::{Finished, Workspace, processor, repository};
use serde_json::{Value, json};

/// Few dialogues of the built-in data set on one thread. `lines` end in the section `[generation]`.
fn matrix(name: &str, model: &str, lines: &str) -> String {
    format!(
        r#"
name = "{name}"
[dataset]
source = "builtin:dialogues"
samples = 4
{model}
[protocol]
runs = 2
warmup = 0
[report]
sample_texts = 4
[[fleet.local]]
target = "here"
threads = 2
usd_per_hour = 0.1
{lines}
"#
    )
}

const TINY: &str = "[[model]]\nname = \"tiny\"\nid = \"builtin:tiny\"\n";

fn run(workspace: &Workspace, name: &str, text: &str) -> Value {
    let path = workspace.write(&format!("{name}.toml"), text);
    let path = path.to_str().expect("the path is UTF-8");
    let output = format!("{name}.json");
    let _ = workspace.run(&["run", path, "--quiet", "--output", &output]).expect(0);
    workspace.results(&output)
}

#[test]
fn another_number_of_beams_is_a_difference_in_generation() {
    let _processor = processor();
    let workspace = Workspace::default();
    let of = |beams: u32| {
        let lines = format!("[generation]\nmax_new_tokens = 8\nnum_beams = {beams}");
        matrix("beams", TINY, &lines)
    };
    let greedy = run(&workspace, "greedy", &of(1));
    let engine = &greedy["results"][0]["engine"];
    assert_eq!(engine["prompt"], "Summarize: {dialogue}");
    assert_eq!(greedy["environment"]["generation"]["prompt"], Value::Null);
    let searched = run(&workspace, "searched", &of(4));
    assert_eq!(searched["results"][0]["engine"]["decoding"]["num_beams"], 4);
    let compared = workspace.run(&["compare", "greedy.json", "searched.json"]).expect(2);
    let expected =
        "generation: greedy vs. num_beams = 4, length_penalty = 1, early_stopping = false";
    assert!(compared.err.contains(expected), "{}", compared.err);
    let named = compared.err.lines().filter(|line| line.contains(" vs. ")).count();
    assert_eq!(named, 1, "{}", compared.err);

    // A prompt that the matrix states is the one that the model has without it.
    let stated = of(1) + "\nprompt = \"Summarize: {dialogue}\"";
    run(&workspace, "stated", &stated);
    let _ = workspace.run(&["compare", "greedy.json", "stated.json"]).expect(0);
}

#[test]
fn beams_as_a_factor_and_prompts_by_family_are_in_the_report() {
    let _processor = processor();
    let workspace = Workspace::default();
    let tokenizer = repository("agent/src/model_source/tiny/tokenizer.json");
    let bart = format!(
        "[[model]]\nname = \"bart\"\nid = \"dummy:bart-base\"\ntokenizer = \"{}\"\n\
         [factors]\nnum_beams = [1, 4]\n",
        tokenizer.display()
    );
    let lines = "[generation]\nmax_new_tokens = 4\nmax_input_tokens = 32\n";
    let results = run(&workspace, "factor", &matrix("factor", &format!("{TINY}{bart}"), lines));
    let cells: Vec<&Value> = results["results"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|entry| entry["cells"].as_array().expect("a list"))
        .collect();
    let ids: Vec<&str> = cells.iter().filter_map(|cell| cell["cell"].as_str()).collect();
    assert_eq!(
        ids,
        [
            "tiny.f32.beams1.b1.offline@here",
            "tiny.f32.beams4.b1.offline@here",
            "bart.f32.beams1.b1.offline@here",
            "bart.f32.beams4.b1.offline@here"
        ]
    );
    assert!(cells.iter().all(|cell| cell["counted_samples"] == 8), "{cells:?}");
    let prompts: Vec<&Value> = results["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["engine"]["prompt"])
        .collect();
    let (of_t5, of_bart) = (json!("Summarize: {dialogue}"), json!("{dialogue}"));
    assert_eq!(prompts, [&of_t5, &of_t5, &of_bart, &of_bart]);
    let kinds: Vec<&Value> = results["comparisons"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| &pair["kind"])
        .collect();
    assert_eq!(kinds, ["num_beams", "num_beams"]);
    let report = workspace.run(&["report", "latest"]).expect(0).out;
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = "Prompts differ between the models: \"Summarize: {dialogue}\" (tiny) and \
                    \"{dialogue}\" (bart).";
    assert!(report.contains(sentence), "{report}");
}

#[test]
fn what_a_models_file_asks_for_and_no_engine_does_is_refused_by_the_plan() {
    let workspace = Workspace::default();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let bytes = std::fs::read(repository("agent/src/model_source/tiny").join(file));
        std::fs::create_dir_all(workspace.path("tiny")).expect("it can be made");
        workspace.write(&format!("tiny/{file}"), bytes.expect("it is there"));
    }
    let model = "[[model]]\nname = \"tiny\"\nid = \"./tiny\"\n";
    let path = workspace.write("matrix.toml", matrix("refused", model, ""));
    let path = path.to_str().expect("the path is UTF-8");
    let _ = workspace.run(&["plan", path]).expect(0);
    let file = |key: &str| {
        let text = format!(r#"{{"decoder_start_token_id": 0, "eos_token_id": 1, {key}}}"#);
        workspace.write("tiny/generation_config.json", text);
    };
    for (key, refused) in [
        (r#""num_beams": 4, "num_beam_groups": 2"#, "num_beam_groups = 2 is not supported"),
        (r#""penalty_alpha": 0.6, "top_k": 4"#, "penalty_alpha = 0.6 is not supported"),
        (r#""constraints": [1]"#, "constraints = [1] is not supported"),
    ] {
        file(key);
        for command in ["plan", "run"] {
            let finished = workspace.run(&[command, path]).expect(2);
            let said = &finished.err;
            assert!(
                said.contains("tiny/generation_config.json: ") && said.contains(refused),
                "{said}"
            );
        }
    }
    // The same where nobody looked before the agent did.
    workspace.write("in.jsonl", r#"{"dialogue": "Ann: Hi"}"#);
    let mut bench = workspace.agent(&["bench", "--model", "./tiny", "--input", "in.jsonl"]);
    let finished = Finished::of(&mut bench).expect(2);
    assert!(finished.err.contains("constraints = [1] is not supported"), "{}", finished.err);
}

#[test]
fn a_campaign_samples_with_its_seed_if_the_matrix_asks_for_it() {
    let _processor = processor();
    let workspace = Workspace::default();
    let of = |seed: &str| {
        let lines = format!(
            "[generation]\nmax_new_tokens = 12\ndo_sample = true\ntemperature = 2.0\n{seed}"
        );
        matrix("sampled", TINY, &lines)
    };
    let first = run(&workspace, "first", &of("seed = 3"));
    assert_eq!(
        first["results"][0]["engine"]["decoding"]["summary"],
        "sampled, temperature = 2, top_k = 50, top_p = 1, seed = 3"
    );
    let again = run(&workspace, "again", &of("seed = 3"));
    let other = run(&workspace, "other", &of("seed = 4"));
    assert_eq!(first["sample_texts"].as_array().map(Vec::len), Some(4));
    assert_eq!(first["sample_texts"], again["sample_texts"]);
    assert_ne!(first["sample_texts"], other["sample_texts"]);
    let compared = workspace.run(&["compare", "first.json", "other.json"]).expect(2);
    assert!(compared.err.contains("seed = 3 vs. sampled, "), "{}", compared.err);
}

#[test]
fn engines_are_compared_on_one_machine() {
    let _processor = processor();
    let workspace = Workspace::default();
    let tokenizer = repository("agent/src/model_source/tiny/tokenizer.json");
    let model = format!(
        "[[model]]\nname = \"flan\"\nid = \"dummy:flan-t5-small\"\ntokenizer = \"{}\"\n\
         [factors]\nengines = [\"native\", \"candle\"]\n",
        tokenizer.display()
    );
    let lines = "[generation]\nmax_new_tokens = 12\nmax_input_tokens = 32\n";
    let text = matrix("engines", &model, lines).replace("samples = 4", "samples = 2");
    let results = run(&workspace, "engines", &text);
    let entries = results["results"].as_array().expect("a list");
    let of = |entry: &Value, key: &str| entry["engine"][key].as_str().expect("a text").to_owned();
    let names: Vec<_> = entries.iter().map(|entry| of(entry, "name")).collect();
    assert_eq!(names, ["native", "candle"]);
    assert_eq!(of(&entries[1], "kernel"), "candle-transformers 0.11.1 t5, f32");
    assert_eq!(of(&entries[0], "model_sha256"), of(&entries[1], "model_sha256"));
    assert_eq!(entries[1]["model"], "flan-candle");
    let pair = &results["comparisons"][0];
    assert_eq!(pair["candidate"], "flan-candle.f32.b1.offline@here");
    let flags = pair["flags"].as_array().expect("a list").iter();
    assert!(flags.clone().any(|flag| flag["condition"] == "kernel"), "{pair}");
    let report = workspace.run(&["report", "latest", "--formats", "markdown", "--output", "-"]);
    let report = report.expect(0).out;
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    let note = "flan-candle: candle's T5 takes the encoder's position buckets in the decoder as well: from \
                output token 10 on, its logits are not those of the model, so its summaries can differ.";
    assert!(report.contains(note), "{report}");
    assert!(report.contains("### Engines against their baselines"), "{report}");

    // Nothing declares that two campaigns differ in their engines.
    let alone = |engine: &str| {
        let own = format!("\nengine = \"{engine}\"\n[factors]\nscenarios = [\"offline\"]\n");
        let model = model.replace("\n[factors]\nengines = [\"native\", \"candle\"]\n", &own);
        matrix("engines", &model, lines).replace("samples = 4", "samples = 2")
    };
    run(&workspace, "native", &alone("native"));
    run(&workspace, "candle", &alone("candle"));
    let compared = workspace.run(&["compare", "native.json", "candle.json"]).expect(2);
    assert!(compared.err.contains("engine: native vs. candle"), "{}", compared.err);
    let named = compared.err.lines().filter(|line| line.contains(" vs. ")).count();
    assert_eq!(named, 1, "{}", compared.err);
}

/// candle's threads are those of the process: agents that `run` starts have as many as they are told.
#[test]
fn both_engines_compute_the_blocks_of_a_gguf_file() {
    let _processor = processor();
    let workspace = Workspace::default();
    let file = repository("agent/gguf/tests/smollm.gguf");
    let model = format!(
        "[[model]]\nname = \"smol\"\nid = \"{}\"\n\
         [factors]\nengines = [\"native\", \"candle\"]\ndtypes = [\"gguf\"]\n",
        file.display()
    );
    let lines = "[generation]\nstop = \"reference\"\nmax_new_tokens = 32\nmax_input_tokens = 256\n";
    let text = matrix("blocks", &model, lines).replace("samples = 4", "samples = 2");
    let results = run(&workspace, "blocks", &text);
    let entries = results["results"].as_array().expect("a list");
    let kernels: Vec<_> = entries.iter().map(|entry| &entry["engine"]["kernel"]).collect();
    assert_eq!(kernels.len(), 2);
    assert_eq!(*kernels[1], "candle-transformers 0.11.1 quantized_llama, gguf");
    for entry in entries {
        let cell = &entry["cells"][0];
        assert_eq!(cell["failed_samples"], 0, "{cell}");
        for phase in ["prefill_tokens_per_s", "decode_tokens_per_s"] {
            assert!(cell["phases"][phase]["value"].as_f64() > Some(0.0), "{phase}: {cell}");
        }
    }
}

#[test]
fn what_candle_cannot_do_is_refused_before_anything_is_measured() {
    let workspace = Workspace::default();
    let tokenizer = repository("agent/src/model_source/tiny/tokenizer.json");
    let bart = |id: &str| {
        let tokenizer = tokenizer.display();
        let text = format!(
            "{TINY}[[model]]\nname = \"bart\"\nid = \"{id}\"\ntokenizer = \"{tokenizer}\"\n\
             engine = \"candle\"\n"
        );
        let path = workspace.write("matrix.toml", matrix("refused", &text, ""));
        path.to_str().expect("the path is UTF-8").to_owned()
    };
    let refused = "engine candle has no model_type `bart`: expected t5, qwen2, qwen3, llama, or engine \
                   native";
    let folder = repository("agent/tests/families/bart");
    let planned = workspace.run(&["plan", &bart(folder.to_str().expect("it is UTF-8"))]).expect(2);
    assert!(planned.err.contains(refused), "{}", planned.err);
    // The controller doesn't know the shapes of dummies: the agent says so.
    let run = workspace.run(&["run", &bart("dummy:bart-base"), "--quiet"]).expect(2);
    let said = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("here can't run bart.f32.b1.offline@here: "), "{said}");
    assert!(said.contains(refused), "{said}");

    workspace.write("in.jsonl", r#"{"dialogue": "Ann: Hi"}"#);
    let input = ["--model", "builtin:tiny", "--engine", "candle", "--input", "in.jsonl"];
    let output = ["--output", "out.jsonl"];
    for (command, options, words) in [
        (
            ["generate"].as_slice(),
            ["--batch-size", "2"].as_slice(),
            "use batch size 1 instead of 2",
        ),
        (&["generate"], &["--num-beams", "2"], "found num_beams = 2, "),
        (&["generate"], &["--dtype", "int8"], "set dtype f32 or gguf instead of int8"),
        (&["bench"], &["--batch-size", "1,8"], "use batch size 1 instead of 8"),
        (&["bench"], &["--predict", "T4"], "engine candle computes on the CPU only"),
    ] {
        let output = if command == ["generate"] { output.as_slice() } else { &[] };
        let arguments = [command, &input, options, output].concat();
        let finished = Finished::of(&mut workspace.agent(&arguments)).expect(2);
        assert!(finished.err.contains(words), "{}", finished.err);
    }
    let options = ["serve", "--model", "builtin:tiny", "--engine", "candle", "--batch-size", "4"];
    let served = Finished::of(&mut workspace.agent(&options)).expect(2);
    assert!(
        served.err.contains("use batch size 1 instead of 4, or engine native"),
        "{}",
        served.err
    );
}
