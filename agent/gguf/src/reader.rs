//! Reads the header of a file front to back, without trusting the lengths it states.

use super::error::Error;
use engine::files::Blob;

/// Tokens and merges of the largest vocabularies have about 20 MB.
const MAX_HEADER_BYTES: u64 = 256 << 20;
const CHUNK_BYTES: u64 = 1 << 18;

pub(crate) struct Reader<'a> {
    blob: &'a Blob,
    /// What was read ahead, from `start` on.
    ahead: Vec<u8>,
    start: u64,
    pub(crate) at: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(blob: &'a Blob) -> Self {
        Self { blob, ahead: Vec::new(), start: 0, at: 0 }
    }

    /// Bytes that the rest of the header can have.
    pub(crate) fn left(&self) -> u64 {
        self.blob.len().min(MAX_HEADER_BYTES).saturating_sub(self.at)
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, length: u64) -> Result<&[u8], Error> {
        if length > self.left() {
            return Err(Error::Truncated { file: self.blob.name().to_owned(), at: self.at });
        }
        let offset = self.at - self.start;
        if offset + length > self.ahead.len() as u64 {
            let taken = length.max(CHUNK_BYTES).min(self.left());
            self.ahead.resize(usize::try_from(taken).expect("a header fits in memory"), 0);
            self.blob
                .read_at(self.at, &mut self.ahead)
                .map_err(|source| Error::Read { file: self.blob.name().to_owned(), source })?;
            self.start = self.at;
        }
        let offset = self.at - self.start;
        self.at += length;
        let range = [offset, offset + length];
        let [from, to] = range.map(|at| usize::try_from(at).expect("a header fits in memory"));
        Ok(&self.ahead[from..to])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.bytes(N as u64)?;
        Ok(bytes.try_into().expect("as many bytes as asked for"))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of items that take at least `least` bytes each.
    pub(crate) fn count(&mut self, least: u64) -> Result<usize, Error> {
        let (at, count) = (self.at, self.u64()?);
        if count > self.left() / least {
            return Err(Error::Truncated { file: self.blob.name().to_owned(), at });
        }
        Ok(usize::try_from(count).expect("a header fits in memory"))
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let at = self.at;
        let length = self.u64()?;
        let bytes = self.bytes(length)?.to_vec();
        String::from_utf8(bytes).map_err(|_| Error::Text { file: self.blob.name().to_owned(), at })
    }
}
