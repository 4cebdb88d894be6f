//! Who may join. On loopback a token that is made for the campaign; local agents read it from a 0600 file.

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The metadata key that carries it.
pub const METADATA_KEY: &str = "authorization";

/// A secret: 32 random bytes as hexadecimal digits.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Makes a new one from the system's randomness.
    ///
    /// # Errors
    /// Where the system has none to give.
    pub fn make() -> Result<Self, std::io::Error> {
        let mut bytes = [0_u8; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
        let mut digits = String::with_capacity(64);
        for byte in bytes {
            // Writing to a String can't fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Ok(Self(digits))
    }

    /// Reads one that was written before; none where there is none.
    pub fn read(path: &Path) -> Option<Self> {
        let digits = std::fs::read_to_string(path).ok()?;
        let is_one = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then_some(Self(digits))
    }

    /// Writes it to a file that only its owner can read.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), std::io::Error> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(self.0.as_bytes())
    }

    /// Hands it to an agent through a pipe, as a line.
    ///
    /// # Errors
    /// Where the pipe is closed.
    pub async fn hand_over(
        &self,
        pipe: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), std::io::Error> {
        pipe.write_all(self.0.as_bytes()).await?;
        pipe.write_all(b"\n").await?;
        pipe.flush().await
    }

    /// Whether a `Bearer` header carries it. Hashes are compared, so that time tells nothing of the secret.
    pub fn is_in(&self, header: Option<&str>) -> bool {
        let given = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
        Sha256::digest(given.trim()) == Sha256::digest(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_header_and_shows_nowhere() {
        let token = Token::make().unwrap();
        assert!(token.is_in(Some(&format!("Bearer {}", token.0))));
        assert!(!token.is_in(Some("Bearer ")));
        assert!(!token.is_in(None));
        assert!(!format!("{token:?}").contains(&token.0));
        assert_ne!(token.0, Token::make().unwrap().0);
    }

    #[test]
    fn only_its_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        Token::make().unwrap().write(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
