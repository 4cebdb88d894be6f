//! The filter `tojson` as transformers defines it: Python's `json.dumps`, without escapes for HTML.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// How `json.dumps` writes.
struct Style {
    ensure_ascii: bool,
    /// One level of indentation; `None` writes one line.
    indent: Option<String>,
    between_items: String,
    after_key: String,
    sort_keys: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "filters get their arguments so")]
pub(crate) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let unusable = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    if value.is_undefined() {
        return Err(unusable("an undefined value is not JSON serializable".to_owned()));
    }
    let given: Option<Value> = options.get("indent")?;
    let indent = match given.filter(|indent| !indent.is_none()) {
        None => None,
        Some(indent) => match (indent.as_str(), indent.as_usize()) {
            (Some(text), _) => Some(text.to_owned()),
            // Wider indentation than anyone reads is a mistake.
            (None, Some(spaces)) if spaces <= 64 => Some(" ".repeat(spaces)),
            _ => return Err(unusable(format!("tojson: indent = {indent}"))),
        },
    };
    let separators: Option<Vec<String>> = options.get("separators")?;
    let (between_items, after_key) = match separators.as_deref() {
        Some([items, keys]) => (items.clone(), keys.clone()),
        Some(_) => return Err(unusable("tojson: expected two separators".to_owned())),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let style = Style {
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        indent,
        between_items,
        after_key,
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let json = serde_json::to_value(value)
        .map_err(|error| unusable("tojson failed".to_owned()).with_source(error))?;
    let mut text = String::new();
    style.write(&json, 0, &mut text);
    Ok(text)
}

impl Style {
    fn write(&self, json: &Json, depth: usize, text: &mut String) {
        match json {
            Json::String(string) => self.string(string, text),
            Json::Array(items) => {
                self.sequence(['[', ']'], items.iter(), depth, text, |item, text| {
                    self.write(item, depth + 1, text);
                });
            }
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                if self.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.sequence(
                    ['{', '}'],
                    entries.into_iter(),
                    depth,
                    text,
                    |(key, value), text| {
                        self.string(key, text);
                        text.push_str(&self.after_key);
                        self.write(value, depth + 1, text);
                    },
                );
            }
            other => text.push_str(&other.to_string()),
        }
    }

    fn sequence<T>(
        &self,
        [open, close]: [char; 2],
        items: impl ExactSizeIterator<Item = T>,
        depth: usize,
        text: &mut String,
        write: impl Fn(T, &mut String),
    ) {
        let is_empty = items.len() == 0;
        text.push(open);
        for (place, item) in items.enumerate() {
            if place > 0 {
                text.push_str(&self.between_items);
            }
            self.line(depth + 1, text);
            write(item, text);
        }
        if !is_empty {
            self.line(depth, text);
        }
        text.push(close);
    }

    fn line(&self, depth: usize, text: &mut String) {
        if let Some(indent) = &self.indent {
            text.push('\n');
            text.extend(std::iter::repeat_n(indent.as_str(), depth));
        }
    }

    fn string(&self, string: &str, text: &mut String) {
        let quoted = Json::from(string).to_string();
        if !self.ensure_ascii {
            return text.push_str(&quoted);
        }
        for character in quoted.chars() {
            if character.is_ascii() {
                text.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").expect("writing to a String never fails");
            }
        }
    }
}
