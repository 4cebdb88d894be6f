//! One connection to an endpoint: a request after the other, each with its times. It is made when it is needed first, and
//! again when the server has closed it; so it is known of every request whether it waited for a connection.

use super::keys::Keys;
use super::{Error, failed};
use crate::http_authority::Origin;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use model::endpoint::Endpoint;
use model::failure::{Failure, Kind};
use model::sample::HttpTiming;
use ops::error_chain::one_line;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::sync::Arc;
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// No summary's answer is longer.
const MOST_BYTES: usize = 16 << 20;

/// How an endpoint is reached and asked: what all connections share.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: String,
    /// The same without what may hold secrets.
    shown: String,
    uri: Uri,
    host: HeaderValue,
    server: (String, u16),
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    content_type: HeaderValue,
    keys: Keys,
    timeout: Duration,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Without what the server says of itself.
    pub(super) timing: HttpTiming,
    /// When its last byte was there, on the stopwatch's scale.
    pub(super) end_ns: u64,
}

impl Line {
    pub(super) fn new(address: &str, keys: Keys, endpoint: &Endpoint) -> Result<Self, Error> {
        let no_address = || Error::Address { address: address.to_owned() };
        let uri: Uri = address.parse().map_err(|_| no_address())?;
        let origin = Origin::of(&uri).ok_or_else(no_address)?;
        let host = uri.host().unwrap_or_default();
        let host_header = if origin.has_standard_port {
            host.to_owned()
        } else {
            format!("{host}:{}", origin.port)
        };
        let tls = if origin.is_tls {
            let server = ServerName::try_from(origin.host.clone()).map_err(|_| no_address())?;
            Some((tls()?, server))
        } else {
            None
        };
        let path = uri.path();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self(Arc::new(Shared {
            shown: format!("{}://{host_header}{path}", uri.scheme_str().unwrap_or_default()),
            host: HeaderValue::from_str(&host_header).map_err(|_| no_address())?,
            server: (origin.host, origin.port),
            tls,
            content_type: HeaderValue::from_str(&endpoint.content_type)
                .map_err(|_| no_address())?,
            keys,
            timeout: Duration::from_millis(endpoint.timeout_ms.into()),
            address: address.to_owned(),
            uri: target.parse().map_err(|_| no_address())?,
        })))
    }

    /// Where the endpoint is, without what may hold secrets.
    pub(super) fn shown(&self) -> &str {
        &self.0.shown
    }

    /// A text without secrets, which some servers repeat.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.0.keys.redacted(text, &HeaderMap::new())
    }

    /// What to look at where a trial failed like this.
    pub(super) fn hint(&self, kind: Kind) -> String {
        let keys = &self.0.keys;
        match kind {
            Kind::Rejected if keys.are_of_aws() => {
                "; look at the endpoint's name and region, and whether these AWS credentials may sagemaker:InvokeEndpoint".to_owned()
            }
            Kind::Rejected => {
                let names: Vec<&str> = keys.names().collect();
                let headers = if names.is_empty() {
                    "which headers it wants ([model.endpoint] headers)".to_owned()
                } else {
                    format!("the variables that {} come from", names.join(", "))
                };
                format!("; look at {headers}, at its address and at [model.endpoint] request")
            }
            Kind::Answer => "; look at [model.endpoint] answer".to_owned(),
            _ => String::new(),
        }
    }
}

