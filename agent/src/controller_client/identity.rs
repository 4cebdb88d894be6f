//! Authentication of this agent and of the controller: token, certificate, certificate authority.
//!
//! Files are read again for every connection, so that they can be renewed while the agent runs.

use super::Error;
use crate::http_authority::HttpAuthority;
use ops::text_file;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::{codegen::http::Uri, metadata::AsciiMetadataValue};

/// A secret with a redacting `Debug`.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[derive(Debug, Clone)]
pub enum TokenSource {
    None,
    /// Read from a pipe.
    Given(Token),
    /// Read again for every connection.
    File(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Identity {
    pub token: TokenSource,
    pub ca: Option<PathBuf>,
    /// Certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// The only protocol that the controller speaks within TLS (RFC 9113, 3.2).
const HTTP2: &[u8] = b"h2";

fn read(path: &Path) -> Result<String, Error> {
    text_file::read_to_string(path)
        .map_err(|source| Error::Secret { path: path.to_owned(), source })
}

fn unusable(path: &Path, why: impl fmt::Display) -> Error {
    Error::Certificate(io::Error::other(format!("{}: {why}", path.display())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let all = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| unusable(path, error))?;
    if all.is_empty() { Err(unusable(path, "no certificate found")) } else { Ok(all) }
}

/// This agent's side of a TLS connection.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: ClientConfig,
    /// Of its certificate.
    pub(super) key: Option<Arc<dyn SigningKey>>,
}

impl Identity {
    /// TLS for a URL. `None` for plain HTTP, which is an error off loopback.
    pub(super) fn tls(&self, url: &str, uri: &Uri) -> Result<Option<Tls>, Error> {
        if uri.scheme_str() != Some("https") {
            return if HttpAuthority::of(uri).is_some_and(|authority| authority.is_loopback()) {
                Ok(None)
            } else {
                Err(Error::Plain { url: url.to_owned() })
            };
        }
        let Some(ca) = &self.ca else { return Err(Error::Ca { url: url.to_owned() }) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| unusable(ca, error))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let keys = provider.key_provider;
        let mut own_key = None;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Certificate(io::Error::other(error)))?
            .with_root_certificates(roots);
        let mut config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let pem = read(key)?;
                let pair = PrivateKeyDer::from_pem_slice(pem.as_bytes());
                let pair = pair.map_err(|error| unusable(key, error))?;
                own_key = keys.load_private_key(pair.clone_key()).ok();
                let config = config.with_client_auth_cert(certificates(certificate)?, pair);
                config.map_err(|error| unusable(certificate, error))?
            }
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Some(Tls { config, key: own_key }))
    }

    /// The `authorization` header. `None` without a token.
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
