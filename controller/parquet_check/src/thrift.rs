//! The Thrift structures of a Parquet file: its metadata, and the headers of its pages.
//!
//! Works around two bugs of the `parquet` crate (version 60.1). It skips the elements of an unknown
//! list one by one, and its `skip_till_depth` consumes no bytes for a boolean. A list of booleans
//! may therefore claim any length: 386 bytes took ten seconds, nested lists take hours. The Parquet
//! format has no lists or maps with booleans, so a file with one is rejected here before the crate
//! parses it. All other elements take at least one byte, which bounds the time. And it allocates
//! what a page's header claims before it looks at the page: 2^31 values of a dictionary take 64 GiB.
//!
//! The encoding is Thrift's compact protocol:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

use super::cursor::Cursor;
use super::inflate::{Codec, is_longer};
use super::unsound::Unsound;

/// Maximum nesting; Parquet's own metadata has about eight levels.
const MAX_DEPTH: u32 = 32;
/// A page may be this large whatever it is compressed to.
const ALWAYS_BYTES: u64 = 16 << 20;
/// Above it, this is the most that a page may expand to. Columns that compress better have small pages.
const MAX_RATIO: u64 = 100;

/// Kinds of pages.
const DATA: u64 = 0;
const INDEX: u64 = 1;
const DICTIONARY: u64 = 2;
const DATA_V2: u64 = 3;

/// `PLAIN_DICTIONARY` and `RLE_DICTIONARY`.
const DICTIONARY_ENCODINGS: [u64; 2] = [2, 8];
const DELTA_LENGTH_BYTE_ARRAY: u64 = 6;
const DELTA_BYTE_ARRAY: u64 = 7;

fn is_delta(encoding: u64) -> bool {
    matches!(encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY)
}

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Checks the metadata of a file, without the length and the mark at its end.
pub(super) fn metadata(bytes: &[u8]) -> Result<(), Unsound> {
    Cursor { bytes, at_end: Unsound::Malformed }.structure(MAX_DEPTH)
}

/// Of a column chunk, as its file's metadata has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// With nulls.
    pub(super) values: u64,
    /// Bytes of the shortest value in a dictionary.
    pub(super) value_bytes: u64,
    /// Set if the parser decompresses a page to its end, whatever its header claims.
    pub(super) codec: Option<Codec>,
}

/// The most bytes that a page of this length may expand to.
pub(super) fn most_bytes(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).max(ALWAYS_BYTES)
}

/// What the headers of a column's pages leave to be checked in the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// A page has one of the delta encodings of texts.
    pub(super) has_delta: bool,
}

/// Checks the headers of the consecutive pages of a column chunk. What is malformed after its last value is left to the
/// parser: some writers leave bytes there.
pub(super) fn pages(bytes: &[u8], chunk: Chunk) -> Result<Checked, Unsound> {
    let mut walk = Cursor { bytes, at_end: Unsound::Malformed };
    let (mut values, mut has_dictionary) = (0_u64, false);
    let mut has_delta = false;
    while !walk.bytes.is_empty() {
        let page = match walk.page() {
            Err(Unsound::Malformed) if values >= chunk.values => break,
            page => page?,
        };
        if page.unpacked > most_bytes(page.packed) {
            return Err(Unsound::Oversized);
        }
        if let Some(codec) = chunk.codec.filter(|_| page.is_compressed)
            && is_longer(codec, page.content, page.unpacked)
        {
            return Err(Unsound::Oversized);
        }
        match page.kind {
            DICTIONARY if page.values.saturating_mul(chunk.value_bytes) > page.unpacked => {
                return Err(Unsound::Oversized);
            }
            DICTIONARY => has_dictionary = true,
            INDEX => {}
            _ if DICTIONARY_ENCODINGS.contains(&page.encoding) && !has_dictionary => {
                return Err(Unsound::NoDictionary);
            }
            _ => {
                values = values.saturating_add(page.values);
                has_delta |= is_delta(page.encoding);
            }
        }
    }
    Ok(Checked { has_delta })
}

/// A page and what its header claims.
#[derive(Debug, Clone, Copy)]
struct Page<'a> {
    kind: u64,
    unpacked: u64,
    packed: u64,
    /// Of the header that belongs to the kind.
    values: u64,
    encoding: u64,
    /// Without levels, which are never compressed.
    content: &'a [u8],
    is_compressed: bool,
}

/// The header that belongs to a kind of pages.
#[derive(Debug, Clone, Copy)]
struct OfKind {
    values: u64,
    encoding: u64,
    level_bytes: u64,
    is_compressed: bool,
}

