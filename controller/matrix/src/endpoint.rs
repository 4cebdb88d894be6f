//! Models behind an HTTP or SageMaker endpoint: `[model.endpoint]`, and the combinations that can't
//! be measured.

use super::reader::Section;
use super::{Matrix, Model, Target};
use model::endpoint::{Endpoint, Place, placeholder};
use model::generation::{Generation, Stop};
use model::ids::TargetName;
use model::load::Scenario;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toml::de::DeValue;

/// The format of Hugging Face's inference containers and of `agent serve`.
const REQUEST: &str = r#"{"inputs":"{prompt}","parameters":{"max_new_tokens":"{max_new_tokens}"}}"#;
const ANSWER: &str = "/0/generated_text";
const TIMEOUT: Duration = Duration::from_mins(1);
const MAX_TIMEOUT: Duration = Duration::from_hours(1);
/// Set by the HTTP client, or part of AWS's signature.
const RESERVED_HEADERS: [&str; 6] = [
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "accept-encoding",
];

/// Reads `[model.endpoint]`; `None` if the id isn't an endpoint.
pub(super) fn read(model: &mut Section<'_, '_>, id: Option<&str>) -> Option<Endpoint> {
    let mut section = model.section("endpoint");
    let place = id.and_then(Place::of);
    if let (Some(id), None) = (id, place) {
        if !section.is_absent() {
            model.problem(
                "endpoint",
                format!("`{id}` is not an endpoint: expected https:, http: or sagemaker:"),
            );
        }
        return None;
    }
    if let Some(place) = place {
        check_place(model, place);
        for key in ["adapter", "revision"] {
            if model.has(key) {
                model.problem(key, "can't be set for an endpoint");
            }
        }
    }
    let request = request(&mut section);
    let content_type =
        section.text("content_type").unwrap_or_else(|| "application/json".to_owned());
    let headers = headers(&section.section("headers"), place);
    let answer = pointer(&mut section, "answer").unwrap_or_else(|| ANSWER.to_owned());
    let [input_tokens, output_tokens, finish, server_ms] =
        ["input_tokens", "output_tokens", "finish", "server_ms"]
            .map(|key| pointer(&mut section, key));
    let expected = "a time such as \"60s\", at most one hour";
    let timeout = section.time("timeout", expected, MAX_TIMEOUT);
    let region = section.text("region");
    if region.is_some() && matches!(place, Some(Place::Url(_))) {
        section.problem("region", "only SageMaker endpoints have a region");
    }
    section.finish();
    place.map(|_| Endpoint {
        request: request.unwrap_or_else(|| REQUEST.to_owned()),
        content_type,
        headers,
        answer,
        input_tokens,
        output_tokens,
        finish,
        server_ms,
        timeout_ms: u32::try_from(timeout.unwrap_or(TIMEOUT).as_millis()).unwrap_or(u32::MAX),
        region,
    })
}

fn check_place(model: &Section<'_, '_>, place: Place<'_>) {
    match place {
        Place::Url(url) => match url::Url::parse(url) {
            Err(error) => model.problem("id", format!("invalid URL `{url}`: {error}")),
            // Not repeated in the message: it contains a password.
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                model.problem(
                    "id",
                    "a URL with credentials would appear in every report: use headers",
                );
            }
            Ok(_) => {}
        },
        Place::SageMaker(name) => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name.is_empty() || name.len() > 63 || !name.chars().all(is_name) {
                model.problem("id", format!("invalid endpoint name `{name}`: expected sagemaker:NAME, at most 63 letters, digits and hyphens"));
            }
        }
    }
}

/// The request template, as JSON.
fn request(section: &mut Section<'_, '_>) -> Option<String> {
    let value = json(section.value("request")?.get_ref());
    let Some(value) = value else {
        section.problem("request", "expected strings, finite numbers, booleans, lists and tables: JSON has no dates, nan or inf");
        return None;
    };
    let mut texts = Vec::new();
    collect_strings(&value, &mut texts);
    if !texts.iter().any(|text| text.contains(placeholder::PROMPT)) {
        section.problem(
            "request",
            format!("contains no {}, the placeholder for the prompt", placeholder::PROMPT),
        );
    }
    let known = [placeholder::PROMPT, placeholder::MAX_NEW_TOKENS, placeholder::MAX_INPUT_TOKENS];
    let is_placeholder = |text: &&&str| {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        name.is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
    };
    for unknown in texts.iter().filter(is_placeholder).filter(|text| !known.contains(text)) {
        section.problem(
            "request",
            format!("unknown placeholder `{unknown}`: expected one of {}", known.join(", ")),
        );
    }
    Some(value.to_string())
}

fn json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(integer) => {
            Value::from(i64::from_str_radix(integer.as_str(), integer.radix()).ok()?)
        }
        DeValue::Float(float) => {
            let number = float.as_str().replace('_', "").parse().ok()?;
            Value::Number(serde_json::Number::from_f64(number)?)
        }
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| json(item.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => {
            let mut object = serde_json::Map::new();
            for (key, value) in table {
                object.insert(key.get_ref().to_string(), json(value.get_ref())?);
            }
            Value::Object(object)
        }
        DeValue::Datetime(_) => return None,
    })
}

