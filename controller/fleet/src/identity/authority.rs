//! The campaign's certificate authority: creates certificates of the controller and of agents.
//!
//! The only place that knows the file names in a certificate folder.

use super::certificate;
use chrono::{DateTime, Utc};
use model::finding::Lifetime;
use ops::{atomic_file, text_file};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{os::unix::fs::DirBuilderExt, time::Duration};

/// The authority, trusted by both sides.
pub const CA: &str = "ca";
pub const CONTROLLER: &str = "controller";
/// The agent certificate created by `certs init`.
pub const AGENT: &str = "agent";
/// Host names used by agents on the controller's machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Controller certificates start this much in the past: agents' clocks may lag.
const CLOCK_SLACK: Duration = Duration::from_hours(1);
const CA_DAYS: u32 = 3650;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{} already exists, and a new authority would invalidate its certificates; create certificates with it \
         (`controller certs agent NAME`, `controller certs controller`), or choose another --dir",
        path.display()
    )]
    Exists { path: PathBuf },
    #[error("no certificate authority in {}; create one with `controller certs init`", folder.display())]
    Missing {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("can't write {}; choose another --dir", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "invalid agent name `{name}`: expected at most 64 letters, digits, dots, dashes and underscores"
    )]
    Name { name: String },
    #[error("invalid --host `{host}`: expected a host name or an IP address")]
    Host { host: String },
    /// Damaged authority files, or no randomness.
    #[error("can't create a certificate")]
    Make(#[from] rcgen::Error),
}

#[derive(Debug, Clone, Copy)]
pub struct Validity {
    pub now: DateTime<Utc>,
    pub days: u32,
}

/// PEM.
struct Pair {
    certificate: String,
    key: String,
}

pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

pub fn certificate_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

pub fn key_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key"))
}

impl Authority {
    /// Creates an authority and its files.
    pub fn make(folder: &Path, now: DateTime<Utc>) -> Result<Self, Error> {
        let path = certificate_file(folder, CA);
        if path.exists() {
            return Err(Error::Exists { path });
        }
        let key = KeyPair::generate()?;
        // Authorities have distinct names, so that errors tell them apart.
        let name = hex::encode(&Sha256::digest(key.public_key_raw())[..4]);
        let validity = Validity { now, days: CA_DAYS };
        let mut params = params(&format!("Fleetmark CA {name}"), validity, CLOCK_SLACK);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Error::Write { path: folder.to_owned(), source })?;
        let pair = Pair { certificate, key: key.serialize_pem() };
        write(folder, CA, &pair)?;
        Ok(Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Reads the authority of a folder.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let read = |path: PathBuf| {
            text_file::read_to_string(&path)
                .map_err(|source| Error::Missing { folder: folder.to_owned(), source })
        };
        let key = KeyPair::from_pem(&read(key_file(folder, CA))?)?;
        let issuer = Issuer::from_ca_cert_pem(&read(certificate_file(folder, CA))?, key)?;
        Ok(Self { folder: folder.to_owned(), issuer })
    }

    /// Creates the controller's certificate for `hosts` and loopback; without `hosts`, for those of the existing
    /// certificate.
    pub fn controller(&self, hosts: &[String], validity: Validity) -> Result<Vec<String>, Error> {
        let mut all = if hosts.is_empty() { hosts_of(&self.folder) } else { hosts.to_vec() };
        let known = all.clone();
        let is_new = |local: &String| !known.contains(local);
        all.extend(LOCAL.map(str::to_owned).into_iter().filter(is_new));
        let mut params = params("Fleetmark controller", validity, CLOCK_SLACK);
        for host in &all {
            let of_host = CertificateParams::new([host.clone()]);
            let of_host = of_host.map_err(|_| Error::Host { host: host.clone() })?;
            params.subject_alt_names.extend(of_host.subject_alt_names);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        write(&self.folder, CONTROLLER, &self.sign(&params)?)?;
        Ok(all)
    }

    /// Creates a certificate for agents of this name, valid from now: revoking a name ends certificates made before.
    pub fn agent(&self, name: &str, validity: Validity) -> Result<(), Error> {
        check_name(name)?;
        let mut params = params(name, validity, Duration::ZERO);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        write(&self.folder, name, &self.sign(&params)?)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Pair, Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// Checks a name that becomes a file name and a certificate's common name.
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_ours = [CA, CONTROLLER].contains(&name);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if name.len() <= 64 && starts_well && name.chars().all(is_plain) && !is_ours {
        Ok(())
    } else {
        Err(Error::Name { name: name.to_owned() })
    }
}

/// The first certificate of a PEM file, if it can be read.
fn certificate_of(path: &Path) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(text_file::read_to_string(path).ok()?.as_bytes()).ok()
}

/// The hosts of the controller's certificate in a folder.
pub fn hosts_of(folder: &Path) -> Vec<String> {
    certificate_of(&certificate_file(folder, CONTROLLER))
        .map(|certificate| certificate::hosts(&certificate))
        .unwrap_or_default()
}

/// File name and validity of every readable certificate in a folder.
pub fn lifetimes_of(folder: &Path) -> Vec<(String, Lifetime)> {
    files_of(folder, "pem")
        .into_iter()
        .filter_map(|path| {
            let der = certificate_of(&path)?;
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, certificate::lifetime(&der)?))
        })
        .collect()
}

/// The files of a folder with this extension, sorted.
pub fn files_of(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}

fn params(name: &str, validity: Validity, slack: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let second = |at: DateTime<Utc>| {
        time::OffsetDateTime::from_unix_timestamp(at.timestamp())
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    };
    params.not_before = second(validity.now - slack);
    params.not_after = second(validity.now + chrono::Duration::days(validity.days.into()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Replaces both files atomically, with mode 0600. The key comes first: a reader in between finds a pair that doesn't
/// match and retries.
fn write(folder: &Path, name: &str, pair: &Pair) -> Result<(), Error> {
    let files =
        [(key_file(folder, name), &pair.key), (certificate_file(folder, name), &pair.certificate)];
    for (path, text) in files {
        atomic_file::write_secret(&path, text.as_bytes())
            .map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn validity() -> Validity {
        Validity { now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(), days: 30 }
    }

    #[test]
    fn a_reloaded_authority_signs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let made = Authority::make(folder, validity().now).unwrap();
        made.controller(&["bench.example".to_owned()], validity()).unwrap();
        assert!(matches!(Authority::make(folder, validity().now), Err(Error::Exists { .. })));

        let read = Authority::read(folder).unwrap();
        read.agent("a-1", validity()).unwrap();
        let hosts = read.controller(&[], validity()).unwrap();
        assert_eq!(hosts, ["bench.example", "localhost", "127.0.0.1", "::1"]);
        assert_eq!(hosts_of(folder), hosts);
        let agent = CertificateDer::from_pem_file(certificate_file(folder, "a-1")).unwrap();
        let agent = super::super::Certificate::read(&agent).unwrap();
        assert_eq!((agent.name.as_str(), agent.issued_at), ("a-1", validity().now));
    }

    #[test]
    fn files_have_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("certs");
        let authority = Authority::make(&folder, validity().now).unwrap();
        authority.controller(&[], validity()).unwrap();
        authority.agent(AGENT, validity()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let files: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 6, "{files:?}");
        assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        for name in
            ["", "..", "../x", "a/b", ".hidden", "ca", "controller", "a\nb", &"x".repeat(65)]
        {
            assert!(matches!(check_name(name), Err(Error::Name { .. })), "{name}");
        }
        check_name("gpu-1.eu_west").unwrap();
    }
}
