//! Issued tokens and revocations. Reloaded from the store while a campaign runs, so agents can be added and revoked
//! without stopping it.

use super::{Hash, certificate::Certificate};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone)]
pub struct GivenToken {
    pub name: String,
    pub hash: Hash,
    pub is_revoked: bool,
}

/// Certificates of a name are valid only if created after this second.
#[derive(Debug, Clone)]
pub struct RevokedCertificates {
    pub name: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Every token ever issued.
    pub tokens: Vec<GivenToken>,
    /// One per revoked name.
    pub certificates: Vec<RevokedCertificates>,
}

impl Roster {
    /// The token with this hash. All are compared, so that timing reveals nothing.
    pub(super) fn token(&self, hash: &Hash) -> Option<&GivenToken> {
        self.tokens
            .iter()
            .fold(None, |found, token| if token.hash.is(hash) { Some(token) } else { found })
    }

    /// Whether the certificate predates the revocation of its name. Certificates carry whole seconds.
    pub(super) fn is_revoked(&self, certificate: &Certificate) -> bool {
        self.certificates.iter().any(|revoked| {
            revoked.name == certificate.name
                && certificate.issued_at.timestamp() <= revoked.at.timestamp()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_created_after_the_revocation_is_valid() {
        let at = |seconds| DateTime::from_timestamp(seconds, 500_000_000).unwrap();
        let revoked = RevokedCertificates { name: "a".to_owned(), at: at(100) };
        let roster = Roster { tokens: Vec::new(), certificates: vec![revoked] };
        let certificate = |name: &str, seconds| Certificate {
            name: name.to_owned(),
            issued_at: DateTime::from_timestamp(seconds, 0).unwrap(),
        };
        assert!(roster.is_revoked(&certificate("a", 99)));
        assert!(roster.is_revoked(&certificate("a", 100)));
        assert!(!roster.is_revoked(&certificate("a", 101)));
        assert!(!roster.is_revoked(&certificate("b", 99)));
    }
}