fn collect_strings<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect_strings(item, texts)),
        Value::Object(table) => table.values().for_each(|item| collect_strings(item, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A JSON pointer into the response.
fn pointer(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    let pointer = section.text(key)?;
    if !pointer.starts_with('/') {
        section.problem(
            key,
            format!("expected a JSON pointer such as \"{ANSWER}\", found `{pointer}`"),
        );
    }
    Some(pointer)
}

/// Header names, each with the environment variable of the agent that holds its value. Messages
/// don't repeat the variable: it may be the secret itself.
fn headers(section: &Section<'_, '_>, place: Option<Place<'_>>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, variable) in section.texts() {
        let name = name.to_ascii_lowercase();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let is_signed = matches!(place, Some(Place::SageMaker(_)))
            && (name == "authorization" || name.starts_with("x-amz-"));
        if !name.chars().all(is_token) || RESERVED_HEADERS.contains(&name.as_str()) || is_signed {
            section.problem(
                &name,
                "can't be set: not a valid header name, or reserved for the HTTP client",
            );
        }
        let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let starts_right = variable.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
        if !starts_right || !variable.chars().all(is_variable) {
            section.problem(&name, "expected the name of an environment variable of the agent, such as ENDPOINT_TOKEN: a value would be stored in the database");
        }
        headers.insert(name, variable);
    }
    headers
}

/// An environment variable of an agent that an endpoint receives as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointVariable<'m> {
    pub name: &'m str,
    /// The id of the model.
    pub endpoint: &'m str,
}

impl Matrix {
    /// What agents of a target send to endpoints from their environment.
    pub fn endpoint_variables(&self, target: &TargetName) -> BTreeSet<EndpointVariable<'_>> {
        let sent = self.endpoints(target).flat_map(|(id, endpoint)| {
            let names = endpoint.headers.values();
            names.map(move |name| EndpointVariable { name, endpoint: id })
        });
        sent.collect()
    }

    /// Whether agents of a target call an endpoint on another machine over plain HTTP.
    pub fn has_plain_endpoint(&self, target: &TargetName) -> bool {
        let is_plain = |id: &str| {
            url::Url::parse(id).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url))
        };
        self.endpoints(target).any(|(id, _)| is_plain(id))
    }

    fn endpoints(&self, target: &TargetName) -> impl Iterator<Item = (&str, &Endpoint)> {
        let models = self.models.iter().filter(move |model| model.is_measured_on(target));
        models.filter_map(|model| Some((model.id.as_str(), model.endpoint.as_ref()?)))
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Problems of the combinations of models, targets and scenarios with endpoints.
pub(super) fn check_combinations(
    models: &[Model],
    targets: &[Target],
    scenarios: &[Scenario],
    generation: Option<&Generation>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let endpoints = || models.iter().filter(|model| model.endpoint.is_some());
    let Some(first) = endpoints().next() else { return problems };
    let name = &first.name;
    for scenario in scenarios {
        if matches!(scenario, Scenario::Server | Scenario::Stress) {
            problems.push(format!("{name} is an endpoint and can't be measured in scenario `{scenario}`, because requests would queue in the agent: use offline or single_stream"));
        }
    }
    if generation.is_some_and(|generation| generation.stop == Stop::Reference) {
        problems.push(format!("{name} is an endpoint: generation.stop must be \"eos\""));
    }
    let settings = generation.map(|generation| generation.settings.beyond_limits());
    for setting in settings.unwrap_or_default() {
        problems.push(format!("{name} is an endpoint, which has settings of its own: remove generation.{setting}, and write it into the request of the endpoint if it has such a parameter"));
    }
    let mut target_of = BTreeMap::new();
    for target in targets {
        let here = || models.iter().filter(|model| model.is_measured_on(&target.name));
        let mut endpoints_here = here().filter(|model| model.endpoint.is_some()).peekable();
        let Some(endpoint) = endpoints_here.peek().map(|model| model.name.clone()) else {
            continue;
        };
        let target_name = &target.name;
        if let Some(loaded) = here().find(|model| model.endpoint.is_none()) {
            problems.push(format!("{endpoint} is an endpoint and {} is loaded by the agent, so {target_name} can't be the price of both: set targets of each model, such as targets = [\"{target_name}\"]", loaded.name));
        }
        if target.agents > 1 {
            problems.push(format!("{endpoint} is an endpoint, where {} agents of {target_name} would queue behind each other: use one agent; batch_sizes sets the number of concurrent requests", target.agents));
        }
        if target.dtypes.len() > 1 {
            problems.push(format!(
                "{endpoint} is an endpoint with a single dtype: set dtypes of {target_name} to it"
            ));
        }
        for model in endpoints_here {
            let region = model.endpoint.as_ref().and_then(|endpoint| endpoint.region.as_deref());
            let other = *target_of.entry((model.id.as_str(), region)).or_insert(target_name);
            if other != target_name {
                problems.push(format!("{} is measured for {other} and for {target_name}, whose requests would queue behind each other: set targets of each model, such as targets = [\"{target_name}\"]", model.name));
            }
        }
    }
    problems
}
