//! The template and the special tokens that a `tokenizer_config.json` names.

use serde_json::Value;
use std::collections::BTreeMap;

/// The template that transformers uses if no tools are given.
const DEFAULT: &str = "default";
/// Special tokens that templates know by name.
const TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The source of the template, if there is one.
    pub template: Option<String>,
    /// By name, such as `bos_token`.
    pub special_tokens: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected an object of settings")]
    Json(#[source] serde_json::Error),
    #[error("chat_template: expected a text, or a list of objects with name and template")]
    Template,
    #[error("chat_template has no template `{DEFAULT}`: found {found}")]
    NoDefault { found: String },
}

impl Settings {
    /// The settings in a `tokenizer_config.json`. A template in one or in several forms: a text, or a
    /// list of named ones, of which the default one counts.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let keys: serde_json::Map<String, Value> =
            serde_json::from_str(text).map_err(Error::Json)?;
        let token = |name: &str| {
            let token = keys.get(name)?;
            // Tokens with settings of their own are objects.
            let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
            Some((name.to_owned(), text.to_owned()))
        };
        let template = match keys.get("chat_template") {
            None | Some(Value::Null) => None,
            Some(Value::String(template)) => Some(template.clone()),
            Some(Value::Array(named)) => Some(default(named)?),
            Some(_) => return Err(Error::Template),
        };
        Ok(Self { template, special_tokens: TOKENS.into_iter().filter_map(token).collect() })
    }
}

fn default(named: &[Value]) -> Result<String, Error> {
    let text = |entry: &Value, key| entry.get(key)?.as_str().map(str::to_owned);
    let entries: Option<Vec<(String, String)>> =
        named.iter().map(|entry| Some((text(entry, "name")?, text(entry, "template")?))).collect();
    let entries = entries.ok_or(Error::Template)?;
    let found: Vec<String> = entries.iter().map(|(name, _)| format!("`{name}`")).collect();
    // As in a dictionary, the last of equal names counts.
    let chosen = entries.into_iter().rev().find(|(name, _)| name == DEFAULT);
    chosen.map(|(_, template)| template).ok_or_else(|| Error::NoDefault { found: found.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_template_are_found_in_every_form() {
        let settings = Settings::parse(
            r#"{"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null,
                "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#,
        )
        .unwrap();
        assert_eq!(settings.template.as_deref(), Some("d"));
        let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
        let tokens = tokens.map(|(name, token)| (name.to_owned(), token.to_owned()));
        assert_eq!(settings.special_tokens, BTreeMap::from(tokens));
        assert_eq!(Settings::parse("{}").unwrap(), Settings::default());
        let text = Settings::parse(r#"{"chat_template": "x"}"#).unwrap();
        assert_eq!(text.template.as_deref(), Some("x"));
    }

    #[test]
    fn templates_without_a_default_are_listed() {
        let error = |text| Settings::parse(text).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"chat_template": [{"name": "rag", "template": "t"}]}"#),
            "chat_template has no template `default`: found `rag`"
        );
        let expected =
            "chat_template: expected a text, or a list of objects with name and template";
        assert_eq!(error(r#"{"chat_template": [{"name": "rag"}]}"#), expected);
        assert_eq!(error(r#"{"chat_template": 7}"#), expected);
        assert_eq!(error("[]"), "expected an object of settings");
    }
}
