//! Authentication: the campaign's token, an agent's own token, or a certificate of the campaign's authority.

pub mod authority;
mod certificate;
mod roster;
pub mod tls;
mod token;

pub use certificate::Certificate;
pub use roster::{GivenToken, RevokedCertificates, Roster};
pub use token::{Hash, Token};

use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The metadata key that carries a token.
pub const METADATA_KEY: &str = "authorization";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error(
        "no token and no certificate; start the agent with --token-file, or with --cert and --key"
    )]
    Nothing,
    /// Never issued, or of another campaign.
    #[error(
        "unknown token; start the agent with this campaign's --token-file, or create a token with `controller agents add`"
    )]
    UnknownToken,
    #[error("the certificate has no name; create one with `controller certs agent NAME`")]
    Nameless,
    #[error("the token was revoked; create a new one with `controller agents add NAME`")]
    RevokedToken,
    #[error("the certificate was revoked; create a new one with `controller certs agent NAME`")]
    RevokedCertificate,
}

impl Denied {
    pub fn is_revoked(self) -> bool {
        matches!(self, Self::RevokedToken | Self::RevokedCertificate)
    }
}

#[derive(Debug, Clone)]
pub enum Identity {
    /// The token made for this campaign.
    Campaign,
    /// A token issued to a name.
    Token { name: String, hash: Hash },
    /// Of the campaign's authority.
    Certificate(Certificate),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Campaign => f.write_str("the campaign's token"),
            Self::Token { name, .. } => write!(f, "the token of {name}"),
            Self::Certificate(certificate) => write!(f, "the certificate of {}", certificate.name),
        }
    }
}

/// A running controller learns of a new token within this time.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// Decides which agents may join and stay.
#[derive(Debug)]
pub struct Guard {
    campaign: Token,
    roster: watch::Sender<Arc<Roster>>,
}

impl Guard {
    /// Admits this token, tokens of the roster, and certificates verified by the handshake.
    pub fn new(campaign: Token, roster: Roster) -> Self {
        Self { campaign, roster: watch::Sender::new(Arc::new(roster)) }
    }

    /// Replaces the roster; agents no longer on it are disconnected at once.
    pub fn update(&self, roster: Roster) {
        self.roster.send_replace(Arc::new(roster));
    }

    /// Identifies an agent by its `authorization` header and its certificate, whose signature and validity the handshake
    /// has verified. A token, if present, must be valid regardless of the certificate.
    pub fn identify(
        &self,
        header: Option<&str>,
        certificate: Option<&[u8]>,
    ) -> Result<Identity, Denied> {
        let identity = match (header, certificate) {
            (Some(header), _) if self.campaign.is_in(header) => Identity::Campaign,
            (Some(header), _) => {
                let hash = Hash::of_header(header).ok_or(Denied::UnknownToken)?;
                let roster = self.roster.borrow();
                let token = roster.token(&hash).ok_or(Denied::UnknownToken)?;
                Identity::Token { name: token.name.clone(), hash }
            }
            (None, Some(der)) => {
                Identity::Certificate(Certificate::read(der).ok_or(Denied::Nameless)?)
            }
            (None, None) => return Err(Denied::Nothing),
        };
        may_stay(&self.roster.borrow(), &identity)?;
        Ok(identity)
    }

    /// As [`Guard::identify`], but waits for a roster update before refusing an unknown token, which may have been issued
    /// a moment ago.
    pub async fn admit(
        &self,
        header: Option<&str>,
        certificate: Option<&[u8]>,
    ) -> Result<Identity, Denied> {
        let mut roster = self.roster.subscribe();
        match self.identify(header, certificate) {
            Err(Denied::UnknownToken) => {
                // Changed or not, the second answer is final.
                drop(tokio::time::timeout(NEWS_WITHIN, roster.changed()).await);
                self.identify(header, certificate)
            }
            found => found,
        }
    }

    /// Resolves when this identity loses its access.
    pub(super) async fn denied(&self, identity: &Identity) -> Denied {
        let mut roster = self.roster.subscribe();
        loop {
            if let Err(denied) = may_stay(&roster.borrow_and_update(), identity) {
                return denied;
            }
            if roster.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn may_stay(roster: &Roster, identity: &Identity) -> Result<(), Denied> {
    match identity {
        Identity::Token { hash, .. } => match roster.token(hash) {
            Some(token) if !token.is_revoked => Ok(()),
            _ => Err(Denied::RevokedToken),
        },
        Identity::Certificate(certificate) if roster.is_revoked(certificate) => {
            Err(Denied::RevokedCertificate)
        }
        Identity::Campaign | Identity::Certificate(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn header(token: &Token) -> String {
        let mut secret = Vec::new();
        token.hand_over(&mut secret).await.unwrap();
        format!("Bearer {}", String::from_utf8(secret).unwrap().trim())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_issued_a_moment_ago_is_awaited() {
        let guard = Arc::new(Guard::new(Token::make().unwrap(), Roster::default()));
        let token = Token::make().unwrap();
        let header = header(&token).await;
        let given = GivenToken { name: "a".to_owned(), hash: token.hash(), is_revoked: false };
        let waiting = {
            let (guard, header) = (Arc::clone(&guard), header.clone());
            tokio::spawn(async move { guard.admit(Some(&header), None).await })
        };
        tokio::time::sleep(NEWS_WITHIN / 2).await;
        guard.update(Roster { tokens: vec![given], ..Roster::default() });
        assert!(waiting.await.unwrap().is_ok());
        assert_eq!(guard.admit(Some("Bearer x"), None).await.unwrap_err(), Denied::UnknownToken);
    }

    #[test]
    fn a_certificate_does_not_excuse_a_wrong_token() {
        let guard = Guard::new(Token::make().unwrap(), Roster::default());
        assert_eq!(guard.identify(None, None).unwrap_err(), Denied::Nothing);
        assert_eq!(guard.identify(Some("Bearer x"), Some(&[1])).unwrap_err(), Denied::UnknownToken);
        assert_eq!(guard.identify(None, Some(&[1])).unwrap_err(), Denied::Nameless);
    }

    #[tokio::test]
    async fn a_token_is_valid_until_it_is_revoked() {
        let token = Token::make().unwrap();
        let given = GivenToken { name: "a".to_owned(), hash: token.hash(), is_revoked: false };
        let roster = |is_revoked| Roster {
            tokens: vec![GivenToken { is_revoked, ..given.clone() }],
            ..Roster::default()
        };
        let guard = Guard::new(Token::make().unwrap(), roster(false));
        let header = header(&token).await;
        let identity = guard.identify(Some(&header), None).unwrap();
        assert_eq!(identity.to_string(), "the token of a");
        guard.update(roster(true));
        assert_eq!(guard.denied(&identity).await, Denied::RevokedToken);
        assert_eq!(guard.identify(Some(&header), None).unwrap_err(), Denied::RevokedToken);
    }
}
