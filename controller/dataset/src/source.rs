//! `dataset.source` of the matrix.

use super::error::Error;
use fetch::{hub, s3};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const BUILTIN: &str = "builtin:dialogues";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Builtin,
    /// A local file; the matrix has already made the path absolute.
    File {
        path: PathBuf,
        format: Format,
    },
    /// `hf://owner/name@revision`, or one file of it.
    Hub {
        address: hub::Address,
        /// As in the matrix.
        text: String,
    },
    /// `s3://bucket/key`.
    S3(s3::Address),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object per line, or as [`Format::Json`].
    JsonLines,
    /// An array of objects, or as [`Format::JsonLines`].
    Json,
    /// With a header; separated by commas, semicolons, tabs or vertical bars.
    Csv,
    Parquet,
}

pub(super) fn format_of(name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    // Parquet compresses its own pages.
    let (name, is_gzip) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    match Path::new(name).extension()?.to_str()? {
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        "json" => Some(Format::Json),
        "csv" | "tsv" => Some(Format::Csv),
        "parquet" if !is_gzip => Some(Format::Parquet),
        _ => None,
    }
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
            return Ok(Self::Hub { address: text.parse()?, text: text.to_owned() });
        }
        if text.starts_with("s3://") {
            return Ok(Self::S3(text.parse().map_err(fetch::Error::from)?));
        }
        let path = PathBuf::from(text);
        let format =
            format_of(text).ok_or_else(|| Error::UnknownSource { text: text.to_owned() })?;
        Ok(Self::File { path, format })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str(BUILTIN),
            Self::File { path, .. } => path.display().fmt(f),
            Self::Hub { text, .. } => f.write_str(text),
            Self::S3(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_from_the_extension() {
        let source: Source = "data/Test.CSV".parse().unwrap();
        let path = PathBuf::from("data/Test.CSV");
        assert_eq!(source, Source::File { path, format: Format::Csv });
        assert_eq!(format_of("a.TSV"), Some(Format::Csv));
        assert_eq!(format_of("a.jsonl.GZ"), Some(Format::JsonLines));
        assert_eq!(format_of("a.json.gz"), Some(Format::Json));
        for unknown in ["a.parquet.gz", "a.gz", "gz", "a.txt"] {
            assert_eq!(format_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_source_is_displayed_as_it_was_parsed() {
        for text in [
            "builtin:dialogues",
            "/d/x.jsonl",
            "hf://a/b@main",
            "hf://a/b/x.csv",
            "s3://bucket/key",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_unknown_source_lists_the_expected_ones() {
        for (text, words) in [
            ("builtin:dialogs", "builtin:dialogues is the only"),
            ("data.txt", ".jsonl, .json, .csv, .tsv or .parquet"),
            ("samsum", "builtin:dialogues"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(words), "{error}");
        }
    }
}
