//! One connection to an endpoint over HTTP/1.1. It is opened on first use and reopened after the
//! server closes it, so each request's timing shows whether it waited for a connection. Over HTTP/2,
//! all requests share one (`multiplexed`).
//!
//! A server may close a kept connection just when the next request is on its way. Where no byte of
//! an answer came, the request is sent once more on a new connection, and counted as a reconnect.

use super::multiplexed::Multiplexed;
use super::response::MAX_RESPONSE_BYTES;
use super::route::{Progress, Route, Tls};
use super::stream::{
    Broken, End, Framing, Progress as Stream, StreamFields, StreamReader, Streamed,
};
use super::timed_io::{IoTimes, TimedIo};
use super::{Error, aws_frames, credentials::Credentials, failed, proxy::Proxy};
use crate::http_authority::HttpAuthority;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use model::endpoint::{Endpoint, HttpVersion};
use model::failure::{Failure, Kind};
use model::sample::HttpTiming;
use ops::error_chain::one_line;
use ops::secret::shown_url;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long to wait for the end of a response whose final event came: a connection can be used
/// again after its end only, which servers send along with that event.
const END_TIMEOUT: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub(super) struct Target(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: String,
    /// The address without parts that may be secret.
    shown: String,
    uri: Uri,
    host: HeaderValue,
    route: Route,
    content_type: HeaderValue,
    credentials: Credentials,
    timeout: Duration,
    /// Set if a response is a stream of events.
    stream: Option<StreamFields>,
    /// Over HTTP/2, the connection of all requests.
    multiplexed: Option<Multiplexed>,
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) version: Version,
    /// Without the server's own timing.
    pub(super) timing: HttpTiming,
    /// When the last byte or the final event arrived, on the stopwatch.
    pub(super) end_ns: u64,
}

#[derive(Debug)]
pub(super) enum Body {
    Document(Bytes),
    /// Of a response with a success status.
    Stream(Result<Box<Streamed>, Broken>),
}

impl Target {
    pub(super) fn new(
        address: &str,
        credentials: Credentials,
        endpoint: &Endpoint,
        stream: Option<StreamFields>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let no_address = || Error::Address { address: shown_url(address) };
        let uri: Uri = address.parse().map_err(|_| no_address())?;
        let authority = HttpAuthority::of(&uri).ok_or_else(no_address)?;
        let host = uri.host().unwrap_or_default();
        let host_header = if authority.has_standard_port {
            host.to_owned()
        } else {
            format!("{host}:{}", authority.port)
        };
        let tls = if authority.is_tls {
            let server = ServerName::try_from(authority.host.clone()).map_err(|_| no_address())?;
            Some(Tls::new(server, endpoint.http_version)?)
        } else {
            None
        };
        let path = uri.path();
        let proxy = Proxy::of(&uri, variable)?;
        let credentials =
            credentials.hiding(proxy.as_ref().and_then(|proxy| proxy.authorization.as_ref()));
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let is_http2 = endpoint.http_version == HttpVersion::Http2;
        if is_http2 && !authority.is_tls && proxy.is_some() {
            return Err(Error::PlainHttp2Proxy);
        }
        // A proxy needs the whole address of a request that it can read, and HTTP/2 names it in every request.
        let scheme = uri.scheme_str().unwrap_or_default();
        let target = match &proxy {
            _ if is_http2 => format!("{scheme}://{host_header}{target}"),
            Some(_) if !authority.is_tls => format!("http://{host_header}{target}"),
            _ => target.to_owned(),
        };
        Ok(Self(Arc::new(Shared {
            shown: format!("{scheme}://{host_header}{path}"),
            host: HeaderValue::from_str(&host_header).map_err(|_| no_address())?,
            route: Route { server: (authority.host, authority.port), proxy, tls },
            content_type: HeaderValue::from_str(&endpoint.content_type)
                .map_err(|_| no_address())?,
            credentials,
            timeout: Duration::from_millis(endpoint.timeout_ms.into()),
            stream,
            multiplexed: is_http2.then(Multiplexed::default),
            address: address.to_owned(),
            uri: target.parse().map_err(|_| no_address())?,
        })))
    }

    /// Whether a response is a stream of events.
    pub(super) fn streams(&self) -> bool {
        self.0.stream.is_some()
    }

    pub(super) fn shown(&self) -> &str {
        &self.0.shown
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.0.route.proxy.as_ref()
    }

