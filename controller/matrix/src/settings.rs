//! The settings of `[generation]` that choose tokens, with transformers' names. Those that are
//! absent are up to the model's files.

use super::reader::Section;
use model::generation::{EarlyStopping, Settings};
use model::unsupported_generation as unsupported;
use toml::de::DeValue;

const MOST_TOKENS: u32 = Settings::MOST_TOKENS;
/// No vocabulary is larger.
const MOST_TOP_K: u32 = 9_999_999;
const TOKEN_IDS: std::ops::RangeInclusive<u32> = 0..=9_999_999;

pub(super) fn read(section: &mut Section<'_, '_>) -> Settings {
    for key in unsupported::names() {
        if section.has(key) {
            section.value(key);
            section.problem(key, "is not supported");
        }
    }
    for (one, other) in [("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")] {
        if section.has(one) && section.has(other) {
            section.problem(other, format!("has no effect beside {one}: remove one of them"));
        }
    }
    Settings {
        max_new_tokens: section.whole("max_new_tokens", 1..=MOST_TOKENS),
        max_length: section.whole("max_length", 2..=MOST_TOKENS + 1),
        min_new_tokens: section.whole("min_new_tokens", 0..=MOST_TOKENS),
        min_length: section.whole("min_length", 0..=MOST_TOKENS + 1),
        num_beams: section.whole("num_beams", 1..=Settings::MOST_BEAMS),
        length_penalty: section.number("length_penalty"),
        early_stopping: early_stopping(section),
        no_repeat_ngram_size: section.whole("no_repeat_ngram_size", 0..=MOST_TOKENS),
        repetition_penalty: section.positive("repetition_penalty"),
        decoder_start_token_id: section.whole("decoder_start_token_id", TOKEN_IDS),
        forced_bos_token_id: section.whole("forced_bos_token_id", TOKEN_IDS),
        forced_eos_token_id: one_or_many(section, "forced_eos_token_id"),
        suppress_tokens: one_or_many(section, "suppress_tokens"),
        do_sample: section.truth("do_sample"),
        temperature: section.positive("temperature"),
        top_k: section.whole("top_k", 0..=MOST_TOP_K),
        top_p: top_p(section),
        seed: section.whole("seed", 0..=i64::MAX.cast_unsigned()),
        prompt_lookup_num_tokens: section
            .whole("prompt_lookup_num_tokens", 0..=Settings::MOST_DRAFTED),
        system: system(section),
    }
}

fn system(section: &mut Section<'_, '_>) -> Option<String> {
    let system = section.text("system")?;
    let (bytes, most) = (system.len(), Settings::MOST_SYSTEM_BYTES);
    if bytes > most {
        section.problem("system", format!("expected at most {most} bytes, found {bytes}"));
    }
    Some(system)
}

fn top_p(section: &mut Section<'_, '_>) -> Option<f64> {
    let top_p = section.positive("top_p")?;
    if top_p > 1.0 {
        section.problem("top_p", "expected a number above 0, at most 1");
    }
    Some(top_p)
}

/// Problems of settings that a model is asked for together.
pub(super) fn check_combination(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if settings.samples() && settings.num_beams.is_some_and(|beams| beams > 1) {
        problems.push("do_sample can't be combined with num_beams above 1".to_owned());
    }
    if settings.prompt_lookup_num_tokens.is_some_and(|tokens| tokens > 0) {
        let is_searched = settings.num_beams.is_some_and(|beams| beams > 1);
        for (is_other, other) in
            [(is_searched, "num_beams above 1"), (settings.samples(), "do_sample")]
        {
            if is_other {
                problems.push(format!(
                    "prompt_lookup_num_tokens can't be combined with {other}: only greedy decoding can check drafts"
                ));
            }
        }
    }
    let parameters = [
        ("temperature", settings.temperature.is_some()),
        ("top_k", settings.top_k.is_some()),
        ("top_p", settings.top_p.is_some()),
        ("seed", settings.seed.is_some()),
    ];
    let given = parameters.into_iter().filter(|(_, is_given)| *is_given && !settings.samples());
    problems.extend(given.map(|(key, _)| format!("{key} has no effect without do_sample = true")));
    problems
}

fn early_stopping(section: &mut Section<'_, '_>) -> Option<EarlyStopping> {
    let key = "early_stopping";
    match section.value(key)?.get_ref() {
        DeValue::Boolean(true) => Some(EarlyStopping::On),
        DeValue::Boolean(false) => Some(EarlyStopping::Off),
        DeValue::String(word) if word == "never" => Some(EarlyStopping::Never),
        _ => {
            section.problem(key, "expected true, false or \"never\"");
            None
        }
    }
}

/// A token, or a list of tokens, which can be empty.
fn one_or_many(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<u32>> {
    match section.value(key)?.get_ref() {
        DeValue::Array(list) if list.is_empty() => Some(Vec::new()),
        DeValue::Array(_) => section.whole_list(key, &TOKEN_IDS),
        _ => section.whole(key, TOKEN_IDS).map(|id| vec![id]),
    }
}
