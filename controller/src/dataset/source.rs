//! Where data comes from, as the matrix writes it.

use super::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const BUILTIN: &str = "builtin:dialogues";

/// A place that dialogues are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The dialogues that come with the program.
    Builtin,
    /// A file; the matrix has already joined its path to its own folder.
    File {
        /// Where it lies.
        path: PathBuf,
        /// By its ending.
        format: Format,
    },
    /// `hf://owner/name@revision`.
    Hub(String),
    /// `s3://bucket/key`.
    S3(String),
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object per line.
    JsonLines,
    /// An array of objects.
    Json,
    /// Comma-separated, with a header.
    Csv,
    /// Columns in row groups.
    Parquet,
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == BUILTIN {
            return Ok(Self::Builtin);
        }
        if text.starts_with("builtin:") {
            return Err(Error::UnknownBuiltin { text: text.to_owned() });
        }
        if text.starts_with("hf://") {
            return Ok(Self::Hub(text.to_owned()));
        }
        if text.starts_with("s3://") {
            return Ok(Self::S3(text.to_owned()));
        }
        let path = PathBuf::from(text);
        let ending =
            path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let format = match ending.as_deref() {
            Some("jsonl" | "ndjson") => Format::JsonLines,
            Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some("parquet") => Format::Parquet,
            _ => return Err(Error::UnknownSource { text: text.to_owned() }),
        };
        Ok(Self::File { path, format })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str(BUILTIN),
            Self::File { path, .. } => path.display().fmt(f),
            Self::Hub(address) | Self::S3(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_path_says_its_format() {
        let source: Source = "data/Test.CSV".parse().unwrap();
        let path = PathBuf::from("data/Test.CSV");
        assert_eq!(source, Source::File { path, format: Format::Csv });
    }

    #[test]
    fn a_source_is_written_as_it_was_read() {
        for text in ["builtin:dialogues", "/d/x.jsonl", "hf://a/b@main", "s3://bucket/key"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_says_what_would_be() {
        for (text, words) in [
            ("builtin:dialogs", "builtin:dialogues is the only"),
            ("data.txt", ".jsonl, .json, .csv or .parquet"),
            ("samsum", "builtin:dialogues"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(words), "{error}");
        }
    }
}
