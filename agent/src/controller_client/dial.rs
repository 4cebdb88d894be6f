//! How the controller is dialled: once for each connection, with what broke the connection kept.
//!
//! In TLS 1.3 the controller judges this agent's certificate after the handshake. Where that is read before a request
//! was taken, hyper says of the request only that the connection closed, and tonic dials again by itself. So the
//! reason is kept here, and another connection is the caller's to make.

use super::refused::{self, SpeaksTls};
use super::{Error, Identity};
use crate::http_authority::Origin;
use hyper_util::rt::TokioIo;
use proto::plaintext_rejection::PLAINTEXT_REJECTION;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
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
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::{Channel, Endpoint};

/// A connection must be made by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often an idle connection is tried.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The way to a controller, for one connection.
#[derive(Debug)]
pub(super) struct Dial {
    endpoint: Endpoint,
    line: Line,
}

impl Dial {
    /// With what the files of certificates hold now.
    ///
    /// # Errors
    /// [`Error`] where the URL or the files can't be used.
    pub(super) fn new(url: &str, identity: &Identity) -> Result<Self, Error> {
        let no_url = || Error::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| no_url())?;
        let origin = Origin::of(&uri).ok_or_else(no_url)?;
        let tls = match identity.tls(url, &uri)? {
            None => None,
            Some(config) => {
                let server = ServerName::try_from(origin.host.clone()).map_err(|_| no_url())?;
                Some((Arc::new(config), server))
            }
        };
        // TLS is made here, so tonic's own must not be asked for.
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let plain = Uri::from_parts(parts).map_err(|_| no_url())?;
        let endpoint = Endpoint::from(plain)
            .origin(uri)
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let server = (origin.host, origin.port);
        let line = Line { server, tls, dialled: Arc::default(), fault: Arc::default() };
        Ok(Self { endpoint, line })
    }

    /// Makes the connection.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        self.endpoint.connect_with_connector(self.line.clone()).await
    }

    /// Why dialling again can't help, with the way out; null where it may. `error` is what the call got to know.
    pub(super) fn refusal(&self, error: &(dyn std::error::Error + 'static)) -> Option<String> {
        let fault = self.line.fault.get();
        fault.and_then(|fault| refused::for_good(fault)).or_else(|| refused::for_good(error))
    }
}

#[derive(Debug, Clone)]
struct Line {
    server: (String, u16),
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    dialled: Arc<AtomicBool>,
    fault: Arc<OnceLock<io::Error>>,
}

impl Line {
    async fn connect(self) -> io::Result<TokioIo<Connection>> {
        let Self { server: (name, port), tls, dialled, fault } = self;
        if dialled.swap(true, Ordering::Relaxed) {
            let why = fault
                .get()
                .map_or_else(|| "the connection closed".to_owned(), io::Error::to_string);
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        let stream = TcpStream::connect((name.as_str(), port)).await?;
        // Messages are small and awaited.
        stream.set_nodelay(true)?;
        let (reader, writer, beginning): (Reader, Writer, _) = match tls {
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
        Ok(TokioIo::new(tokio::io::join(Watched { reader, beginning, fault }, writer)))
    }
}

impl Service<Uri> for Line {
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
/// What is read is watched, what is written is not.
type Connection = Join<Watched, Writer>;

/// What comes over a connection, with the error that broke it: hyper keeps no more than its text, where it keeps that.
struct Watched {
    reader: Reader,
    /// What came first over plain HTTP, until it is known not to be the door's answer.
    beginning: Option<Vec<u8>>,
    fault: Arc<OnceLock<io::Error>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.reader).poll_read(context, buffer));
        self.listen(&buffer.filled()[before..]);
        Poll::Ready(read.map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            // The first one is the reason; what follows comes of it.
            drop(self.fault.set(error));
            told
        }))
    }
}

impl Watched {
    fn listen(&mut self, bytes: &[u8]) {
        let Some(beginning) = &mut self.beginning else { return };
        beginning.extend(bytes.iter().take(PLAINTEXT_REJECTION.len() - beginning.len()));
        if *beginning == PLAINTEXT_REJECTION {
            drop(self.fault.set(io::Error::other(SpeaksTls)));
        }
        if !PLAINTEXT_REJECTION.starts_with(beginning)
            || beginning.len() == PLAINTEXT_REJECTION.len()
        {
            self.beginning = None;
        }
    }
}
