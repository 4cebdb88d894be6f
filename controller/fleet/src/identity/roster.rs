//! Who has a token of its own, and whose tokens and certificates were revoked. Read from the store again and
//! again while a campaign runs, so that agents are added and revoked without stopping it.

use super::Hash;
use super::certificate::Certificate;
use chrono::{DateTime, Utc};

/// A token that was given to an agent.
#[derive(Debug, Clone)]
pub struct GivenToken {
    /// Whose.
    pub name: String,
    /// Of the token.
    pub hash: Hash,
    /// Nobody joins with it any more.
    pub is_revoked: bool,
}

/// Certificates of a name count only if they were made after this second.
#[derive(Debug, Clone)]
pub struct RevokedCertificates {
    /// Whose.
    pub name: String,
    /// When they were revoked.
    pub at: DateTime<Utc>,
}

/// All that is known of agents' tokens and certificates.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Every token that was ever given.
    pub tokens: Vec<GivenToken>,
    /// One for each name whose certificates were revoked.
    pub certificates: Vec<RevokedCertificates>,
}

impl Roster {
    /// The token with this hash. Every one is compared, so that time doesn't tell which it is.
    pub(super) fn token(&self, hash: &Hash) -> Option<&GivenToken> {
        self.tokens
            .iter()
            .fold(None, |found, token| if token.hash.is(hash) { Some(token) } else { found })
    }

    /// Whether a certificate was made before its name was revoked. Certificates are stamped with whole seconds.
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
    fn a_certificate_that_was_made_after_its_name_was_revoked_counts() {
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
