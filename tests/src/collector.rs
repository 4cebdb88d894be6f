//! A trace collector on loopback that keeps the spans it receives, or one that accepts connections and
//! never responds.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use tonic::{Request, Response, Status};

/// A received span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `service.name` of the program that sent it.
    pub service: String,
    pub name: String,
    pub kind: SpanKind,
    /// Id of its trace, in hexadecimal digits.
    pub trace: String,
    pub id: String,
    /// Id of its parent; empty for a root.
    pub parent: String,
    /// Its attributes and those of its program, as text.
    pub attributes: BTreeMap<String, String>,
    /// The reason if it failed.
    pub error: Option<String>,
    /// In nanoseconds since 1970.
    pub start: u64,
    /// In nanoseconds since 1970.
    pub end: u64,
}

/// Runs until the test ends.
#[derive(Debug, Clone)]
pub struct Collector {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Collector {
    /// Receives spans as `http/protobuf`.
    ///
    /// # Panics
    /// If no port is free.
    pub fn http() -> Self {
        Self::listen(|collector, stream| collector.serve(&stream))
    }

    /// Accepts connections, reads, and never responds.
    ///
    /// # Panics
    /// If no port is free.
    pub fn silent() -> Self {
        Self::listen(|_, mut stream| {
            // Reads to the end of the connection.
            drop(std::io::copy(&mut stream, &mut std::io::sink()));
        })
    }

    /// Receives spans as `grpc`.
    ///
    /// # Panics
    /// If no port is free or no thread can be started.
    pub fn grpc() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("threads can be started");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let collector = Self { address, seen: Arc::default() };
        let service = TraceServiceServer::new(collector.clone());
        std::thread::spawn(move || {
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(service);
            drop(runtime.block_on(server.serve_with_incoming(incoming)));
        });
        collector
    }

    fn listen(serve: impl Fn(&Self, TcpStream) + Send + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let collector = Self { address, seen: Arc::default() };
        let serving = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (collector, serve) = (serving.clone(), serve.clone());
                std::thread::spawn(move || serve(&collector, stream));
            }
        });
        collector
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All received spans.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Responds to the requests of one connection.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            self.take(request);
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
            if (&*stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn take(&self, request: ExportTraceServiceRequest) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.resource_spans {
            let of_program = resource.resource.map(|found| found.attributes).unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            seen.extend(spans.map(|span| Seen::from(span, &of_program)));
        }
    }
}

/// One request to `/v1/traces`; none at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<ExportTraceServiceRequest> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length is a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(ExportTraceServiceRequest::decode(body.as_slice()).expect("the body is protobuf"))
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Seen {
    fn from(span: Span, of_program: &[KeyValue]) -> Self {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
        let hex = |id: &[u8]| -> String {
            id.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
        };
        let attributes: BTreeMap<String, String> = (of_program.iter().chain(&span.attributes))
            .map(|pair| (pair.key.clone(), text(pair.value.as_ref())))
            .collect();
        Self {
            service: attributes.get("service.name").cloned().unwrap_or_default(),
            kind: span.kind(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            attributes,
            error: span.status.filter(|status| status.code == 2).map(|status| status.message),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            name: span.name,
        }
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    }
}
