//! A model's own chat template: messages in, the text of the prompt out.
//!
//! Rendered like `apply_chat_template` of transformers 5.24: the same environment (`trim_blocks`,
//! `lstrip_blocks`, loop controls, Python's methods of text and dictionaries), the same functions,
//! no tools and no documents. What a template may use is limited, because templates come with
//! models. It knows no files and no clock: the caller passes texts and the time.

mod json;
mod settings;

pub use settings::{Error as SettingsError, Settings};

use chrono::{DateTime, Utc};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;
use model::panic::contain;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

/// Steps of a rendering. A step creates at most [`BYTES_OF_STEP`], so this also limits memory.
/// Templates of large models take some thousands for two messages.
const FUEL: u64 = 2_000_000;
/// For which minijinja charges a step.
const BYTES_OF_STEP: u64 = 64;
/// In bytes, of UTF-8.
const LONGEST_CHAR: u64 = 4;
/// Calls of macros within each other.
const MAX_DEPTH: usize = 100;
/// As much as tokenizers take.
const MAX_PROMPT_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{template}, line {line}: {message}")]
    Syntax { template: String, line: usize, message: String },
    #[error("{template}, line {line}: the template rejects the chat: {message}")]
    Rejected { template: String, line: usize, message: String },
    #[error("{template}, line {line}: cannot render: {message}")]
    Render { template: String, line: usize, message: String },
    /// A defect of the library that renders.
    #[error("{template}: cannot render: minijinja panicked: {message}")]
    Panicked { template: String, message: String },
    #[error("{template}: the prompt has more than {MAX_PROMPT_BYTES} bytes")]
    TooLong { template: String },
}

/// One turn of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `system`, `user` or `assistant`.
    pub role: &'a str,
    pub content: &'a str,
}

impl Message<'_> {
    fn value(&self) -> Value {
        Value::from_pairs([("role", self.role), ("content", self.content)])
    }
}

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// Names the template in errors, such as a file.
    name: String,
    special_tokens: BTreeMap<String, String>,
    variables: BTreeSet<String>,
}

impl Template {
    /// `name` identifies the template in errors. `now` is what `strftime_now` formats.
    pub fn compile(
        name: &str,
        source: &str,
        special_tokens: &BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut environment = environment(now);
        let compiled = contain(|| {
            environment.add_template_owned(name.to_owned(), without_generation_tags(source))?;
            let template = environment.get_template(name)?;
            Ok::<_, minijinja::Error>(template.undeclared_variables(false).into_iter().collect())
        });
        let variables = flattened(name, compiled)?;
        Ok(Self {
            environment,
            name: name.to_owned(),
            special_tokens: special_tokens.clone(),
            variables,
        })
    }

    /// The prompt that asks for the next turn of the assistant, with special tokens as text.
    pub fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let mut context: BTreeMap<&str, Value> =
            self.special_tokens.iter().map(|(name, token)| (&**name, token.into())).collect();
        context.insert("messages", messages.iter().map(Message::value).collect());
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        context.insert("add_generation_prompt", Value::from(true));
        context.insert(THINKING, Value::from(false));
        let mut prompt = Limited::default();
        let rendered = contain(|| {
            let template = self.environment.get_template(&self.name)?;
            template.render_captured_to(Value::from_pairs(context), &mut prompt).map(drop)
        });
        match flattened(&self.name, rendered) {
            _ if prompt.is_over => Err(Error::TooLong { template: self.name.clone() }),
            Err(error) => Err(error),
            Ok(()) => Ok(String::from_utf8_lossy(&prompt.bytes).into_owned()),
        }
    }

    /// Whether the template has a switch for thinking, which is off.
    pub fn switches_thinking(&self) -> bool {
        self.variables.contains(THINKING)
    }

    /// Whether the template can write the time into the prompt.
    pub fn uses_time(&self) -> bool {
        self.variables.contains(TIME)
    }
}

/// The argument of `apply_chat_template` that Qwen3 and others read.
const THINKING: &str = "enable_thinking";
const TIME: &str = "strftime_now";

fn environment(now: DateTime<Utc>) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the default ones"));
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(method);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_DEPTH);
    // Messages of errors are for users; the template itself is not shown.
    environment.set_debug(false);
    environment.remove_global("debug");
    environment.add_filter("tojson", json::tojson);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.clone())
                .with_source(Rejection(message)))
        },
    );
    environment.add_function(TIME, move |format: String| {
        let mut text = String::new();
        match write!(text, "{}", now.format(&format)) {
            Ok(()) => Ok(text),
            Err(_) => Err(minijinja::Error::new(
                ErrorKind::InvalidOperation,
                format!("unknown time format `{format}`"),
            )),
        }
    });
    environment
}

/// Python's methods. minijinja charges for the result of `str.format` only once it exists, so its widths are charged
/// before.
fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, minijinja::Error> {
    if let ("format", Some(format)) = (name, value.as_str()) {
        state.consume_fuel(numbers(format).saturating_mul(LONGEST_CHAR) / BYTES_OF_STEP)?;
    }
    unknown_method_callback(state, value, name, arguments)
}

