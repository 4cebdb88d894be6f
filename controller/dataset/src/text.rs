//! Bytes -> UTF-8 text.

use super::error::Error;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Without a byte order mark.
pub(super) fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    let body = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    std::str::from_utf8(body).map_err(|error| {
        let at = bytes.len() - body.len() + error.valid_up_to();
        let line = bytes[..at].split(|byte| *byte == b'\n').count();
        Error::NotUtf8 { file: file.to_owned(), at, line }
    })
}
