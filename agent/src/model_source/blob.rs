//! Bytes with a name: a file, or something built into the program.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes with a name, read where they are wanted.
#[derive(Debug)]
pub struct Blob {
    name: String,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    File { file: File, length: u64 },
    Held(Vec<u8>),
}

impl Blob {
    /// Opens a file.
    ///
    /// # Errors
    /// Where there is none or it can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self {
            name: path.display().to_string(),
            bytes: Bytes::File { file, length: facts.len() },
        })
    }

    /// Names bytes that are there already.
    pub fn held(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), bytes: Bytes::Held(bytes) }
    }

    /// Its path, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::File { length, .. } => *length,
            Bytes::Held(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// Where there are not as many bytes.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.bytes {
            Bytes::File { file, .. } => file.read_exact_at(into, offset),
            Bytes::Held(bytes) => {
                let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
                let end = start.checked_add(into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                into.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// All bytes.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The SHA-256 of all bytes, in hexadecimal.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn sha256(&self) -> io::Result<String> {
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < self.len() {
            let taken =
                usize::try_from(self.len() - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            self.read_at(offset, &mut chunk[..taken])?;
            hash.update(&chunk[..taken]);
            offset += taken as u64;
        }
        Ok(hex::encode(hash.finalize()))
    }
}

/// The SHA-256 of a text, in hexadecimal.
pub fn sha256_of(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_held_bytes_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let blob = Blob::held("abc", b"abc".to_vec());
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blob.sha256().unwrap(), expected);
        assert_eq!(sha256_of("abc"), expected);
    }

    #[test]
    fn reading_past_the_end_is_an_error() {
        let blob = Blob::held("abc", b"abc".to_vec());
        assert!(blob.read_at(2, &mut [0; 2]).is_err());
        assert!(blob.read_at(u64::MAX, &mut [0; 2]).is_err());
    }
}
