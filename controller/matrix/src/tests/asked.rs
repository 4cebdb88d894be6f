//! What models are asked for: prompts, settings of their own, and beams as a factor.

use super::*;
use crate::plan::{PairKind, pairs};

#[test]
fn a_model_is_asked_in_its_own_way_where_it_says_so() {
    let text = format!(
        "{SMALL}[[model]]\nname = \"other\"\nid = \"builtin:tiny\"\nprompt = \"{{dialogue}} TL;DR\"\n\
         generation = {{ num_beams = 4, max_length = 9 }}\n\
         [generation]\nnum_beams = 2\nmax_new_tokens = 64\nlength_penalty = 2.0\n"
    );
    let matrix = check(&text).unwrap();
    let [first, other] =
        [0, 1].map(|model| matrix.asked(&matrix.models[model], &Settings::default()));
    assert_eq!(first, matrix.generation);
    assert_eq!(first.prompt, None);
    assert_eq!(other.prompt.as_deref(), Some("{dialogue} TL;DR"));
    let expected = Settings {
        num_beams: Some(4),
        max_length: Some(9),
        length_penalty: Some(2.0),
        ..Settings::default()
    };
    assert_eq!(other.settings, expected);
    let plan = Plan::make(&matrix, 4).unwrap();
    assert_eq!(
        plan.asked(&matrix)[0].iter().map(|it| &it.generation).collect::<Vec<_>>(),
        [&first, &other]
    );
    let error = check(&text.replace("TL;DR", "{dialogue}")).unwrap_err().to_string();
    assert!(error.contains("model[1].prompt: expected {dialogue} once"), "{error}");
    let error = check(&text.replace("max_length = 9", "stop = \"eos\"")).unwrap_err().to_string();
    assert!(error.contains("model[1].generation.stop: unknown key"), "{error}");
}

#[test]
fn plans_of_before_ask_all_engines_for_what_the_matrix_says() {
    let matrix = check(SMALL).unwrap();
    let mut plan = serde_json::to_value(Plan::make(&matrix, 4).unwrap()).unwrap();
    let engine = plan["engines"][0][0].as_object_mut().unwrap();
    assert!(engine.remove("generation").is_some());
    let plan: Plan = serde_json::from_value(plan).unwrap();
    assert_eq!(plan.asked(&matrix)[0][0].generation, matrix.generation);
}

#[test]
fn beams_are_a_factor_whose_levels_are_compared_with_the_first() {
    let matrix =
        check(&format!("{SMALL}[factors]\nnum_beams = [1, 4]\ndtypes = [\"f32\", \"int8\"]\n"));
    let matrix = matrix.unwrap();
    let plan = Plan::make(&matrix, 4).unwrap();
    let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "tiny.f32.beams1.b1.offline@here",
            "tiny.f32.beams4.b1.offline@here",
            "tiny.int8.beams1.b1.offline@here",
            "tiny.int8.beams4.b1.offline@here"
        ]
    );
    let beams: Vec<_> =
        plan.asked(&matrix)[0].iter().map(|engine| engine.generation.settings.num_beams).collect();
    assert_eq!(beams, [Some(1), Some(4), Some(1), Some(4)]);
    let pairs: Vec<_> = pairs(&plan, &matrix)
        .into_iter()
        .map(|pair| (pair.baseline, pair.candidate, pair.kind))
        .collect();
    assert_eq!(
        pairs,
        [
            (0, 1, PairKind::NumBeams),
            (0, 2, PairKind::Dtype),
            (1, 3, PairKind::Dtype),
            (2, 3, PairKind::NumBeams)
        ]
    );
}

#[test]
fn prompt_lookup_is_a_factor_whose_levels_are_compared_with_the_first() {
    let matrix = check(&format!("{SMALL}[factors]\nprompt_lookup_num_tokens = [0, 8]\n")).unwrap();
    let plan = Plan::make(&matrix, 4).unwrap();
    let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids, ["tiny.f32.lookup0.b1.offline@here", "tiny.f32.lookup8.b1.offline@here"]);
    let asked = plan.asked(&matrix);
    let tokens = asked[0].iter().map(|it| it.generation.settings.prompt_lookup_num_tokens);
    assert_eq!(tokens.collect::<Vec<_>>(), [Some(0), Some(8)]);
    let pairs = pairs(&plan, &matrix);
    assert_eq!(
        pairs,
        [crate::plan::CellPair { baseline: 0, candidate: 1, kind: PairKind::PromptLookup }]
    );
    for (more, problem) in [
        (
            "[generation]\nprompt_lookup_num_tokens = 4\n",
            "prompt_lookup_num_tokens is a factor: remove generation.prompt_lookup_num_tokens",
        ),
        (
            "[generation]\nnum_beams = 4\n",
            "prompt_lookup_num_tokens can't be combined with num_beams above 1",
        ),
    ] {
        let text = format!("{SMALL}[factors]\nprompt_lookup_num_tokens = [0, 8]\n{more}");
        let error = check(&text).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
}

