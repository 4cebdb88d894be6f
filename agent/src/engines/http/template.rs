//! Request templates with placeholders.

use model::endpoint::placeholder::{MAX_INPUT_TOKENS, MAX_NEW_TOKENS, PROMPT, SYSTEM};
use model::generation::Generation;
use serde_json::Value;

/// JSON with placeholders for the prompt and its limits.
#[derive(Debug)]
pub(super) struct Template(Value);

impl Template {
    pub(super) fn new(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).map(Self)
    }

    /// Fills in the prompt and the system message as JSON strings, so that neither can break out of
    /// them.
    pub(super) fn fill(&self, prompt: &str, generation: &Generation) -> Vec<u8> {
        filled(&self.0, prompt, generation).to_string().into_bytes()
    }
}

fn filled(value: &Value, prompt: &str, generation: &Generation) -> Value {
    match value {
        Value::String(text) if text == MAX_NEW_TOKENS => generation.settings.token_limit().into(),
        Value::String(text) if text == MAX_INPUT_TOKENS => generation.max_input_tokens.into(),
        Value::String(text) => {
            let system = generation.settings.system.as_deref().unwrap_or_default();
            // Placeholders in what is filled in are texts.
            let parts = text.split(PROMPT).map(|part| part.replace(SYSTEM, system));
            parts.collect::<Vec<_>>().join(prompt).into()
        }
        Value::Array(items) => {
            items.iter().map(|item| filled(item, prompt, generation)).collect::<Vec<_>>().into()
        }
        Value::Object(table) => {
            let pair =
                |(key, value): (&String, &Value)| (key.clone(), filled(value, prompt, generation));
            Value::Object(table.iter().map(pair).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::generation::{Settings, Stop};
    use proptest::prelude::*;

    fn generation() -> Generation {
        Generation {
            prompt: None,
            max_input_tokens: 512,
            settings: Settings { max_new_tokens: Some(60), ..Settings::default() },
            stop: Stop::Eos,
        }
    }

    #[test]
    fn places_are_filled_and_the_rest_stays() {
        let template = Template::new(
            r#"{"messages": [{"content": "Say: {prompt}!"}], "max": "{max_new_tokens}", "in": "{max_input_tokens}", "n": 1, "s": null}"#,
        );
        let body = template.unwrap().fill("A: \"hi\"", &generation());
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"messages":[{"content":"Say: A: \"hi\"!"}],"max":60,"in":512,"n":1,"s":null}"#
        );
    }

    #[test]
    fn the_system_message_has_a_place_of_its_own() {
        let template = r#"{"messages": [{"content": "{system}"}, {"content": "{prompt}"}]}"#;
        let template = Template::new(template).unwrap();
        let mut asked = generation();
        asked.settings.system = Some("Say \"{prompt}\".".to_owned());
        let body = template.fill("{system}", &asked);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"messages":[{"content":"Say \"{prompt}\"."},{"content":"{system}"}]}"#
        );
    }

    proptest! {
        #[test]
        fn no_prompt_leaves_its_text(prompt in any::<String>()) {
            let template = Template::new(r#"{"inputs": "{prompt}", "safe": true}"#).unwrap();
            let body: Value = serde_json::from_slice(&template.fill(&prompt, &generation())).unwrap();
            prop_assert_eq!(body, serde_json::json!({ "inputs": prompt, "safe": true }));
        }
    }
}