impl OfKind {
    const EMPTY: Self = Self { values: 0, encoding: 0, level_bytes: 0, is_compressed: true };
}

impl<'a> Cursor<'a> {
    /// A size or a count: the parser takes any integer, and refuses negative ones.
    fn count(&mut self, kind: u8) -> Result<u64, Unsound> {
        if !matches!(kind, I16 | I32 | I64) {
            return Err(Unsound::Unusual);
        }
        u64::try_from(self.signed()?).map_err(|_| Unsound::Unusual)
    }

    /// Reads a page.
    fn page(&mut self) -> Result<Page<'a>, Unsound> {
        let (mut kind, mut unpacked, mut packed, mut field) = (0, 0, 0, 0);
        let mut headers = [None; 3];
        while let Some(value) = self.field(&mut field)? {
            match (field, value) {
                (1, _) => kind = self.count(value)?,
                (2, _) => unpacked = self.count(value)?,
                (3, _) => packed = self.count(value)?,
                (5, STRUCT) => headers[0] = Some(self.of_kind(DATA)?),
                (7, STRUCT) => headers[1] = Some(self.of_kind(DICTIONARY)?),
                (8, STRUCT) => headers[2] = Some(self.of_kind(DATA_V2)?),
                _ => self.value(value, MAX_DEPTH)?,
            }
        }
        let of_kind = match kind {
            DATA => headers[0],
            DICTIONARY => headers[1],
            DATA_V2 => headers[2],
            INDEX => Some(OfKind::EMPTY),
            _ => None,
        };
        let mut of_kind = of_kind.ok_or(Unsound::Malformed)?;
        // The parser looks at this header whatever the kind is.
        if let Some(second) = headers[2] {
            let OfKind { values, encoding, .. } = of_kind;
            of_kind = OfKind { values, encoding, ..second };
        }
        let content = self.take(packed)?;
        let levels = usize::try_from(of_kind.level_bytes).unwrap_or(usize::MAX);
        let content = content.get(levels..).ok_or(Unsound::Oversized)?;
        let OfKind { values, encoding, is_compressed, .. } = of_kind;
        Ok(Page { kind, unpacked, packed, values, encoding, content, is_compressed })
    }

    /// Reads the header of a kind of pages.
    fn of_kind(&mut self, kind: u64) -> Result<OfKind, Unsound> {
        let (mut header, mut field) = (OfKind::EMPTY, 0);
        while let Some(value) = self.field(&mut field)? {
            match (kind, field, value) {
                (_, 1, _) => header.values = self.count(value)?,
                (DATA, 2, _) | (DATA_V2, 4, _) => header.encoding = self.count(value)?,
                (DATA_V2, 5 | 6, _) => {
                    header.level_bytes = header.level_bytes.saturating_add(self.count(value)?);
                }
                (DATA_V2, 7, TRUE | FALSE) => header.is_compressed = value == TRUE,
                _ => self.value(value, MAX_DEPTH)?,
            }
        }
        Ok(header)
    }

    /// The kind of the next field of a structure, whose number follows from the one before; none after the last.
    fn field(&mut self, field: &mut i64) -> Result<Option<u8>, Unsound> {
        let header = self.byte()?;
        let kind = header & 0xf;
        if kind == STOP {
            return Ok(None);
        }
        let step = i64::from(header >> 4);
        *field = if step == 0 { self.signed()? } else { field.wrapping_add(step) };
        Ok(Some(kind))
    }

    fn structure(&mut self, depth: u32) -> Result<(), Unsound> {
        let depth = depth.checked_sub(1).ok_or(Unsound::Unusual)?;
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            self.value(kind, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, kind: u8, depth: u32) -> Result<(), Unsound> {
        match kind {
            // Part of the field header.
            TRUE | FALSE => {}
            BYTE => drop(self.byte()?),
            I16 | I32 | I64 => drop(self.unsigned()?),
            DOUBLE => drop(self.take(8)?),
            UUID => drop(self.take(16)?),
            BINARY => {
                let length = self.unsigned()?;
                self.take(length)?;
            }
            LIST | SET => {
                let header = self.byte()?;
                let short = u64::from(header >> 4);
                let length = if short == 15 { self.unsigned()? } else { short };
                self.elements(length, &[header & 0xf], depth)?;
            }
            MAP => {
                let length = self.unsigned()?;
                if length > 0 {
                    let kinds = self.byte()?;
                    self.elements(length, &[kinds >> 4, kinds & 0xf], depth)?;
                }
            }
            STRUCT => self.structure(depth)?,
            _ => return Err(Unsound::Malformed),
        }
        Ok(())
    }

    fn elements(&mut self, length: u64, kinds: &[u8], depth: u32) -> Result<(), Unsound> {
        let depth = depth.checked_sub(1).ok_or(Unsound::Unusual)?;
        if length > 0 && kinds.iter().any(|kind| matches!(*kind, TRUE | FALSE)) {
            return Err(Unsound::EmptyElements);
        }
        for _ in 0..length {
            for &kind in kinds {
                self.value(kind, depth)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list in an unknown field.
    fn list(length: u8, kind: u8, elements: &[u8]) -> Vec<u8> {
        [&[0xe0 | LIST, length << 4 | kind], elements, &[STOP]].concat()
    }

    #[test]
    fn a_list_has_the_length_it_claims() {
        assert_eq!(metadata(&list(2, I32, &[2, 4])), Ok(()));
        assert_eq!(metadata(&list(3, BINARY, &[1, b'a', 0, 0])), Ok(()));
        assert_eq!(metadata(&list(4, I32, &[2, 4])), Err(Unsound::Malformed));
    }

    #[test]
    fn elements_without_bytes_are_rejected() {
        // 2^32 - 1 elements.
        let long = [0xff, 0xff, 0xff, 0xff, 0x0f];
        for kind in [TRUE, FALSE] {
            assert_eq!(metadata(&list(15, kind, &long)), Err(Unsound::EmptyElements));
            let map = [&[0xe0 | MAP][..], &long, &[kind << 4 | kind, STOP]].concat();
            assert_eq!(metadata(&map), Err(Unsound::EmptyElements));
        }
        assert_eq!(metadata(&list(15, STRUCT, &long)), Err(Unsound::Malformed));
    }

    #[test]
    fn nesting_is_limited() {
        assert_eq!(metadata(&[0x10 | STRUCT; 1000]), Err(Unsound::Unusual));
    }

    const SOUND: Result<Checked, Unsound> = Ok(Checked { has_delta: false });
    const CHUNK: Chunk = Chunk { values: 6, value_bytes: 4, codec: None };

    fn zigzag(number: u32) -> Vec<u8> {
        let (mut rest, mut bytes) = (u64::from(number) << 1, Vec::new());
        while rest > 0x7f {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push((rest & 0x7f).to_le_bytes()[0]);
        bytes
    }

    /// A page with four bytes of content: kind, claimed size, the field of its header, and its values.
    fn page(kind: u32, unpacked: u32, header: u8, values: u32) -> Vec<u8> {
        let i32 = |number| [&[0x10 | I32][..], &zigzag(number)].concat();
        let header = [&[(header - 3) << 4 | STRUCT][..], &i32(values), &[STOP]].concat();
        [i32(kind), i32(unpacked), i32(4), header, vec![STOP, 1, 2, 3, 4]].concat()
    }

    #[test]
    fn the_headers_of_all_pages_are_checked() {
        let data = page(0, 9, 5, 2);
        let empty = vec![0xe0 | LIST, 0x10 | TRUE, STOP];
        assert_eq!(pages(&data.repeat(3), CHUNK), SOUND);
        let with = |pages: usize, end: &[u8]| [&data.repeat(pages)[..], end].concat();
        for pages_before in [1, 3] {
            assert_eq!(pages(&with(pages_before, &empty), CHUNK), Err(Unsound::EmptyElements));
            let deep = [0x90 | STRUCT; 99];
            assert_eq!(pages(&with(pages_before, &deep), CHUNK), Err(Unsound::Unusual));
        }
        assert_eq!(pages(&with(3, &[STOP, 1, 2]), CHUNK), SOUND, "left to the parser");
        assert_eq!(pages(&with(2, &[STOP, 1, 2]), CHUNK), Err(Unsound::Malformed));
        let content = [&data[..data.len() - 4], &empty, &[0]].concat();
        assert_eq!(pages(&content, CHUNK), SOUND, "the list is the page's content");
    }

    #[test]
    fn a_page_claims_what_it_can_hold() {
        let most = u32::try_from(ALWAYS_BYTES).unwrap();
        assert_eq!(pages(&page(3, most, 8, u32::MAX / 2), CHUNK), SOUND);
        assert_eq!(pages(&page(3, most + 1, 8, 1), CHUNK), Err(Unsound::Oversized));
        assert_eq!(pages(&page(2, 400, 7, 100), CHUNK), SOUND);
        assert_eq!(pages(&page(2, 400, 7, 101), CHUNK), Err(Unsound::Oversized));
        assert_eq!(pages(&page(2, 400, 5, 100), CHUNK), Err(Unsound::Malformed), "another header");
    }
}