fn tls() -> Result<Arc<ClientConfig>, Error> {
    let failed = |error: rustls::Error| Error::System(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(failed)?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection, once there is one.
#[derive(Debug, Default)]
pub(super) struct Connection(Option<SendRequest<Full<Bytes>>>);

/// What is known of a request that has not been answered yet.
#[derive(Debug, Default)]
struct Progress {
    connect_ns: Option<u64>,
    first_byte_ns: Option<u64>,
}

impl Connection {
    /// Sends a request and reads its answer to the last byte. A connection that broke is given up.
    pub(super) async fn ask(
        &mut self,
        line: &Line,
        body: Vec<u8>,
        stopwatch: &Stopwatch,
    ) -> Result<Heard, Failure> {
        let shared = &*line.0;
        let content_type = shared.content_type.to_str().unwrap_or_default();
        let signed = shared.keys.headers((&shared.address, content_type), &body).await;
        let headers = signed.map_err(|error| failed(Kind::Rejected, one_line(&error)))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = shared.uri.clone();
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(HOST, shared.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, shared.content_type.clone());
        let start_ns = stopwatch.now_ns();
        let mut progress = Progress::default();
        let asked = self.round_trip(shared, request, &mut progress, (start_ns, stopwatch));
        let heard = tokio::time::timeout(shared.timeout, asked).await;
        let heard = heard.unwrap_or_else(|_| {
            let detail = format!("no whole answer within {} s", shared.timeout.as_secs_f64());
            Err(failed(Kind::TimedOut, detail))
        });
        match heard {
            Ok((status, answered, body)) => {
                let end_ns = stopwatch.now_ns();
                let timing = HttpTiming {
                    total_ns: end_ns.saturating_sub(start_ns),
                    connect_ns: progress.connect_ns,
                    first_byte_ns: progress.first_byte_ns,
                    server_ns: None,
                };
                // What was signed for this request is known here only.
                let body = if status.is_success() {
                    body
                } else {
                    let said = String::from_utf8_lossy(&body);
                    Bytes::from(shared.keys.redacted(&said, &headers))
                };
                Ok(Heard { status, headers: answered, body, timing, end_ns })
            }
            Err(failure) => {
                self.0 = None;
                Err(failure)
            }
        }
    }

    async fn round_trip(
        &mut self,
        shared: &Shared,
        mut request: Request<Full<Bytes>>,
        progress: &mut Progress,
        (start_ns, stopwatch): (u64, &Stopwatch),
    ) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
        let since = || stopwatch.now_ns().saturating_sub(start_ns);
        let broken = |error: hyper::Error| {
            failed(Kind::Unreachable, format!("the connection broke: {}", one_line(&error)))
        };
        // An idle connection that the server has closed is no failure of the request that finds it so.
        if let Some(idle) = &mut self.0
            && idle.ready().await.is_err()
        {
            self.0 = None;
        }
        let answer = loop {
            let sender = if let Some(sender) = self.0.take() {
                self.0.insert(sender)
            } else {
                let before_ns = since();
                let sender = connect(shared).await?;
                progress.connect_ns = Some(since().saturating_sub(before_ns));
                self.0.insert(sender)
            };
            match sender.try_send_request(request).await {
                Ok(answer) => break answer,
                Err(mut error) => match error.take_message() {
                    // Nothing of it was sent.
                    Some(unsent) if progress.connect_ns.is_none() => {
                        self.0 = None;
                        request = unsent;
                    }
                    _ => return Err(broken(error.into_error())),
                },
            }
        };
        progress.first_byte_ns = Some(since());
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| {
            failed(Kind::Unreachable, format!("the answer broke off: {}", one_line(&*error)))
        })?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

async fn connect(shared: &Shared) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let (name, port) = (shared.server.0.as_str(), shared.server.1);
    let unreachable = |what: &str, error: &(dyn std::error::Error + 'static)| {
        failed(Kind::Unreachable, format!("{name}:{port}: {what}: {}", one_line(error)))
    };
    let stream = TcpStream::connect((name, port));
    let stream = stream.await.map_err(|error| unreachable("no connection", &error))?;
    stream.set_nodelay(true).map_err(|error| unreachable("no connection", &error))?;
    match &shared.tls {
        None => handshake(stream).await,
        Some((config, server)) => {
            let connector = TlsConnector::from(Arc::clone(config));
            let stream = connector.connect(server.clone(), stream).await;
            handshake(stream.map_err(|error| unreachable("no TLS", &error))?).await
        }
    }
    .map_err(|error| unreachable("no HTTP", &error))
}

async fn handshake(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, hyper::Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender; why it broke is told to whoever waits for an answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
