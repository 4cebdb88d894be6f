//! How this agent proves who it is, and how it knows the controller: a token, a certificate, an authority.
//!
//! Files are read again for every connection, so that they can be renewed while the agent runs.

use super::Error;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Identity as Pair, Uri};

/// A secret.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes it from a file's or a pipe's text.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where a token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// None is brought.
    None,
    /// It came through a pipe.
    Given(Token),
    /// Read for every connection.
    File(PathBuf),
}

/// What this agent brings and whom it trusts.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its token.
    pub token: TokenSource,
    /// The authority that signed the controller's certificate.
    pub ca: Option<PathBuf>,
    /// Its own certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Secret { path: path.to_owned(), source })
}

impl Identity {
    /// Checks that this URL can be dialled with what is brought. Null for plain HTTP, which is for loopback only.
    ///
    /// # Errors
    /// [`Error::Plain`] where secrets would travel in the open, [`Error::Ca`] where nobody vouches for the controller.
    pub(super) fn tls(&self, url: &str, uri: &Uri) -> Result<Option<ClientTlsConfig>, Error> {
        if uri.scheme_str() != Some("https") {
            let host = uri.host().unwrap_or_default();
            return if is_loopback(host) {
                Ok(None)
            } else {
                Err(Error::Plain { url: url.to_owned() })
            };
        }
        let Some(ca) = &self.ca else { return Err(Error::Ca { url: url.to_owned() }) };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        if let Some((certificate, key)) = &self.certificate {
            tls = tls.identity(Pair::from_pem(read(certificate)?, read(key)?));
        }
        Ok(Some(tls))
    }

    /// The `authorization` header; null without a token.
    ///
    /// # Errors
    /// [`Error::Secret`] where its file can't be read, [`Error::Token`] where it holds no token.
    pub(super) fn header(&self) -> Result<Option<AsciiMetadataValue>, Error> {
        let token = match &self.token {
            TokenSource::None => return Ok(None),
            TokenSource::Given(token) => token.clone(),
            TokenSource::File(path) => Token::new(&read(path)?),
        };
        let mut header = AsciiMetadataValue::try_from(format!("Bearer {}", token.0))
            .map_err(|_| Error::Token)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { token: TokenSource::None, ca: None, certificate: None }
    }

    fn tls(url: &str) -> Result<bool, Error> {
        let uri = url.parse().unwrap();
        identity().tls(url, &uri).map(|tls| tls.is_some())
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(!tls(url).unwrap(), "{url}");
        }
        for url in ["http://192.0.2.1:1", "http://bench.example:1", "http://127.0.0.1.example:1"] {
            assert!(matches!(tls(url), Err(Error::Plain { .. })), "{url}");
        }
        assert!(matches!(tls("https://127.0.0.1:1"), Err(Error::Ca { .. })));
    }

    #[test]
    fn a_token_shows_nowhere() {
        let token = Token::new("secret\n");
        let identity = Identity { token: TokenSource::Given(token), ..identity() };
        let header = identity.header().unwrap().unwrap();
        assert!(header.is_sensitive());
        assert!(!format!("{identity:?} {header:?}").contains("secret"));
    }
}