    /// Redacts secrets, which some servers echo.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.0.credentials.redacted(text, &HeaderMap::new())
    }

    pub(super) fn hint(&self, kind: Kind) -> String {
        let credentials = &self.0.credentials;
        match kind {
            Kind::Rejected if credentials.are_of_aws() => {
                "; check the endpoint's name and region, and that the AWS credentials allow sagemaker:InvokeEndpoint".to_owned()
            }
            Kind::Rejected => {
                let names: Vec<&str> = credentials.names().collect();
                let headers = if names.is_empty() {
                    "[model.endpoint] headers".to_owned()
                } else {
                    format!("the environment variables for {}", names.join(", "))
                };
                format!("; check {headers}, the address and [model.endpoint] request")
            }
            Kind::Answer => {
                "; check the request and the JSON pointers of [model.endpoint]".to_owned()
            }
            Kind::Unfinished => {
                "; check [model.endpoint] done: some servers mark their final event otherwise, such as with done = \"/usage\"".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// A kept connection, if any.
#[derive(Debug, Default)]
pub(super) struct Connection(Option<Open>);

#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    times: IoTimes,
}

impl Connection {
    /// Sends a request and reads the whole response. A broken connection is discarded.
    pub(super) async fn ask(
        &mut self,
        target: &Target,
        body: Vec<u8>,
        stopwatch: &Stopwatch,
    ) -> Result<Response, Failure> {
        let shared = &*target.0;
        let content_type = shared.content_type.to_str().unwrap_or_default();
        let signed = shared.credentials.headers(&shared.address, content_type, &body).await;
        let headers = signed.map_err(|error| failed(Kind::Rejected, one_line(&error)))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = shared.uri.clone();
        *request.headers_mut() = headers.clone();
        // Over HTTP/2, the address is in its place.
        if shared.multiplexed.is_none() {
            request.headers_mut().insert(HOST, shared.host.clone());
        }
        request.headers_mut().insert(CONTENT_TYPE, shared.content_type.clone());
        if shared.route.tls.is_none()
            && let Some(authorization) =
                shared.route.proxy.as_ref().and_then(|proxy| proxy.authorization.clone())
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        let mut progress = Progress::default();
        let asked = self.round_trip(shared, request, &mut progress, stopwatch);
        let response = tokio::time::timeout(shared.timeout, asked).await;
        let response = response.unwrap_or_else(|_| {
            let detail = format!("no complete response within {} s", shared.timeout.as_secs_f64());
            Err(failed(Kind::TimedOut, detail))
        });
        let Answered { status, headers: answered, body, version, start_ns, end_ns } = response?;
        let timing = HttpTiming {
            total_ns: end_ns.saturating_sub(start_ns),
            connect_ns: progress.connect_ns,
            first_byte_ns: progress.first_byte_ns,
            server_ns: None,
            is_reconnected: progress.is_reconnected,
        };
        // Headers signed for this request are known only here.
        let body = match body {
            Body::Document(body) if !status.is_success() => {
                let said = String::from_utf8_lossy(&body);
                Body::Document(Bytes::from(shared.credentials.redacted(&said, &headers)))
            }
            body => body,
        };
        Ok(Response { status, headers: answered, body, version, timing, end_ns })
    }

    /// Sends a request over this connection, or over a new one if the server has closed it.
    async fn send(
        &mut self,
        shared: &Shared,
        request: Request<Full<Bytes>>,
        progress: &mut Progress,
        stopwatch: &Stopwatch,
    ) -> Result<(hyper::Response<Incoming>, Open), Failure> {
        let broken = |error: hyper::Error| {
            failed(Kind::Unreachable, format!("connection lost: {}", one_line(&error)))
        };
        let mut kept = self.0.take();
        if let Some(idle) = &mut kept
            && idle.sender.ready().await.is_err()
        {
            // Closed while idle.
            kept = None;
            progress.is_reconnected = true;
        }
        loop {
            let is_kept = kept.is_some();
            let mut open = if let Some(open) = kept.take() {
                open
            } else {
                let before_ns = stopwatch.now_ns();
                let open = connect(&shared.route, stopwatch).await?;
                progress.connect_ns = Some(stopwatch.now_ns().saturating_sub(before_ns));
                open
            };
            open.times.begin(stopwatch);
            match open.sender.try_send_request(request.clone()).await {
                Ok(answer) => return Ok((answer, open)),
                Err(_) if is_kept && open.times.first_read_ns().is_none() => {
                    progress.is_reconnected = true;
                }
                Err(error) => return Err(broken(error.into_error())),
            }
        }
    }

    async fn round_trip(
        &mut self,
        shared: &Shared,
        request: Request<Full<Bytes>>,
        progress: &mut Progress,
        stopwatch: &Stopwatch,
    ) -> Result<Answered, Failure> {
        let mut start_ns = stopwatch.now_ns();
        let (answer, open) = match &shared.multiplexed {
            Some(multiplexed) => {
                (multiplexed.send(&shared.route, request, progress, stopwatch).await?, None)
            }
            None => {
                let (answer, open) = self.send(shared, request, progress, stopwatch).await?;
                (answer, Some(open))
            }
        };
        let times = open.as_ref().map(|open| open.times.clone());
        // One that needs a connection waits for it. Any other starts when it is written.
        if progress.connect_ns.is_none()
            && let Some(written_ns) = times.as_ref().and_then(IoTimes::written_ns)
        {
            start_ns = written_ns;
        }
        let first_read_ns = times.as_ref().and_then(IoTimes::first_read_ns);
        let first_byte_ns = first_read_ns.unwrap_or_else(|| stopwatch.now_ns());
        progress.first_byte_ns = Some(first_byte_ns.saturating_sub(start_ns));
        let clock = ReadClock { times, stopwatch };
        let (head, body) = answer.into_parts();
        let (status, headers) = (head.status, head.headers);
        let framing = framing(&headers).filter(|_| status.is_success());
        let (body, end_ns, is_whole) = if let Some(framing) = framing {
            let Some(fields) = &shared.stream else {
                let detail = "the response is a stream of events, expected one JSON document: set stream = true in [model.endpoint], or turn streaming off in the request";
                return Err(failed(Kind::Answer, detail.to_owned()));
            };
            let reader = StreamReader::new(fields.clone(), framing);
            read_stream(body, reader, start_ns, &clock).await
        } else {
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await.map_err(|error| {
                let detail = format!("the response was cut off: {}", one_line(&*error));
                failed(Kind::Unreachable, detail)
            })?;
            (Body::Document(body.to_bytes()), clock.read_ns(), true)
        };
        // One whose end was announced isn't kept, so that its end is no reconnect.
        if is_whole && head.version == Version::HTTP_11 && !is_last(&headers) {
            self.0 = open;
        }
        Ok(Answered { status, headers, body, version: head.version, start_ns, end_ns })
    }
}

/// What came back, and when it was asked for and complete.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    version: Version,
    start_ns: u64,
    end_ns: u64,
}

/// Tells when the bytes at hand were read.
struct ReadClock<'a> {
    /// `None` over HTTP/2, whose requests share a connection.
    times: Option<IoTimes>,
    stopwatch: &'a Stopwatch,
}

