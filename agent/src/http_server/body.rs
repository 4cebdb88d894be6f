//! Request and response bodies: the format of Hugging Face's inference containers, plus timing and
//! token counts.

use engine::Turn;
use model::generation::{self, EarlyStopping};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::fmt;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    /// Complete prompts.
    inputs: Inputs,
    parameters: Option<Parameters>,
    stream: Option<bool>,
}

/// Limit on the texts of a request, whatever the queue: a short body can list millions of empty texts.
pub(super) const MAX_TEXTS: usize = 1 << 16;

/// A text or a list of texts. Those beyond [`MAX_TEXTS`] are counted only.
#[derive(Debug, Default)]
struct Inputs {
    texts: Vec<String>,
    count: usize,
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputsVisitor;

        impl<'de> Visitor<'de> for InputsVisitor {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Inputs, E> {
                Ok(Inputs { texts: vec![text.to_owned()], count: 1 })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
                let mut inputs = Inputs::default();
                while inputs.count < MAX_TEXTS
                    && let Some(text) = list.next_element()?
                {
                    inputs.texts.push(text);
                    inputs.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    inputs.count += 1;
                }
                Ok(inputs)
            }
        }

        deserializer.deserialize_any(InputsVisitor)
    }
}

/// Limits and the settings of [`SEARCH`] are adjustable. Other settings of transformers and of
/// Hugging Face's containers are accepted with values that change nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Settings")]
pub(super) struct Parameters {
    max_new_tokens: Option<u32>,
    max_input_tokens: Option<u32>,
    /// Without limits.
    pub(super) search: generation::Settings,
    /// Whether to return token ids.
    pub(super) details: bool,
    pub(super) truncation: Truncation,
    /// The turns of a chat before the only text.
    pub(super) earlier: Vec<Turn>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Truncation {
    #[default]
    Allowed,
    /// Longer prompts are refused.
    Forbidden,
}

/// The settings of generation that a request may choose.
const SEARCH: [&str; 12] = [
    "num_beams",
    "length_penalty",
    "early_stopping",
    "no_repeat_ngram_size",
    "repetition_penalty",
    "min_new_tokens",
    "min_length",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "seed",
];

/// The values of a setting that change nothing.
enum Neutral {
    Is(bool),
    Equals(f64),
    Empty,
    /// Any value: it acts only beside a setting that is refused.
    Any,
}

const NEUTRAL: [(&str, Neutral); 12] = [
    ("bad_words_ids", Neutral::Empty),
    ("best_of", Neutral::Equals(1.0)),
    ("decoder_input_details", Neutral::Is(false)),
    ("diversity_penalty", Neutral::Any),
    ("encoder_no_repeat_ngram_size", Neutral::Equals(0.0)),
    ("num_beam_groups", Neutral::Equals(1.0)),
    ("num_return_sequences", Neutral::Equals(1.0)),
    ("return_full_text", Neutral::Is(false)),
    ("stop", Neutral::Empty),
    ("stop_sequences", Neutral::Empty),
    ("use_cache", Neutral::Any),
    ("watermark", Neutral::Is(false)),
];

/// Some servers sample if one of these is set, so without `do_sample` it needs these values.
const SAMPLING: [(&str, f64); 4] =
    [("temperature", 1.0), ("top_k", 50.0), ("top_p", 1.0), ("typical_p", 1.0)];

/// The settings that [`Parameters`] know. Unknown ones are refused, and long values shortened, while they are read, so
/// that they take little memory.
struct Settings(Map<String, Value>);

/// Longer texts are shortened to this many characters, in settings.
const SETTING_CHARS: usize = 64;

fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(SETTING_CHARS).collect();
    if chars.next().is_some() { start + "..." } else { start }
}

