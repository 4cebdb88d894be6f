//! A folder of certificates -> the TLS configuration of the listener. Reloaded when files change, so certificates can
//! be renewed while a campaign runs.

use super::authority::{AGENT, CA, CONTROLLER, certificate_file, hosts_of, key_file};
use ops::{input_file, text_file};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't read {}; create it with `controller certs init --host NAME`, or choose another folder with --certs", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("invalid certificates in {}", folder.display())]
    Use {
        folder: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The controller's side of TLS.
pub struct Tls {
    folder: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    files: [u8; 32],
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the certificates of a folder.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let current = Current { files: fingerprint(folder), config: Arc::new(config(folder)?) };
        Ok(Self { folder: folder.to_owned(), current: Mutex::new(current) })
    }

    /// Reloads the folder if its files changed; new connections use the new files. Returns whether they changed.
    /// After an error the previous configuration stays in use.
    pub fn read_again(&self) -> Result<bool, Error> {
        let files = fingerprint(&self.folder);
        if self.lock().files == files {
            return Ok(false);
        }
        let config = Arc::new(config(&self.folder)?);
        *self.lock() = Current { files, config };
        Ok(true)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.lock().config)
    }

    /// The first host of the certificate that isn't loopback.
    pub fn host(&self) -> Option<String> {
        let is_local = |host: &String| matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        hosts_of(&self.folder).into_iter().find(|host| !is_local(host))
    }

    /// The agent's command-line arguments on another machine.
    pub fn arguments(&self) -> String {
        let ca = certificate_file(&self.folder, CA);
        let (certificate, key) =
            (certificate_file(&self.folder, AGENT), key_file(&self.folder, AGENT));
        format!("--ca {} --cert {} --key {}", ca.display(), certificate.display(), key.display())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fingerprint(folder: &Path) -> [u8; 32] {
    let mut hash = Sha256::new();
    let paths = [
        certificate_file(folder, CA),
        certificate_file(folder, CONTROLLER),
        key_file(folder, CONTROLLER),
    ];
    for path in paths {
        // An unreadable file is reported where it is used.
        hash.update(input_file::read(&path).unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// Not with the parser's own functions for files, which would wait for a named pipe.
fn read(path: &Path) -> Result<String, pem::Error> {
    text_file::read_to_string(path).map_err(pem::Error::Io)
}

fn config(folder: &Path) -> Result<ServerConfig, Error> {
    let used = |source: Box<dyn std::error::Error + Send + Sync>| Error::Use {
        folder: folder.to_owned(),
        source,
    };
    let certificates = |name: &str| -> Result<Vec<CertificateDer<'static>>, Error> {
        let path = certificate_file(folder, name);
        read(&path)
            .and_then(|text| CertificateDer::pem_slice_iter(text.as_bytes()).collect())
            .map_err(|source| Error::Read { path, source })
    };
    let key_path = key_file(folder, CONTROLLER);
    let key = read(&key_path)
        .and_then(|text| PrivateKeyDer::from_pem_slice(text.as_bytes()))
        .map_err(|source| Error::Read { path: key_path, source })?;
    let mut trusted = RootCertStore::empty();
    for authority in certificates(CA)? {
        trusted.add(authority).map_err(|error| used(error.into()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Clients without a certificate authenticate with a token; a certificate, if present, must be valid.
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| used(error.into()))?;
    let own = certificates(CONTROLLER)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(own, key))
        .map_err(|error| used(error.into()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No session resumption: every connection presents its certificate, so an expired one is refused.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