impl ReadClock<'_> {
    fn read_ns(&self) -> u64 {
        let read_ns = self.times.as_ref().and_then(IoTimes::last_read_ns);
        read_ns.unwrap_or_else(|| self.stopwatch.now_ns())
    }
}

/// Reads a stream to its final event. Returns when that came, and whether the response has ended,
/// too, so that its connection can be used again.
async fn read_stream(
    mut body: Incoming,
    mut reader: StreamReader,
    start_ns: u64,
    clock: &ReadClock<'_>,
) -> (Body, u64, bool) {
    let now_ns = || clock.stopwatch.now_ns();
    let broken = |broken: Broken| (Body::Stream(Err(broken)), now_ns(), false);
    loop {
        let next = match reader.stalls_at_ns() {
            None => body.frame().await,
            Some(at_ns) => {
                let left = Duration::from_nanos(at_ns.saturating_sub(now_ns()));
                match tokio::time::timeout(left, body.frame()).await {
                    Ok(next) => next,
                    Err(_) => return broken(reader.fail(End::Stalled)),
                }
            }
        };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return broken(reader.fail(End::Broken(&one_line(&error)))),
            None => return broken(reader.fail(End::Closed)),
        };
        let Ok(bytes) = frame.into_data() else { continue };
        let at_ns = clock.read_ns();
        match reader.push(&bytes, at_ns) {
            Ok(Stream::Open) => {}
            Ok(Stream::Done) => {
                let rest = async {
                    loop {
                        match body.frame().await {
                            Some(Ok(_)) => {}
                            end => break end.is_none(),
                        }
                    }
                };
                let is_whole = tokio::time::timeout(END_TIMEOUT, rest).await.unwrap_or(false);
                let streamed = reader.finish(at_ns.saturating_sub(start_ns));
                return (Body::Stream(streamed.map(Box::new)), at_ns, is_whole);
            }
            Err(error) => return broken(error),
        }
    }
}

/// How the events of a body are sent, if it is a stream of them, which may never end.
fn framing(headers: &HeaderMap) -> Option<Framing> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    if kind.starts_with("text/event-stream") {
        Some(Framing::Plain)
    } else if kind.starts_with(aws_frames::CONTENT_TYPE) {
        Some(Framing::AwsMessages)
    } else {
        None
    }
}

/// Whether the server announces that it closes the connection after this response.
fn is_last(headers: &HeaderMap) -> bool {
    let options = headers.get_all(CONNECTION).iter().filter_map(|options| options.to_str().ok());
    options
        .flat_map(|options| options.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

async fn connect(route: &Route, stopwatch: &Stopwatch) -> Result<Open, Failure> {
    let times = IoTimes::new(stopwatch);
    let stream = route.connect(&times).await?;
    handshake(stream, times)
        .await
        .map_err(|error| route.unreachable("HTTP handshake failed", &error))
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    times: IoTimes,
) -> Result<Open, hyper::Error> {
    let stream = TimedIo { stream, times: times.clone() };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its sender. The waiting request gets the error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(Open { sender, times })
}
