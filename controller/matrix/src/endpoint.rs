//! Models behind an HTTP or SageMaker endpoint: `[model.endpoint]`, and the combinations that can't
//! be measured.

use super::endpoint_api::{Api, Form, Preset};
use super::reader::Section;
use super::{Loads, Matrix, Model, Target, Varied};
use model::endpoint::{Endpoint, EventStream, HttpVersion, Place, placeholder};
use model::generation::{Generation, Settings, Stop};
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
/// Longer than any server takes for a token, and short enough to tell a stall from a slow answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// In place of the URL of metrics.
const NO_METRICS: &str = "none";
/// In place of a JSON pointer to a number of tokens.
const BY_TOKENIZER: &str = "tokenizer";
/// Set by the HTTP client, or part of AWS's signature.
const RESERVED_HEADERS: [&str; 6] = [
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "accept-encoding",
];

/// Reads `[model.endpoint]` of a model that is asked for these settings; `None` if the id isn't an
/// endpoint.
pub(super) fn read(
    model: &mut Section<'_, '_>,
    id: Option<&str>,
    asked: &Settings,
) -> Option<Endpoint> {
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
    let api = section.word::<Api>("api");
    let is_stream = section.truth("stream");
    let form = if is_stream.unwrap_or(api.is_some()) { Form::Stream } else { Form::Document };
    let preset = preset(&mut section, api, form, asked);
    let preset = preset.as_ref();
    let request = request(&mut section);
    let content_type =
        section.text("content_type").unwrap_or_else(|| "application/json".to_owned());
    let headers = headers(&section.section("headers"), place);
    let answer = pointer(&mut section, "answer");
    let answer = answer.unwrap_or_else(|| preset.map_or(ANSWER, |its| its.answer).to_owned());
    let input_tokens = tokens(&mut section, "input_tokens", preset.map(|its| its.input_tokens));
    let output_tokens = tokens(&mut section, "output_tokens", preset.map(|its| its.output_tokens));
    let finish = pointer(&mut section, "finish");
    let finish = finish.or_else(|| preset.map(|its| its.finish.to_owned()));
    let server_ms = pointer(&mut section, "server_ms");
    let expected = "a time such as \"60s\", at most one hour";
    let timeout = section.time("timeout", expected, MAX_TIMEOUT);
    let region = section.text("region");
    if region.is_some() && matches!(place, Some(Place::Url(_))) {
        section.problem("region", "only SageMaker endpoints have a region");
    }
    let stream = stream(&mut section, form, preset);
    let metrics_url = metrics_url(&mut section, id, api);
    let http_version = section.word("http_version").unwrap_or_default();
    if http_version != HttpVersion::Http1 && matches!(place, Some(Place::SageMaker(_))) {
        section.problem("http_version", "is 1.1 for SageMaker endpoints");
    }
    let preset_request =
        || preset.map_or_else(|| REQUEST.to_owned(), |its| its.request.to_string());
    let request = request.unwrap_or_else(preset_request);
    if place.is_some() {
        check_system(&section, &request, asked);
    }
    section.finish();
    place.map(|_| Endpoint {
        request,
        content_type,
        headers,
        answer,
        input_tokens,
        output_tokens,
        finish,
        server_ms,
        timeout_ms: u32::try_from(timeout.unwrap_or(TIMEOUT).as_millis()).unwrap_or(u32::MAX),
        region,
        stream,
        metrics_url,
        http_version,
    })
}

/// What `api` sets, with the name of the model that its requests contain.
fn preset(
    section: &mut Section<'_, '_>,
    api: Option<Api>,
    form: Form,
    asked: &Settings,
) -> Option<Preset> {
    let model = section.text("model");
    let has_model = api.is_some_and(Api::has_model);
    if has_model && !section.has("request") {
        section.require("model", "\"Qwen/Qwen2.5-0.5B-Instruct\"");
    } else if model.is_some() {
        let message = if has_model {
            "has no effect beside request"
        } else {
            "has no effect without api = \"openai-chat\" or \"openai-completions\""
        };
        section.problem("model", message);
    }
    let api = api?;
    if form == Form::Document && !api.has_documents() {
        section.problem("stream", format!("{api} is always a stream"));
    }
    Some(api.preset(model.as_deref().unwrap_or_default(), form, asked))
}

/// Where the server's metrics are; with `api` on `/metrics` of the endpoint, unless the matrix says otherwise.
fn metrics_url(
    section: &mut Section<'_, '_>,
    id: Option<&str>,
    api: Option<Api>,
) -> Option<String> {
    let given = section.text("metrics_url");
    let endpoint = id.and_then(|id| url::Url::parse(id).ok()).filter(url::Url::has_host);
    let Some(mut endpoint) = endpoint else {
        if given.is_some() {
            section.problem("metrics_url", "only endpoints with a URL have metrics");
        }
        return None;
    };
    let Some(given) = given else {
        api?;
        endpoint.set_path("/metrics");
        endpoint.set_query(None);
        return Some(endpoint.into());
    };
    if given == NO_METRICS {
        return None;
    }
    let is_on_its_host =
        |url: &url::Url| ["http", "https"].contains(&url.scheme()) && url.host() == endpoint.host();
    if !url::Url::parse(&given).is_ok_and(|url| is_on_its_host(&url)) {
        let host = endpoint.host_str().unwrap_or_default();
        section.problem(
            "metrics_url",
            format!("expected a URL on the endpoint's host, such as http://{host}:9090/metrics, or \"none\""),
        );
    }
    Some(given)
}

