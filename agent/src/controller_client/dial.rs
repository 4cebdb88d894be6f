//! Dials the controller once per connection and keeps the error that broke it.
//!
//! In TLS 1.3 the controller verifies this agent's certificate after the handshake. If its alert
//! arrives before a request was accepted, hyper reports only a closed connection, and tonic redials
//! on its own. So this module keeps the reason, and leaves reconnecting to its caller.

use super::identity::Tls;
use super::rejection::{self, SpeaksTls};
use super::signing::ShardSigner;
use super::{Error, Identity};
use crate::http_authority::HttpAuthority;
use hyper_util::rt::TokioIo;
use proto::plaintext_rejection::PLAINTEXT_REJECTION;
use rustls::sign::SigningKey;
use rustls::{ClientConfig, pki_types::ServerName};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::{Service, http::Uri, http::uri::Scheme};
use tonic::transport::{Channel, Endpoint};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Dialer {
    endpoint: Endpoint,
    /// Of the certificate that the connection presents.
    key: Option<Arc<dyn SigningKey>>,
    connector: Connector,
}

impl Dialer {
    /// Reads the certificate files.
    pub(super) fn new(url: &str, identity: &Identity) -> Result<Self, Error> {
        let no_url = || Error::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| no_url())?;
        let authority = HttpAuthority::of(&uri).ok_or_else(no_url)?;
        let mut own_key = None;
        let tls = match identity.tls(url, &uri)? {
            None => None,
            Some(Tls { config, key }) => {
                own_key = key;
                let server = ServerName::try_from(authority.host.clone()).map_err(|_| no_url())?;
                Some((Arc::new(config), server))
            }
        };
        // TLS is established here, so tonic must not add its own.
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let plain = Uri::from_parts(parts).map_err(|_| no_url())?;
        let endpoint = Endpoint::from(plain)
            .origin(uri)
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let server = (authority.host, authority.port);
        let connector =
            Connector { server, tls, dialled: Arc::default(), first_error: Arc::default() };
        Ok(Self { endpoint, key: own_key, connector })
    }

    /// Signs shards as the connection is authenticated. `None` without a certificate.
    pub(super) fn signer(&self) -> Option<ShardSigner> {
        ShardSigner::new(Arc::clone(self.key.as_ref()?))
    }

    pub(super) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        self.endpoint.connect_with_connector(self.connector.clone()).await
    }

    /// The reason and remedy if retrying cannot succeed. `error` is the error of the call.
    pub(super) fn refusal(&self, error: &(dyn std::error::Error + 'static)) -> Option<String> {
        let first_error = self.connector.first_error.get();
        first_error
            .and_then(|first_error| rejection::permanent(first_error))
            .or_else(|| rejection::permanent(error))
    }
}

#[derive(Debug, Clone)]
struct Connector {
    server: (String, u16),
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    dialled: Arc<AtomicBool>,
    first_error: Arc<OnceLock<io::Error>>,
}

impl Connector {
    async fn connect(self) -> io::Result<TokioIo<Connection>> {
        let Self { server: (name, port), tls, dialled, first_error } = self;
        if dialled.swap(true, Ordering::Relaxed) {
            let why = first_error
                .get()
                .map_or_else(|| "the connection closed".to_owned(), io::Error::to_string);
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        let stream = TcpStream::connect((name.as_str(), port)).await?;
        // Messages are small and latency matters.
        stream.set_nodelay(true)?;
        let (reader, writer, prefix): (Reader, Writer, _) = match tls {
            None => {
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer), Some(Vec::new()))
            }
            Some((config, server)) => {
                let stream = TlsConnector::from(config).connect(server, stream).await?;
                let (reader, writer) = tokio::io::split(stream);
                (Box::new(reader), Box::new(writer), None)
            }
        };
        Ok(TokioIo::new(tokio::io::join(MonitoredReader { reader, prefix, first_error }, writer)))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;
/// Only the reading side is monitored.
type Connection = Join<MonitoredReader, Writer>;

/// A reader that keeps the error that broke the connection: hyper keeps at most its text.
struct MonitoredReader {
    reader: Reader,
    /// The first bytes over plain HTTP, until they differ from `PLAINTEXT_REJECTION`.
    prefix: Option<Vec<u8>>,
    first_error: Arc<OnceLock<io::Error>>,
}

impl AsyncRead for MonitoredReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.reader).poll_read(context, buffer));
        self.inspect(&buffer.filled()[before..]);
        Poll::Ready(read.map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            // The first error is the cause of the later ones.
            drop(self.first_error.set(error));
            told
        }))
    }
}

impl MonitoredReader {
    fn inspect(&mut self, bytes: &[u8]) {
        let Some(prefix) = &mut self.prefix else { return };
        prefix.extend(bytes.iter().take(PLAINTEXT_REJECTION.len() - prefix.len()));
        if *prefix == PLAINTEXT_REJECTION {
            drop(self.first_error.set(io::Error::other(SpeaksTls)));
        }
        if !PLAINTEXT_REJECTION.starts_with(prefix) || prefix.len() == PLAINTEXT_REJECTION.len() {
            self.prefix = None;
        }
    }
}
