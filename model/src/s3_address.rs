//! `s3://bucket/key`.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address `{given}`: expected s3://bucket/key")]
pub struct Error {
    pub given: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub bucket: String,
    /// Empty for the whole bucket.
    pub key: String,
}

impl Address {
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }

    /// The address as a prefix: the key ends with a slash, or is empty.
    #[must_use]
    pub fn as_folder(&self) -> Self {
        let key = self.key.trim_end_matches('/');
        let key = if key.is_empty() { String::new() } else { format!("{key}/") };
        Self { bucket: self.bucket.clone(), key }
    }

    /// The object `name` below this prefix.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let folder = self.as_folder();
        Self { key: format!("{}{name}", folder.key), ..folder }
    }

    /// The object `name` with the same prefix as this object.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        let folder = self.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self { bucket: self.bucket.clone(), key: folder.to_owned() }.below(name)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error { given: text.to_owned() };
        let rest = text.strip_prefix("s3://").ok_or_else(error)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let is_bucket = (3..=63).contains(&bucket.len()) && bucket.chars().all(is_plain);
        // S3's limit, and no keys that aren't paths on this disk.
        let is_key = key.len() <= 1024
            && !key.contains(char::is_control)
            && !key.split('/').any(|part| part == "." || part == "..");
        if is_bucket && is_key {
            Ok(Self { bucket: bucket.to_owned(), key: key.trim_start_matches('/').to_owned() })
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        let address: Address = "s3://models/t5/model.tar.gz".parse().unwrap();
        assert_eq!((address.bucket.as_str(), address.name()), ("models", "model.tar.gz"));
        assert_eq!(address.sibling("x").to_string(), "s3://models/t5/x");
        assert_eq!(address.below("x").to_string(), "s3://models/t5/model.tar.gz/x");
        let bucket: Address = "s3://models".parse().unwrap();
        assert_eq!((bucket.as_folder().key.as_str(), bucket.below("x").key.as_str()), ("", "x"));
        let top: Address = "s3://models/x".parse().unwrap();
        assert_eq!(top.sibling("y").to_string(), "s3://models/y");
    }

    #[test]
    fn an_invalid_address_is_answered_with_the_form() {
        for text in ["models/x", "s3://", "s3://a/x", "s3://models/../x", "s3://mo dels/x"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("s3://bucket/key"), "{error}");
        }
    }
}