/// The keys of a stream of events.
fn stream(
    section: &mut Section<'_, '_>,
    form: Form,
    preset: Option<&Preset>,
) -> Option<EventStream> {
    let done = section.text("done");
    let skip = pointer(section, "skip");
    let expected = "a time such as \"10s\", at most one hour";
    let idle_timeout = section.time("idle_timeout", expected, MAX_TIMEOUT);
    if form == Form::Document {
        for key in ["done", "skip", "idle_timeout"] {
            if section.has(key) {
                section.problem(key, "has no effect without stream = true");
            }
        }
        return None;
    }
    let idle_timeout = idle_timeout.unwrap_or(IDLE_TIMEOUT);
    let done_by_default = preset.map_or(EventStream::DONE, |its| its.done);
    Some(EventStream {
        done: done.unwrap_or_else(|| done_by_default.to_owned()),
        skip: skip.or_else(|| preset?.skip.map(str::to_owned)),
        idle_timeout_ms: u32::try_from(idle_timeout.as_millis()).unwrap_or(u32::MAX),
    })
}

/// A JSON pointer to a number of tokens; `None` if the matrix's tokenizer counts them.
fn tokens(
    section: &mut Section<'_, '_>,
    key: &'static str,
    preset: Option<&'static str>,
) -> Option<String> {
    let text = section.text(key);
    match text.as_deref() {
        None => preset.map(str::to_owned),
        Some(BY_TOKENIZER) => None,
        Some(_) => pointer(section, key),
    }
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
    let known = [
        placeholder::PROMPT,
        placeholder::SYSTEM,
        placeholder::MAX_NEW_TOKENS,
        placeholder::MAX_INPUT_TOKENS,
    ];
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

/// A system message and its place in the request come together.
fn check_system(section: &Section<'_, '_>, request: &str, asked: &Settings) {
    let place = placeholder::SYSTEM;
    match (&asked.system, request.contains(place)) {
        (Some(_), false) => section.problem(
            "request",
            format!("has no place for generation.system: set request to one with {place}, or remove generation.system"),
        ),
        (None, true) => section
            .problem("request", format!("contains {place}, and there is no generation.system")),
        (Some(_), true) | (None, false) => {}
    }
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
    loads: &Loads,
    generation: Option<&Generation>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let endpoints = || models.iter().filter(|model| model.endpoint.is_some());
    let Some(first) = endpoints().next() else { return problems };
    let name = &first.name;
    if scenarios.contains(&Scenario::Stress) {
        for model in endpoints() {
            let has_both = |endpoint: &Endpoint| {
                endpoint.input_tokens.is_some() && endpoint.output_tokens.is_some()
            };
            let is_counted = model.endpoint.as_ref().is_some_and(has_both);
            if !is_counted && model.tokenizer.is_none() {
                problems.push(format!("{} is an endpoint whose tokens are not counted, which scenario `stress` sums up: set input_tokens and output_tokens of its endpoint, or its tokenizer", model.name));
            }
        }
    }
    if generation.is_some_and(|generation| generation.stop == Stop::Reference) {
        problems.push(format!("{name} is an endpoint: generation.stop must be \"eos\""));
    }
    let settings = generation.map(|generation| {
        endpoints().fold(generation.settings.clone(), |all, model| all.or(&model.generation))
    });
    let settings = settings.map(|settings| settings.beyond_limits());
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
        let agents = target.agents;
        let is_uneven = |size: &&u32| !size.is_multiple_of(agents);
        if scenarios.contains(&Scenario::Offline)
            && let Some(size) = target.batch_sizes.iter().find(is_uneven)
        {
            problems.push(format!("{endpoint} is an endpoint, whose concurrent requests the {agents} agents of {target_name} share: batch_sizes must be multiples of {agents}, found {size}"));
        }
        let closed_loop = loads.stress.as_ref().filter(|stress| stress.request_rate.is_none());
        if let Some(stress) = closed_loop.filter(|stress| stress.concurrency < agents) {
            problems.push(format!("{endpoint} is an endpoint, whose requests in flight the {agents} agents of {target_name} share: protocol.stress.concurrency must be at least {agents}, found {}", stress.concurrency));
        }
        let search = loads.server.as_ref().and_then(|server| server.search);
        let closed_loop = search.filter(|search| search.vary == Varied::Concurrency);
        let least = 2.0 * f64::from(agents);
        if let Some(search) = closed_loop.filter(|search| search.highest < least) {
            problems.push(format!("{endpoint} is an endpoint, whose requests in flight the {agents} agents of {target_name} share: protocol.server.search.highest must be at least {least}, found {}", search.highest));
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
