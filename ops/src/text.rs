//! Bytes of a file or a response -> UTF-8 text. The one reader of text that people and endpoints supply.
//!
//! Decompresses gzip, removes a byte order mark and converts UTF-16 that has one. Errors are predicates of the file:
//! "{file} is not UTF-8 at byte 7 ...".

use crate::placeholder::Placeholder;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::{self, Read, Write};

const UTF_8_MARK: &[u8] = b"\xEF\xBB\xBF";
const UTF_16_BIG_ENDIAN_MARK: &[u8] = b"\xFE\xFF";
const UTF_16_LITTLE_ENDIAN_MARK: &[u8] = b"\xFF\xFE";
const GZIP: &[u8] = b"\x1F\x8B";

/// Decompressed text beyond this is refused: a small file can decompress to any size.
const MAX_BYTES: u64 = 4 << 30;

/// Formats that are taken for text by mistake: their first bytes, name and remedy.
const BINARY: [(&[u8], &str, &str); 6] = [
    (b"\x28\xB5\x2F\xFD", "zstd-compressed", "decompress it with `zstd -d`"),
    (b"\xFD7zXZ\0", "xz-compressed", "decompress it with `xz -d`"),
    (b"BZh91AY&SY", "bzip2-compressed", "decompress it with `bzip2 -d`"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "extract it, or export it as CSV"),
    (b"PAR1", "a Parquet file", "name it *.parquet"),
    (b"ARROW1", "an Arrow file", "convert it to Parquet"),
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Placeholder(#[from] Placeholder),
    #[error("is {format}, not text: {remedy}")]
    Binary { format: &'static str, remedy: &'static str },
    #[error("is not complete gzip data: download or compress it again")]
    Gzip { source: io::Error },
    #[error("has more than {} MiB of text: split it", most >> 20)]
    TooLarge {
        /// Bytes.
        most: u64,
    },
    #[error(
        "is not UTF-8 at byte {at} (line {line}): convert it, for example with `iconv -t utf-8`"
    )]
    NotUtf8 {
        /// Offset of the first invalid byte; of the decompressed bytes in a gzip file.
        at: usize,
        /// From 1.
        line: usize,
    },
    #[error(
        "has a UTF-16 byte order mark but is not UTF-16: convert it, for example with `iconv -t utf-8`"
    )]
    NotUtf16,
}

/// The text of a file: decompressed, in UTF-8 and without a byte order mark.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    decode_at_most(bytes, MAX_BYTES)
}

/// As [`decode`], for bytes of a stranger: decompresses no more than `most` bytes.
pub fn decode_at_most(bytes: &[u8], most: u64) -> Result<Cow<'_, str>, Error> {
    if bytes.starts_with(GZIP) {
        return Ok(Cow::Owned(plain(&gunzip(bytes, most)?)?.into_owned()));
    }
    plain(bytes)
}

/// How many bytes [`decode_at_most`] allocates, at most: none for plain UTF-8. Decompresses without keeping the text.
pub fn allocated(bytes: &[u8], most: u64) -> Result<u64, Error> {
    // A vector that grows has up to twice its length.
    if bytes.starts_with(GZIP) {
        // The text is copied once.
        return Ok(3 * decompress(bytes, most, &mut io::sink())?);
    }
    // Two bytes of UTF-16 are up to three of UTF-8.
    let marks = [UTF_16_LITTLE_ENDIAN_MARK, UTF_16_BIG_ENDIAN_MARK];
    let is_utf_16 = marks.iter().any(|mark| bytes.starts_with(mark));
    Ok(if is_utf_16 { 3 * bytes.len() as u64 } else { 0 })
}

fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes)
}

fn gunzip(bytes: &[u8], most: u64) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    decompress(bytes, most, &mut text)?;
    Ok(text)
}

/// Returns the length of the text.
fn decompress(bytes: &[u8], most: u64, text: &mut impl Write) -> Result<u64, Error> {
    let mut limited = MultiGzDecoder::new(bytes).take(most + 1);
    let length = io::copy(&mut limited, text).map_err(|source| Error::Gzip { source })?;
    if length > most { Err(Error::TooLarge { most }) } else { Ok(length) }
}

fn plain(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    if let Some(placeholder) = Placeholder::of(bytes) {
        return Err(placeholder.into());
    }
    if let Some((_, format, remedy)) = BINARY.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return Err(Error::Binary { format, remedy });
    }
    if let Some(body) = bytes.strip_prefix(UTF_16_LITTLE_ENDIAN_MARK) {
        return utf_16(body, u16::from_le_bytes);
    }
    if let Some(body) = bytes.strip_prefix(UTF_16_BIG_ENDIAN_MARK) {
        return utf_16(body, u16::from_be_bytes);
    }
    let body = without_byte_order_mark(bytes);
    std::str::from_utf8(body).map(Cow::Borrowed).map_err(|error| {
        let at = bytes.len() - body.len() + error.valid_up_to();
        let line = bytes[..at].split(|byte| *byte == b'\n').count();
        Error::NotUtf8 { at, line }
    })
}

fn utf_16(body: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, Error> {
    let (pairs, []) = body.as_chunks::<2>() else { return Err(Error::NotUtf16) };
    let units = pairs.iter().map(|pair| unit(*pair));
    char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .map(Cow::Owned)
        .map_err(|_| Error::NotUtf16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_with_a_mark_is_the_same_text() {
        let text = "id,dialogue\n1,café 😀\n";
        let units: Vec<u16> = format!("\u{feff}{text}").encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let marked = [UTF_8_MARK, text.as_bytes()].concat();
        let members = [gzip(&marked[..9]), gzip(&marked[9..])].concat();
        for bytes in
            [text.as_bytes(), &marked, &little, &big, &gzip(&marked), &gzip(&little), &members]
        {
            assert_eq!(decode(bytes).unwrap(), text);
        }
        assert_eq!(without_byte_order_mark(&marked), text.as_bytes());
        assert_eq!(without_byte_order_mark(text.as_bytes()), text.as_bytes());
    }

    #[test]
    fn no_more_is_decompressed_than_is_allowed() {
        let bomb = gzip(&vec![b'a'; 3 << 20]);
        assert_eq!(decode_at_most(&bomb, 3 << 20).unwrap().len(), 3 << 20);
        let error = decode_at_most(&bomb, 2 << 20).unwrap_err().to_string();
        assert_eq!(error, "has more than 2 MiB of text: split it");
    }

    #[test]
    fn what_is_not_text_is_named_with_its_remedy() {
        let broken = gzip(b"id,dialogue\n1,x\n");
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        for (bytes, words) in [
            (&b"caf\xe9"[..], "not UTF-8 at byte 3 (line 1)"),
            (b"\xEF\xBB\xBFa\n\xff", "byte 5 (line 2)"),
            (b"\xFF\xFEa", "UTF-16"),
            (b"\xFF\xFE\x00\xD8", "UTF-16"),
            (b"PK\x03\x04rest", "Excel workbook"),
            (b"\x28\xB5\x2F\xFDrest", "zstd -d"),
            (b"PAR1rest", "*.parquet"),
            (&broken[..broken.len() - 6], "gzip"),
            (pointer, "git lfs pull"),
            (&gzip(pointer), "git lfs pull"),
            (b"<!DOCTYPE html><title>Sign in</title>", "HTML page"),
        ] {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