fn is_known(key: &str) -> bool {
    ["max_new_tokens", "max_input_tokens", "details", "truncation"].contains(&key)
        || SEARCH.contains(&key)
        || NEUTRAL.iter().any(|(known, _)| *known == key)
        || SAMPLING.iter().any(|(known, _)| *known == key)
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingsVisitor;

        impl<'de> Visitor<'de> for SettingsVisitor {
            type Value = Settings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !is_known(&key) {
                        return Err(A::Error::custom(format!(
                            "unknown parameter `{}`: expected max_new_tokens, max_input_tokens, details, truncation, {}",
                            shortened(&key),
                            SEARCH.join(", ")
                        )));
                    }
                    let Setting(value) = map.next_value()?;
                    settings.insert(key, value);
                }
                Ok(Settings(settings))
            }
        }

        deserializer.deserialize_map(SettingsVisitor)
    }
}

/// A value whose text is shortened, and whose elements are left out.
struct Setting(Value);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingVisitor;

        impl<'de> Visitor<'de> for SettingVisitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Setting, E> {
                Ok(Setting(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Setting, E> {
                Ok(Setting(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Setting, E> {
                Ok(Setting(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Setting, E> {
                Ok(Setting(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Setting, E> {
                Ok(Setting(value.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Setting, E> {
                Ok(Setting(shortened(text).into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Setting, A::Error> {
                let mut shown = Vec::new();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    shown = vec![Value::from("...")];
                }
                Ok(Setting(Value::Array(shown)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Setting, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Setting(Value::Object(Map::new())))
            }
        }

        deserializer.deserialize_any(SettingVisitor)
    }
}

impl TryFrom<Settings> for Parameters {
    type Error = String;

    fn try_from(Settings(mut given): Settings) -> Result<Self, String> {
        given.retain(|_, value| !value.is_null());
        let mut tokens = |key: &str| match given.remove(key) {
            None => Ok(None),
            Some(value) => match value.as_u64().map(u32::try_from) {
                Some(Ok(tokens)) => Ok(Some(tokens)),
                _ => Err(format!("parameters.{key}: expected a number of tokens, found {value}")),
            },
        };
        let (max_new_tokens, max_input_tokens) =
            (tokens("max_new_tokens")?, tokens("max_input_tokens")?);
        let details = match given.remove("details") {
            None => false,
            Some(Value::Bool(details)) => details,
            Some(value) => {
                return Err(format!("parameters.details: expected true or false, found {value}"));
            }
        };
        let truncation = match given.remove("truncation") {
            None | Some(Value::Bool(true)) => Truncation::Allowed,
            Some(Value::Bool(false)) => Truncation::Forbidden,
            Some(Value::String(how)) if how == "only_first" || how == "longest_first" => {
                Truncation::Allowed
            }
            Some(Value::String(how)) if how == "do_not_truncate" => Truncation::Forbidden,
            Some(value) => {
                return Err(format!(
                    "parameters.truncation: expected true or false, found {value}"
                ));
            }
        };
        let sampling = sampling(&mut given)?;
        let search = sampling.or(&search(&mut given)?);
        if search.samples() && search.num_beams.is_some_and(|beams| beams > 1) {
            return Err("parameters.num_beams: can't be combined with do_sample = true".to_owned());
        }
        for (key, value) in &given {
            check_neutral(key, value)?;
        }
        Ok(Self {
            max_new_tokens,
            max_input_tokens,
            search,
            details,
            truncation,
            earlier: Vec::new(),
        })
    }
}

/// Takes the settings of [`SEARCH`].
fn search(given: &mut Map<String, Value>) -> Result<generation::Settings, String> {
    let mut number = |key: &str, expected: &str, is_valid: fn(f64) -> bool| {
        let Some(value) = given.remove(key) else { return Ok(None) };
        match value.as_f64().filter(|number| is_valid(*number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("parameters.{key}: expected {expected}, found {value}")),
        }
    };
    let length_penalty = number("length_penalty", "a number", f64::is_finite)?;
    let repetition_penalty =
        number("repetition_penalty", "a number above 0", |number| number > 0.0)?;
    let mut count = |key: &str, least: u32, most: u32| {
        let Some(value) = given.remove(key) else { return Ok(None) };
        match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) if (least..=most).contains(&count) => Ok(Some(count)),
            _ => Err(format!("parameters.{key}: expected {least} to {most}, found {value}")),
        }
    };
    let num_beams = count("num_beams", 1, generation::Settings::MOST_BEAMS)?;
    let no_repeat_ngram_size = count("no_repeat_ngram_size", 0, MOST_TOKENS)?;
    let min_new_tokens = count("min_new_tokens", 0, MOST_TOKENS)?;
    let min_length = count("min_length", 0, MOST_TOKENS)?;
    let early_stopping = match given.remove("early_stopping") {
        None => None,
        Some(Value::Bool(false)) => Some(EarlyStopping::Off),
        Some(Value::Bool(true)) => Some(EarlyStopping::On),
        Some(Value::String(word)) if word == "never" => Some(EarlyStopping::Never),
        Some(value) => {
            return Err(format!(
                "parameters.early_stopping: expected true, false or \"never\", found {value}"
            ));
        }
    };
    Ok(generation::Settings {
        num_beams,
        length_penalty,
        early_stopping,
        no_repeat_ngram_size,
        repetition_penalty,
        min_new_tokens,
        min_length,
        ..generation::Settings::default()
    })
}

const MOST_TOKENS: u32 = generation::Settings::MOST_TOKENS;

/// Takes `do_sample` and the settings that act beside it.
fn sampling(given: &mut Map<String, Value>) -> Result<generation::Settings, String> {
    let do_sample = match given.remove("do_sample") {
        None => None,
        Some(Value::Bool(do_sample)) => Some(do_sample),
        Some(value) => {
            return Err(format!("parameters.do_sample: expected true or false, found {value}"));
        }
    };
    let samples = do_sample == Some(true);
    for (key, neutral) in SAMPLING {
        let Some(value) = given.get(key) else { continue };
        let is_neutral = do_sample == Some(false) || value.as_f64() == Some(neutral);
        if !is_neutral && (!samples || key == "typical_p") {
            return Err(format!(
                "parameters.{key} = {value} is not supported{}: expected {neutral}",
                if samples { "" } else { " without do_sample = true" },
            ));
        }
    }
    given.remove("typical_p");
    let mut number = |key: &str, expected: &str, is_valid: fn(f64) -> bool| {
        let Some(value) = given.remove(key) else { return Ok(None) };
        match value.as_f64().filter(|number| !samples || is_valid(*number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("parameters.{key}: expected {expected}, found {value}")),
        }
    };
    let temperature = number("temperature", "a number above 0", |it| it > 0.0 && it.is_finite())?;
    let top_p = number("top_p", "a number above 0, at most 1", |it| it > 0.0 && it <= 1.0)?;
    let mut whole = |key: &str| match given.remove(key) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("parameters.{key}: expected a whole number, found {value}")),
        },
    };
    let (top_k, seed) = (whole("top_k")?, whole("seed")?);
    if !samples {
        return Ok(generation::Settings { do_sample, ..generation::Settings::default() });
    }
    let top_k = top_k.map(|top_k| u32::try_from(top_k).unwrap_or(u32::MAX));
    // Sampling has no beams: those of the server don't count.
    let num_beams = (!given.contains_key("num_beams")).then_some(1);
    Ok(generation::Settings {
        num_beams,
        do_sample,
        temperature,
        top_k,
        top_p,
        seed,
        ..generation::Settings::default()
    })
}

/// Whether one of the settings changes nothing.
fn check_neutral(key: &str, value: &Value) -> Result<(), String> {
    let refused = |expected: &str| {
        Err(format!("parameters.{key} = {value} is not supported: expected {expected}"))
    };
    let Some((_, neutral)) = NEUTRAL.iter().find(|(known, _)| *known == key) else {
        return Ok(());
    };
    match neutral {
        Neutral::Any => Ok(()),
        Neutral::Is(neutral) if value == neutral => Ok(()),
        Neutral::Is(neutral) => refused(&neutral.to_string()),
        Neutral::Equals(neutral) if value.as_f64() == Some(*neutral) => Ok(()),
        Neutral::Equals(neutral) => refused(&neutral.to_string()),
        Neutral::Empty if value.as_array().is_some_and(Vec::is_empty) => Ok(()),
        Neutral::Empty => refused("an empty list"),
    }
}

/// Limits in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_input_tokens: u32,
    pub max_new_tokens: u32,
}

impl Invocation {
    /// Of a request in another form.
    /// The last turn of a chat, after `earlier` ones, or a prompt without any.
    pub(super) fn of(
        prompt: String,
        earlier: Vec<Turn>,
        max_new_tokens: Option<u32>,
        search: generation::Settings,
    ) -> Self {
        Self {
            inputs: Inputs { texts: vec![prompt], count: 1 },
            parameters: Some(Parameters {
                max_new_tokens,
                search,
                earlier,
                ..Parameters::default()
            }),
            stream: None,
        }
    }

    /// The complete prompts, and how to decode them.
    pub(super) fn into_parts(self) -> (Vec<String>, Parameters) {
        (self.inputs.texts, self.parameters.unwrap_or_default())
    }

    /// The number of prompts. Beyond [`MAX_TEXTS`], they are not kept.
    pub(super) fn texts(&self) -> usize {
        self.inputs.count
    }

    pub(super) fn limits(&self, most: Limits) -> Result<Limits, String> {
        if self.stream == Some(true) {
            return Err("stream = true is not supported: expected false".to_owned());
        }
        let within = |name: &str, asked: Option<u32>, most: u32| match asked {
            None => Ok(most),
            Some(asked) if (1..=most).contains(&asked) => Ok(asked),
            Some(asked) => Err(format!("parameters.{name}: expected 1 to {most}, found {asked}")),
        };
        let (max_new_tokens, max_input_tokens) = self
            .parameters
            .as_ref()
            .map_or((None, None), |given| (given.max_new_tokens, given.max_input_tokens));
        Ok(Limits {
            max_input_tokens: within("max_input_tokens", max_input_tokens, most.max_input_tokens)?,
            max_new_tokens: within("max_new_tokens", max_new_tokens, most.max_new_tokens)?,
        })
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    pub(super) generated_text: Option<String>,
    pub(super) input_tokens: Option<u32>,
    /// Including `</s>`.
    pub(super) output_tokens: Option<u32>,
    /// `eos` or `length`.
    pub(super) finish: &'static str,
    /// From the arrival of the request, including queueing.
    pub(super) server_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_ids: Option<Vec<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Limits = Limits { max_input_tokens: 512, max_new_tokens: 200 };

    fn limits(body: &str) -> Result<Limits, String> {
        let invocation: Invocation =
            serde_json::from_str(body).map_err(|error| error.to_string())?;
        invocation.limits(MOST)
    }

    #[test]
    fn what_is_not_asked_for_is_the_most() {
        assert_eq!(limits(r#"{"inputs": "a"}"#), Ok(MOST));
        let asked = limits(r#"{"inputs": ["a", "b"], "parameters": {"max_new_tokens": 3}}"#);
        assert_eq!(asked, Ok(Limits { max_new_tokens: 3, ..MOST }));
    }

    #[test]
    fn settings_that_change_nothing_are_accepted() {
        let neutral = r#"{"inputs": "a", "parameters": {"do_sample": false, "num_beams": 1,
            "truncation": true, "temperature": 0.7, "top_p": 0.9, "num_return_sequences": 1,
            "repetition_penalty": 1.0, "length_penalty": 2.0, "early_stopping": true,
            "no_repeat_ngram_size": 0, "return_full_text": false, "stop": [], "min_length": null}}"#;
        assert_eq!(limits(neutral), Ok(MOST));
        assert_eq!(limits(r#"{"inputs": "a", "parameters": {"temperature": 1.0}}"#), Ok(MOST));
        assert_eq!(limits(r#"{"inputs": "a", "parameters": null, "stream": false}"#), Ok(MOST));
        assert!(limits(r#"{"inputs": "a", "stream": true}"#).is_err());
        let truncation = |value: &str| {
            let body = format!(r#"{{"inputs": "a", "parameters": {{"truncation": {value}}}}}"#);
            serde_json::from_str::<Invocation>(&body).map(|it| it.into_parts().1.truncation).ok()
        };
        assert_eq!(truncation("\"longest_first\""), Some(Truncation::Allowed));
        assert_eq!(truncation("false"), Some(Truncation::Forbidden));
        assert_eq!(truncation("\"do_not_truncate\""), Some(Truncation::Forbidden));
        assert_eq!(truncation("3"), None);
    }

    #[test]
    fn settings_that_would_change_the_tokens_are_refused_with_their_value() {
        for (parameters, reason) in [
            (r#""do_sample": "yes""#, "parameters.do_sample: expected true or false"),
            (
                r#""do_sample": true, "temperature": 0"#,
                "temperature: expected a number above 0, found 0",
            ),
            (r#""do_sample": true, "top_p": 1.5"#, "top_p: expected a number above 0, at most 1"),
            (
                r#""do_sample": true, "typical_p": 0.9"#,
                "typical_p = 0.9 is not supported: expected 1",
            ),
            (r#""num_beams": 40"#, "parameters.num_beams: expected 1 to 32, found 40"),
            (
                r#""temperature": 0.5"#,
                "temperature = 0.5 is not supported without do_sample = true: expected 1",
            ),
            (r#""stop": ["."]"#, "expected an empty list"),
            (r#""max_length": 20"#, "unknown parameter `max_length`: expected max_new_tokens"),
            (
                r#""max_new_tokens": "3""#,
                "max_new_tokens: expected a number of tokens, found \"3\"",
            ),
        ] {
            let body = format!(r#"{{"inputs": "a", "parameters": {{{parameters}}}}}"#);
            let error = limits(&body).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn sampling_is_read_where_it_is_asked_for() {
        let settings = |parameters: &str| {
            let body = format!(r#"{{"inputs": "a", "parameters": {{{parameters}}}}}"#);
            serde_json::from_str::<Invocation>(&body).unwrap().into_parts().1.search
        };
        let sampled = settings(
            r#""do_sample": true, "temperature": 0.7, "top_k": 0, "top_p": 0.9, "seed": 7"#,
        );
        let expected = generation::Settings {
            do_sample: Some(true),
            temperature: Some(0.7),
            top_k: Some(0),
            top_p: Some(0.9),
            seed: Some(7),
            num_beams: Some(1),
            ..generation::Settings::default()
        };
        assert_eq!(sampled, expected);
        let off = settings(r#""do_sample": false, "temperature": 0.7, "seed": 7"#);
        let expected =
            generation::Settings { do_sample: Some(false), ..generation::Settings::default() };
        assert_eq!(off, expected);
        assert_eq!(settings(r#""seed": 7"#), generation::Settings::default());
    }

    #[test]
    fn long_lists_and_values_are_not_kept() {
        let parse = |body: &str| serde_json::from_str::<Invocation>(body);
        let list = format!(r#"{{"inputs": [{}""]}}"#, r#""","#.repeat(2 * MAX_TEXTS));
        let invocation = parse(&list).unwrap();
        assert_eq!(
            (invocation.texts(), invocation.into_parts().0.len()),
            (2 * MAX_TEXTS + 1, MAX_TEXTS)
        );
        let long = "x".repeat(1 << 20);
        for parameters in [
            format!(r#"{{"{long}": 1}}"#),
            format!(r#"{{"truncation": "{long}"}}"#),
            format!(r#"{{"stop": ["{long}"]}}"#),
            format!(r#"{{"do_sample": {{"{long}": 1}}}}"#),
        ] {
            let body = format!(r#"{{"inputs": "a", "parameters": {parameters}}}"#);
            let error = parse(&body).unwrap_err().to_string();
            assert!(error.len() < 400, "{} characters", error.len());
        }
        let wrong = parse(r#"{"inputs": 3}"#).unwrap_err().to_string();
        assert!(wrong.contains("expected a text or a list of texts"), "{wrong}");
    }

    #[test]
    fn what_nobody_acts_on_is_refused_by_name() {
        let long = limits(r#"{"inputs": "a", "parameters": {"max_new_tokens": 201}}"#);
        assert_eq!(long.unwrap_err(), "parameters.max_new_tokens: expected 1 to 200, found 201");
    }
}
