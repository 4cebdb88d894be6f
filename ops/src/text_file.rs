//! A path -> the text of its file, as [`crate::text`] decodes it. Errors name the file.

use crate::{input_file, text};
use std::io;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't read {path}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path} {source}")]
    Text { path: String, source: text::Error },
}

impl Error {
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

pub fn read(path: &Path) -> Result<String, Error> {
    let bytes = input_file::read(path)
        .map_err(|source| Error::Unreadable { path: path.display().to_string(), source })?;
    decode(&bytes, path)
}

/// As [`std::fs::read_to_string`]: for callers whose error names the file.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let decoded = text::decode(&input_file::read(path)?).map(Into::into);
    decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The text of a file whose bytes the caller has read.
pub fn decode(bytes: &[u8], path: &Path) -> Result<String, Error> {
    let text = text::decode(bytes);
    text.map(Into::into).map_err(|source| Error::Text { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn errors_name_the_file_and_a_missing_one_is_told_apart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"\xEF\xBB\xBFa = 1").unwrap();
        assert_eq!(read(file.path()).unwrap(), "a = 1");
        fs::write(file.path(), "version https://git-lfs.github.com/spec/v1\n").unwrap();
        let error = read(file.path()).unwrap_err();
        let path = file.path().display().to_string();
        assert!(error.to_string().starts_with(&format!("{path} is a Git LFS pointer")), "{error}");
        assert!(!error.is_missing());
        assert!(read(Path::new("/none")).unwrap_err().is_missing());
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bytes in [&b"\xEF\xBB\xBFtoken\n"[..], b"\xFF\xFEt\0o\0k\0e\0n\0\n\0", b"token\n"] {
            fs::write(file.path(), bytes).unwrap();
            assert_eq!(read_to_string(file.path()).unwrap(), "token\n");
        }
        fs::write(file.path(), b"\xFFtoken").unwrap();
        let error = read_to_string(file.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