#[test]
fn what_is_a_factor_is_not_set_elsewhere() {
    let endpoint = "id = \"https://h.example/v1\"\ngeneration = { num_beams = 2 }";
    let text = SMALL.replace("id = \"builtin:tiny\"", endpoint)
        + "[factors]\nnum_beams = [1, 4]\n[generation]\nnum_beams = 4\n";
    let error = check(&text).unwrap_err().to_string();
    for problem in [
        "factors: num_beams is a factor: remove generation.num_beams\n",
        "factors: num_beams is a factor: remove generation.num_beams of tiny\n",
        "factors: tiny is an endpoint, which has settings of its own: num_beams can't be a factor",
        "tiny is an endpoint, which has settings of its own: remove generation.num_beams",
    ] {
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
}

#[test]
fn engines_are_a_factor_whose_levels_are_models_compared_with_the_first() {
    let text = format!("{SMALL}[factors]\nengines = [\"native\", \"candle\"]\n");
    let matrix = check(&text).unwrap();
    let plan = Plan::make(&matrix, 4).unwrap();
    let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids, ["tiny.f32.b1.offline@here", "tiny-candle.f32.b1.offline@here"]);
    let asked = plan.asked(&matrix);
    let engines: Vec<_> = asked[0].iter().map(|asked| asked.spec.engine.as_str()).collect();
    assert_eq!(engines, ["native", "candle"]);
    let pairs = pairs(&plan, &matrix);
    assert_eq!(pairs, [crate::plan::CellPair { baseline: 0, candidate: 1, kind: PairKind::Model }]);
    let own = check(
        &SMALL.replace("id = \"builtin:tiny\"", "id = \"builtin:tiny\"\nengine = \"candle\""),
    );
    assert_eq!(own.unwrap().models[0].engine.as_str(), "candle");
    let mixed = text.replace(
        "[[fleet.local]]",
        "[[model]]\nname = \"bart\"\nid = \"dummy:bart-base\"\nengine = \"native\"\n[[fleet.local]]",
    );
    let names = check(&mixed).unwrap().models.into_iter().map(|model| model.name);
    assert_eq!(names.collect::<Vec<_>>(), ["tiny", "tiny-candle", "bart"]);
    for (from, to, problem) in [
        (
            "id = \"builtin:tiny\"",
            "id = \"builtin:tiny\"\nengine = \"candle\"",
            "engines has no effect: each model has an engine of its own",
        ),
        (
            "id = \"builtin:tiny\"",
            "id = \"https://h/v1\"",
            "engines has no effect: each model has an engine of its own, or is not computed by agents",
        ),
        (
            "id = \"builtin:tiny\"",
            "id = \"builtin:tiny\"\n[[model]]\nname = \"tiny-candle\"\nid = \"builtin:tiny\"",
            "duplicate model name `tiny-candle`",
        ),
        (
            "[[model]]\n",
            "[[model]]\nname = \"tiny-candle\"\nid = \"builtin:tiny\"\nengine = \"candle\"\n[[model]]\n",
            "duplicate model name `tiny-candle`",
        ),
        (
            "[factors]\n",
            "[factors]\nbatch_sizes = [1, 8]\n",
            "tiny-candle runs on engine candle, which computes one request at a time: batch_sizes of here must be [1], found 8",
        ),
        (
            "[factors]\n",
            "[factors]\ndtypes = [\"f32\", \"int8\"]\n",
            "tiny-candle runs on engine candle, which computes in f32, or with the blocks of a GGUF file: dtypes of here must be \"f32\" or \"gguf\", found int8",
        ),
        (
            "[factors]\n",
            "[factors]\nnum_beams = [1, 4]\n",
            "tiny-candle runs on engine candle, which takes the most likely token of each step, found num_beams = 4, ",
        ),
        (
            "[factors]\n",
            "[generation]\nrepetition_penalty = 1.3\nprompt_lookup_num_tokens = 2\n[factors]\n",
            "found greedy, repetition_penalty = 1.3, prompt_lookup_num_tokens = 2: remove",
        ),
        (
            "id = \"builtin:tiny\"",
            "id = \"builtin:tiny\"\nadapter = \"./a\"\nadapter_mode = \"unmerged\"",
            "tiny-candle runs on engine candle, which has no unmerged adapters: set adapter_mode = \"merged\"",
        ),
        (
            "[\"native\", \"candle\"]\n",
            "[\"native\", \"candle\"]\ndtypes = [\"gguf\"]\n[[model]]\nname = \"lora\"\nid = \"./a.gguf\"\nadapter = \"./a\"\nengine = \"candle\"\n",
            "lora runs on engine candle, which can't merge an adapter into the blocks of a GGUF file",
        ),
        ("\"candle\"]", "\"vllm\"]", "native, candle"),
        ("\"candle\"]", "\"native\"]", "duplicate"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let error = check(&changed).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem} is missing in {error}");
    }
}
