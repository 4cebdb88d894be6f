//! Bearer tokens. Only their hashes are stored.

use ops::{atomic_file, text_file};
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};
use std::{fmt, path::Path};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// A secret: 32 random bytes as hexadecimal digits.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new token from the system's randomness.
    pub fn make() -> Result<Self, std::io::Error> {
        let mut bytes = [0_u8; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// Reads a token file; `None` if it is missing or malformed.
    pub fn read(path: &Path) -> Option<Self> {
        let digits = text_file::read_to_string(path).ok()?;
        let is_one = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then_some(Self(digits))
    }

    /// Replaces a file by it, with mode 0600.
    pub fn write(&self, path: &Path) -> Result<(), std::io::Error> {
        atomic_file::write_secret(path, self.0.as_bytes())
    }

    /// Writes it to a new file with mode 0600; an existing one is an error.
    pub fn create(&self, path: &Path) -> Result<(), std::io::Error> {
        atomic_file::create_secret(path, self.0.as_bytes())
    }

    /// Writes it to an agent's pipe, as one line.
    pub async fn hand_over(
        &self,
        pipe: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), std::io::Error> {
        pipe.write_all(self.0.as_bytes()).await?;
        pipe.write_all(b"\n").await?;
        pipe.flush().await
    }

    /// The stored form. With 256 random bits, a plain hash can't be reversed by guessing.
    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(&self.0).into())
    }

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
    /// Hash of the token in a `Bearer` header, if any.
    pub fn of_header(header: &str) -> Option<Self> {
        let token = header.strip_prefix("Bearer ")?.trim();
        (!token.is_empty()).then(|| Self(Sha256::digest(token).into()))
    }

    /// Parses 64 hexadecimal digits.
    pub fn of_digits(digits: &str) -> Option<Self> {
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(byte).collect();
        if digits.len() == 64 { bytes?.try_into().ok().map(Self) } else { None }
    }

    pub fn digits(&self) -> String {
        hex::encode(self.0)
    }

    /// Constant-time comparison.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_its_header_and_is_redacted() {
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
    fn the_file_has_mode_0600() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        Token::make().unwrap().write(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
