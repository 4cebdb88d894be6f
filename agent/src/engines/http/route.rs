//! The way to an endpoint: TCP, through a proxy if there is one, with TLS if the endpoint has it.

use super::proxy::Proxy;
use super::stamped_tcp::stamped;
use super::timed_io::IoTimes;
use super::{Error, failed};
use model::endpoint::HttpVersion;
use model::failure::{Failure, Kind};
use ops::error_chain::one_line;
use rustls::{ClientConfig, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ALPN_HTTP2: &[u8] = b"h2";

#[derive(Debug)]
pub(super) struct Route {
    /// Name and port.
    pub(super) server: (String, u16),
    pub(super) proxy: Option<Proxy>,
    pub(super) tls: Option<Tls>,
}

#[derive(Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

/// What a request learned on its way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) connect_ns: Option<u64>,
    pub(super) first_byte_ns: Option<u64>,
    pub(super) is_reconnected: bool,
}

/// A connection on which nothing was said yet.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

impl Tls {
    /// With the certificates of the system.
    pub(super) fn new(server: ServerName<'static>, version: HttpVersion) -> Result<Self, Error> {
        let failed = |error: rustls::Error| Error::System(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(failed)?
            .with_no_client_auth();
        if version == HttpVersion::Http2 {
            config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        }
        Ok(Self { config: Arc::new(config), server })
    }

    async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(self.server.clone(), stream).await?;
        let is_asked = self.config.alpn_protocols.iter().any(|protocol| protocol == ALPN_HTTP2);
        // A server that knows no ALPN speaks HTTP/1.1.
        if is_asked && stream.get_ref().1.alpn_protocol() != Some(ALPN_HTTP2) {
            return Err(std::io::Error::other("the server doesn't offer HTTP/2"));
        }
        Ok(stream)
    }
}

impl Route {
    pub(super) async fn connect(&self, times: &IoTimes) -> Result<Box<dyn Transport>, Failure> {
        let (name, port) = (self.server.0.as_str(), self.server.1);
        let (host, at) = self.proxy.as_ref().map_or((name, port), |it| (it.host.as_str(), it.port));
        let stream = TcpStream::connect((host, at)).await;
        let stream = stream.map_err(|error| self.unreachable("connection failed", &error))?;
        let delayed = stream.set_nodelay(true);
        delayed.map_err(|error| self.unreachable("connection failed", &error))?;
        let stream = stamped(stream, times.clone());
        Ok(match (&self.tls, &self.proxy) {
            (None, _) => Box::new(stream),
            (Some(tls), None) => {
                let stream = tls.secure(stream).await;
                Box::new(stream.map_err(|error| self.unreachable("TLS handshake failed", &error))?)
            }
            (Some(tls), Some(proxy)) => {
                let server = match name {
                    name if name.contains(':') => format!("[{name}]:{port}"),
                    name => format!("{name}:{port}"),
                };
                let tunnel = proxy.tunnel(stream, &server).await;
                let tunnel = tunnel.map_err(|error| self.unreachable("no tunnel", &error))?;
                let stream = tls.secure(tunnel).await;
                Box::new(stream.map_err(|error| self.unreachable("TLS handshake failed", &error))?)
            }
        })
    }

    pub(super) fn unreachable(
        &self,
        what: &str,
        error: &(dyn std::error::Error + 'static),
    ) -> Failure {
        let (name, port) = (&self.server.0, self.server.1);
        let via = match &self.proxy {
            Some(proxy) => format!(" through the proxy {}", proxy.shown()),
            None => String::new(),
        };
        let detail = format!("{name}:{port}{via}: {what}: {}", one_line(error));
        failed(Kind::Unreachable, detail)
    }
}
