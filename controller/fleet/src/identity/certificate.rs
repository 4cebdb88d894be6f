//! Contents of a certificate, whose signature and validity the handshake has verified.

use chrono::{DateTime, Utc};
use model::finding::Lifetime;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The common name: the agent's name.
    pub name: String,
    /// Start of validity, which is when it was created.
    pub issued_at: DateTime<Utc>,
}

impl Certificate {
    /// Parses DER; `None` if it is malformed or has no valid name.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        model::ids::check(name, "agent").ok()?;
        let issued_at = DateTime::from_timestamp(parsed.validity().not_before.timestamp(), 0)?;
        Some(Self { name: name.to_owned(), issued_at })
    }
}

/// Validity of a DER certificate.
pub(super) fn lifetime(der: &[u8]) -> Option<Lifetime> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let validity = parsed.validity();
    let (from_s, until_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Lifetime { from_s, until_s })
}

/// Subject alternative names of a DER certificate.
pub(super) fn hosts(der: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|ip| IpAddr::from(ip).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|ip| IpAddr::from(ip).to_string())).ok()
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}
