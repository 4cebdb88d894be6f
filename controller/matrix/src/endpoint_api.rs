//! The wire formats of well-known servers: what `api` of `[model.endpoint]` sets.

use model::endpoint::{EventStream, placeholder};
use model::generation::Settings;
use model::words;
use schemars::JsonSchema;
use serde_json::{Value, json};

words!(
    /// The interface of an endpoint.
    #[derive(JsonSchema)]
    Api, "API", {
        /// `/v1/chat/completions` of OpenAI's API: vLLM, llama.cpp, TGI, Ollama and others.
        OpenaiChat = "openai-chat",
        /// `/v1/completions` of the same.
        OpenaiCompletions = "openai-completions",
        /// `/generate_stream` of Hugging Face's Text Generation Inference.
        TgiStream = "tgi-stream",
    }
);

/// The keys of `[model.endpoint]` that an API sets, unless the matrix does.
#[derive(Debug)]
pub(super) struct Preset {
    pub(super) request: Value,
    pub(super) answer: &'static str,
    pub(super) input_tokens: &'static str,
    pub(super) output_tokens: &'static str,
    pub(super) finish: &'static str,
    pub(super) done: &'static str,
    pub(super) skip: Option<&'static str>,
}

/// Whether the response is a stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Stream,
    Document,
}

/// A system message is a message of its own.
fn messages(asked: &Settings) -> Vec<Value> {
    let message = |role, content| json!({ "role": role, "content": content });
    let system = asked.system.iter().map(|_| message("system", placeholder::SYSTEM));
    system.chain([message("user", placeholder::PROMPT)]).collect()
}

impl Api {
    /// Whether its requests name the model.
    pub(super) fn has_model(self) -> bool {
        matches!(self, Self::OpenaiChat | Self::OpenaiCompletions)
    }

    pub(super) fn has_documents(self) -> bool {
        self != Self::TgiStream
    }

    /// `model`: the name under which the server knows the model. `asked`: the settings of its
    /// requests.
    pub(super) fn preset(self, model: &str, form: Form, asked: &Settings) -> Preset {
        let openai = |mut request: Value, answer| {
            request["model"] = model.into();
            request["max_tokens"] = "{max_new_tokens}".into();
            request["temperature"] = 0.into();
            if form == Form::Stream {
                request["stream"] = true.into();
                request["stream_options"] = json!({ "include_usage": true });
            }
            Preset {
                request,
                answer,
                input_tokens: "/usage/prompt_tokens",
                output_tokens: "/usage/completion_tokens",
                finish: "/choices/0/finish_reason",
                done: EventStream::DONE,
                skip: None,
            }
        };
        match self {
            Self::OpenaiChat => openai(
                json!({ "messages": messages(asked) }),
                match form {
                    Form::Stream => "/choices/0/delta/content",
                    Form::Document => "/choices/0/message/content",
                },
            ),
            Self::OpenaiCompletions => openai(json!({ "prompt": "{prompt}" }), "/choices/0/text"),
            Self::TgiStream => Preset {
                request: json!({
                    "inputs": "{prompt}",
                    "parameters": { "max_new_tokens": "{max_new_tokens}", "details": true },
                }),
                answer: "/token/text",
                input_tokens: "/details/input_length",
                output_tokens: "/details/generated_tokens",
                finish: "/details/finish_reason",
                done: "/generated_text",
                skip: Some("/token/special"),
            },
        }
    }
}
