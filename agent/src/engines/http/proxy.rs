//! The proxy of the environment for an endpoint: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`, with the rules of curl. Requests to this machine never use one.

use super::Error;
use crate::http_authority::HttpAuthority;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// Marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("the connection to the proxy broke")]
    Connection(#[from] hyper::Error),
    #[error("the address of the endpoint is invalid")]
    Address(#[from] hyper::http::Error),
    #[error("the proxy refused the connection: {0}")]
    Refused(StatusCode),
}

impl Proxy {
    /// `variable` reads the environment.
    pub(super) fn of(
        endpoint: &Uri,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Error> {
        if HttpAuthority::of(endpoint).is_some_and(|authority| authority.is_loopback()) {
            return Ok(None);
        }
        let read = |name: &str| {
            variable(name).or_else(|| variable(&name.to_lowercase())).unwrap_or_default()
        };
        let matcher = Matcher::builder()
            .all(read("ALL_PROXY"))
            .http(read("HTTP_PROXY"))
            .https(read("HTTPS_PROXY"))
            .no(read("NO_PROXY"))
            .build();
        let Some(found) = matcher.intercept(endpoint) else { return Ok(None) };
        let authority = HttpAuthority::of(found.uri()).filter(|authority| !authority.is_tls);
        // Not repeated: it may contain a password.
        let authority = authority.ok_or(Error::Proxy)?;
        let authorization = found.basic_auth().cloned().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Some(Self { host: authority.host, port: authority.port, authorization }))
    }

    /// `HOST:PORT`.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Opens a tunnel to `server`, a `HOST:PORT`, over a connection to the proxy.
    pub(super) async fn tunnel(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        server: &str,
    ) -> Result<TokioIo<Upgraded>, TunnelError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the tunnel. The waiting request gets the error.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        let mut request =
            Request::builder().method(Method::CONNECT).uri(server).header(HOST, server);
        if let Some(authorization) = &self.authorization {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        if !response.status().is_success() {
            return Err(TunnelError::Refused(response.status()));
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn of(endpoint: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, Error> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(its, _)| *its == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Proxy::of(&endpoint.parse().unwrap(), &variable)
    }

    fn shown(endpoint: &str, variables: &[(&str, &str)]) -> Option<String> {
        of(endpoint, variables).unwrap().map(|proxy| proxy.shown())
    }

    #[test]
    fn the_variables_have_the_rules_of_curl() {
        let both = [("HTTPS_PROXY", "http://secure:1"), ("HTTP_PROXY", "plain:2")];
        assert_eq!(shown("https://models.example/x", &both).as_deref(), Some("secure:1"));
        assert_eq!(shown("http://models.example/x", &both).as_deref(), Some("plain:2"));
        let all = [("all_proxy", "http://all")];
        assert_eq!(shown("https://models.example/x", &all).as_deref(), Some("all:80"));
        let but =
            [("https_proxy", "http://secure:1"), ("no_proxy", "other.example,.models.example")];
        assert_eq!(shown("https://a.models.example/x", &but), None);
        assert!(shown("https://example/x", &but).is_some());
        assert_eq!(shown("https://models.example/x", &[]), None);
        for here in ["https://localhost:1/x", "http://127.0.0.1:1/x", "http://[::1]:1/x"] {
            assert_eq!(shown(here, &both), None);
        }
    }

    #[test]
    fn passwords_are_sent_and_not_shown() {
        let with = [("HTTPS_PROXY", "http://ann:s3cret@secure:1")];
        let proxy = of("https://models.example/x", &with).unwrap().unwrap();
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic YW5uOnMzY3JldA==");
        assert!(!format!("{proxy:?}").contains("YW5u"));
        let other = [("HTTPS_PROXY", "socks5://ann:s3cret@secure:1")];
        let error = of("https://models.example/x", &other).unwrap_err().to_string();
        assert!(
            error.contains("expected http://HOST:PORT") && !error.contains("s3cret"),
            "{error}"
        );
    }

    /// A proxy that answers one request with `answer`, and then repeats what it receives. Gives the
    /// head of the request.
    async fn proxy(answer: &'static str) -> (Proxy, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            drop(tokio::io::copy(&mut reader, &mut writer).await);
            String::from_utf8(head).unwrap()
        });
        let authorization = Some(HeaderValue::from_static("Basic YW5uOnMzY3JldA=="));
        let (host, port) = (address.ip().to_string(), address.port());
        (Proxy { host, port, authorization }, served)
    }

    #[tokio::test]
    async fn a_tunnel_carries_bytes_and_its_refusal_is_an_error() {
        let (through, served) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
        let stream = TcpStream::connect((through.host.as_str(), through.port)).await.unwrap();
        let mut tunnel = through.tunnel(stream, "models.example:443").await.unwrap();
        tunnel.write_all(b"hello").await.unwrap();
        let mut said = [0; 5];
        tunnel.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
        drop(tunnel);
        let head = served.await.unwrap();
        assert!(head.starts_with("CONNECT models.example:443 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("proxy-authorization: Basic YW5uOnMzY3JldA=="), "{head}");

        let (refuses, _served) =
            proxy("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
        let stream = TcpStream::connect((refuses.host.as_str(), refuses.port)).await.unwrap();
        let refused = refuses.tunnel(stream, "models.example:443").await.err();
        let expected = "the proxy refused the connection: 407 Proxy Authentication Required";
        assert_eq!(refused.map(|error| error.to_string()).as_deref(), Some(expected));
    }
}
