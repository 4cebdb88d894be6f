//! How an endpoint is queried.

use super::given;
use crate::wire;
use model::endpoint::{Endpoint, EventStream, HttpVersion};

impl From<&Endpoint> for wire::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            request: endpoint.request.clone(),
            content_type: endpoint.content_type.clone(),
            headers: endpoint.headers.clone().into_iter().collect(),
            answer: endpoint.answer.clone(),
            input_tokens: or_empty(&endpoint.input_tokens),
            output_tokens: or_empty(&endpoint.output_tokens),
            finish: or_empty(&endpoint.finish),
            server_ms: or_empty(&endpoint.server_ms),
            timeout_ms: endpoint.timeout_ms,
            region: or_empty(&endpoint.region),
            metrics_url: or_empty(&endpoint.metrics_url),
            http2: endpoint.http_version == HttpVersion::Http2,
            stream: endpoint.stream.as_ref().map(|stream| wire::EventStream {
                done: stream.done.clone(),
                skip: or_empty(&stream.skip),
                idle_timeout_ms: stream.idle_timeout_ms,
            }),
        }
    }
}

impl From<wire::Endpoint> for Endpoint {
    fn from(wire: wire::Endpoint) -> Self {
        Self {
            request: wire.request,
            content_type: wire.content_type,
            headers: wire.headers.into_iter().collect(),
            answer: wire.answer,
            input_tokens: given(wire.input_tokens),
            output_tokens: given(wire.output_tokens),
            finish: given(wire.finish),
            server_ms: given(wire.server_ms),
            timeout_ms: wire.timeout_ms,
            region: given(wire.region),
            metrics_url: given(wire.metrics_url),
            http_version: if wire.http2 { HttpVersion::Http2 } else { HttpVersion::Http1 },
            stream: wire.stream.map(|stream| EventStream {
                done: stream.done,
                skip: given(stream.skip),
                idle_timeout_ms: stream.idle_timeout_ms,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_endpoint_survives_the_wire() {
        let endpoint = Endpoint {
            request: r#"{"inputs": "{prompt}"}"#.to_owned(),
            content_type: "application/json".to_owned(),
            headers: BTreeMap::from([("authorization".to_owned(), "TOKEN".to_owned())]),
            answer: "/0/generated_text".to_owned(),
            input_tokens: None,
            output_tokens: Some("/0/output_tokens".to_owned()),
            finish: None,
            server_ms: None,
            timeout_ms: 60_000,
            region: Some("eu-west-1".to_owned()),
            stream: None,
            metrics_url: Some("http://127.0.0.1/metrics".to_owned()),
            http_version: HttpVersion::Http1,
        };
        assert_eq!(Endpoint::from(wire::Endpoint::from(&endpoint)), endpoint);
        let stream = EventStream {
            done: EventStream::DONE.to_owned(),
            skip: Some("/token/special".to_owned()),
            idle_timeout_ms: 10_000,
        };
        let http_version = HttpVersion::Http2;
        let endpoint = Endpoint { stream: Some(stream), http_version, ..endpoint };
        assert_eq!(Endpoint::from(wire::Endpoint::from(&endpoint)), endpoint);
    }
}
