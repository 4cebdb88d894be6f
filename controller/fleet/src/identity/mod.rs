//! Who may join: whoever has the campaign's token, a token of its own, or a certificate of our authority.

pub mod authority;
mod certificate;
mod roster;
pub mod tls;
mod token;

pub use certificate::Certificate;
pub use roster::{GivenToken, RevokedCertificates, Roster};
pub use token::{Hash, Token};

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The metadata key that carries a token.
pub const METADATA_KEY: &str = "authorization";

/// Why somebody isn't let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Neither a token nor a certificate came.
    #[error("no token and no certificate came: give the agent --token-file, or --cert and --key")]
    Nothing,
    /// Nobody was given this token, or it is of another campaign.
    #[error(
        "this token isn't known here: give the agent this campaign's --token-file, or one of controller agents add"
    )]
    UnknownToken,
    /// The certificate is our authority's, and says no name.
    #[error("the certificate holds no name: make one with controller certs agent NAME")]
    Nameless,
    /// The token was taken back.
    #[error("this token was revoked: give the agent a new one with controller agents add NAME")]
    RevokedToken,
    /// The certificate was taken back.
    #[error("this certificate was revoked: make a new one with controller certs agent NAME")]
    RevokedCertificate,
}

impl Denied {
    /// Whether it was allowed once.
    pub fn is_revoked(self) -> bool {
        matches!(self, Self::RevokedToken | Self::RevokedCertificate)
    }
}

/// Who joins.
#[derive(Debug, Clone)]
pub enum Identity {
    /// Whoever has the token that was made for this campaign.
    Campaign,
    /// Whoever has the token that was given to this name.
    Token {
        /// Whose.
        name: String,
        /// Which.
        hash: Hash,
    },
    /// Whoever has a certificate of this name.
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

/// A token that was given is known to a running controller within this time.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// Judges who may join, and who may stay.
#[derive(Debug)]
pub struct Guard {
    campaign: Token,
    roster: watch::Sender<Arc<Roster>>,
}

impl Guard {
    /// Lets in whoever has this token, a token of the roster, or a certificate that the door has checked.
    pub fn new(campaign: Token, roster: Roster) -> Self {
        Self { campaign, roster: watch::Sender::new(Arc::new(roster)) }
    }

    /// Takes up a new roster: whoever isn't on it any more is sent away at once.
    pub fn update(&self, roster: Roster) {
        self.roster.send_replace(Arc::new(roster));
    }

    /// Who it is that brings this `authorization` header and this certificate, whose signature and time the
    /// handshake has checked. A token that is brought must hold, whatever the certificate says.
    ///
    /// # Errors
    /// [`Denied`] where it may not join.
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

    /// As [`Guard::identify`], for an agent whose token may have been given a moment ago: the roster is waited for
    /// before an unknown token is refused.
    ///
    /// # Errors
    /// [`Denied`] where it may not join.
    pub async fn admit(
        &self,
        header: Option<&str>,
        certificate: Option<&[u8]>,
    ) -> Result<Identity, Denied> {
        let mut roster = self.roster.subscribe();
        match self.identify(header, certificate) {
            Err(Denied::UnknownToken) => {
                // Whether it changed or not: the second answer holds.
                drop(tokio::time::timeout(NEWS_WITHIN, roster.changed()).await);
                self.identify(header, certificate)
            }
            found => found,
        }
    }

    /// Ready when this identity may not stay any longer.
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

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
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
    async fn a_token_that_was_given_a_moment_ago_is_waited_for() {
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
    fn a_wrong_token_is_not_saved_by_a_certificate() {
        let guard = Guard::new(Token::make().unwrap(), Roster::default());
        assert_eq!(guard.identify(None, None).unwrap_err(), Denied::Nothing);
        assert_eq!(guard.identify(Some("Bearer x"), Some(&[1])).unwrap_err(), Denied::UnknownToken);
        assert_eq!(guard.identify(None, Some(&[1])).unwrap_err(), Denied::Nameless);
    }

    #[tokio::test]
    async fn a_token_holds_until_it_is_revoked() {
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
