//! What a certificate says of its holder. The handshake has checked its signature and its time before.

use chrono::{DateTime, Utc};
use model::finding::Lifetime;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that our authority signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name: which agent it is of.
    pub name: String,
    /// From when it holds, which is when it was made.
    pub issued_at: DateTime<Utc>,
}

impl Certificate {
    /// Reads DER. Null where it can't be read, or holds no name that can be taken.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        model::ids::check(name, "agent").ok()?;
        let issued_at = DateTime::from_timestamp(parsed.validity().not_before.timestamp(), 0)?;
        Some(Self { name: name.to_owned(), issued_at })
    }
}

/// When a certificate in DER holds; null where it can't be read.
pub(super) fn lifetime(der: &[u8]) -> Option<Lifetime> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let validity = parsed.validity();
    let (from_s, until_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Lifetime { from_s, until_s })
}

/// The names and addresses that a certificate in DER is for, as text.
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