/// The sum of the numbers in a format: at least that of its widths and precisions.
fn numbers(format: &str) -> u64 {
    format
        .split(|character: char| !character.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

/// Marks an error that the template raised.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Rejection(String);

/// The outcome of code that can fail, and that panics where minijinja is at fault.
fn flattened<T>(
    template: &str,
    outcome: Result<Result<T, minijinja::Error>, String>,
) -> Result<T, Error> {
    match outcome {
        Ok(outcome) => outcome.map_err(|error| wrapped(template, &error)),
        Err(message) => Err(Error::Panicked { template: template.to_owned(), message }),
    }
}

fn wrapped(template: &str, error: &minijinja::Error) -> Error {
    let template = template.to_owned();
    let line = error.line().unwrap_or(1);
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(Rejection(message)) = found.downcast_ref() {
            return Error::Rejected { template, line, message: message.clone() };
        }
        cause = found.source();
    }
    let kind = error.kind();
    let message = error.detail().map_or_else(|| kind.to_string(), |it| format!("{kind}: {it}"));
    match kind {
        ErrorKind::SyntaxError => Error::Syntax { template, line, message },
        _ => Error::Render { template, line, message },
    }
}

/// Output up to [`MAX_PROMPT_BYTES`].
#[derive(Default)]
struct Limited {
    bytes: Vec<u8>,
    is_over: bool,
}

impl io::Write for &mut Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_over |= self.bytes.len() + bytes.len() > MAX_PROMPT_BYTES;
        if self.is_over {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// transformers marks the assistant's turns with `{% generation %}` for training. Like there, the
/// block is a scope of its own and changes nothing else.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        let inner = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}"));
        let signs = ['-', '+'];
        match inner.map(|inner| inner.trim_matches(signs).trim()) {
            Some("generation") => text.push_str(&tag.replace("generation", "with")),
            Some("endgeneration") => text.push_str(&tag.replace("endgeneration", "endwith")),
            _ => text.push_str(tag),
        }
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: [Message<'static>; 2] = [
        Message { role: "system", content: "Be brief." },
        Message { role: "user", content: "Hello" },
    ];

    fn compile(source: &str) -> Result<Template, Error> {
        let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
        Template::compile("chat_template.jinja", source, &tokens, DateTime::UNIX_EPOCH)
    }

    fn failure(source: &str) -> String {
        compile(source).and_then(|template| template.render(&CHAT)).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(
            failure("a\n{% for m in messages %}\n{{ m.content\n"),
            "chat_template.jinja, line 3: syntax error: unexpected end of input, expected end of variable block"
        );
        assert_eq!(
            failure("\n\n{{ raise_exception('no system messages') }}"),
            "chat_template.jinja, line 3: the template rejects the chat: no system messages"
        );
        assert!(
            failure("\n{{ messages[0].a.b }}")
                .starts_with("chat_template.jinja, line 2: cannot render: ")
        );
        assert!(failure("{{ strftime_now('%!') }}").ends_with("unknown time format `%!`"));
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let endless = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
        assert!(failure(endless).contains("recursion limit"), "{}", failure(endless));
        let slow = "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a %}{% endfor %}{% endfor %}";
        assert!(failure(slow).contains("ran out of fuel"), "{}", failure(slow));
        let doubled = "{% set a = a ~ a %}".repeat(40);
        let large = format!("{{% set a = messages[0].content %}}{doubled}");
        assert!(failure(&large).contains("ran out of fuel"), "{}", failure(&large));
        for wide in
            ["{:>900000000}", "{:.900000000}", "{:{>900000000}", "{:9999999999999999999999}"]
        {
            let wide = format!("{{{{ '{wide}'.format('a') }}}}");
            assert!(failure(&wide).contains("ran out of fuel"), "{}", failure(&wide));
        }
        let narrow = compile("{{ '{:>4}|{:.2f}'.format('a', 1.5) }}").unwrap();
        assert_eq!(narrow.render(&CHAT).unwrap(), "   a|1.50");
        let long = "{% for a in range(9999) %}{{ '0123456789' * 20 }}{% endfor %}";
        assert_eq!(failure(long), "chat_template.jinja: the prompt has more than 1048576 bytes");
    }

    /// minijinja's arithmetic overflows here, which panics only if minijinja itself was built to check for it.
    #[test]
    fn a_panic_of_the_library_is_an_error() {
        const SOURCE: &str = "{{ '{:===\u{fb}}'.format(7) }}";
        let alone = std::panic::catch_unwind(|| {
            let mut library = minijinja::Environment::new();
            library
                .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
            library.render_str(SOURCE, ())
        });
        let error = failure(SOURCE);
        let found = if alone.is_err() {
            "chat_template.jinja: cannot render: minijinja panicked: "
        } else {
            "chat_template.jinja, line 1: cannot render: "
        };
        assert!(error.starts_with(found), "{error}");
    }

    #[test]
    fn what_a_template_depends_on_is_known() {
        let template = compile("{{ bos_token }}{{ messages[1].content }}").unwrap();
        assert!(!template.switches_thinking() && !template.uses_time());
        assert_eq!(template.render(&CHAT).unwrap(), "<s>Hello");
        let template =
            compile("{% if not enable_thinking %}-{% endif %}{{ strftime_now('%Y') }}").unwrap();
        assert!(template.switches_thinking() && template.uses_time());
        assert_eq!(template.render(&CHAT).unwrap(), "-1970");
    }

    #[test]
    fn marks_of_generated_turns_are_scopes() {
        let source =
            "{% set a = 1 %}{%- generation -%} {% set a = 2 %}{{ a }} {%- endgeneration %}{{ a }}";
        assert_eq!(compile(source).unwrap().render(&CHAT).unwrap(), "21");
        let kept = "{% if x %}{% endif";
        assert_eq!(without_generation_tags(kept), kept);
    }
}
