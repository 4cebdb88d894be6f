//! A token: a secret that lets whoever holds it join. Only its hash is kept.

use super::write_secret;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncWrite, AsyncWriteExt};

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
        Ok(Self(hex::encode(bytes)))
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
        write_secret(path, &self.0)
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

    /// What is kept of it. It has 256 random bits, so that a plain hash can't be guessed back.
    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(&self.0).into())
    }

    /// Whether a `Bearer` header carries it.
    pub fn is_in(&self, header: &str) -> bool {
        Hash::of_header(header).is_some_and(|given| given.is(&self.hash()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token.
#[derive(Debug, Clone, Copy)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of the token in a `Bearer` header; null where there is none.
    pub fn of_header(header: &str) -> Option<Self> {
        let token = header.strip_prefix("Bearer ")?.trim();
        (!token.is_empty()).then(|| Self(Sha256::digest(token).into()))
    }

    /// From its hexadecimal digits, as the store keeps it; null where they are none.
    pub fn of_digits(digits: &str) -> Option<Self> {
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(byte).collect();
        if digits.len() == 64 { bytes?.try_into().ok().map(Self) } else { None }
    }

    /// Its hexadecimal digits.
    pub fn digits(&self) -> String {
        hex::encode(&self.0)
    }

    /// Whether both are of the same token, in a time that doesn't depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_header_and_shows_nowhere() {
        let token = Token::make().unwrap();
        assert!(token.is_in(&format!("Bearer {}", token.0)));
        assert!(!token.is_in("Bearer "));
        assert!(!token.is_in(&token.0));
        assert!(!format!("{token:?}").contains(&token.0));
        assert_ne!(token.0, Token::make().unwrap().0);
    }

    #[test]
    fn a_hash_survives_the_store() {
        let hash = Token::make().unwrap().hash();
        assert!(Hash::of_digits(&hash.digits()).unwrap().is(&hash));
        assert!(!Token::make().unwrap().hash().is(&hash));
        assert!(Hash::of_digits("00").is_none() && Hash::of_digits(&"zz".repeat(32)).is_none());
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
