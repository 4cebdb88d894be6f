//! Rejects Parquet files whose Thrift metadata would keep the parser busy for hours.
//!
//! Works around a bug of the `parquet` crate, found by fuzzing (version 60.1): it skips the
//! elements of an unknown list one by one, and its `skip_till_depth` consumes no bytes for a
//! boolean. A list of booleans may therefore claim any length: 386 bytes took ten seconds, nested
//! lists take hours. The Parquet format has no lists or maps with booleans, so a file with one is
//! rejected here before the crate parses it. All other elements take at least one byte, which
//! bounds the time.
//!
//! The encoding is Thrift's compact protocol:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsound {
    /// Contains elements that take no bytes.
    EmptyElements,
    /// Truncated or not Thrift.
    Malformed,
}

/// Maximum nesting; Parquet's own metadata has about eight levels.
const MAX_DEPTH: u32 = 32;
/// The field of a page header with the number of bytes after it.
const COMPRESSED_PAGE_SIZE: i64 = 3;
const MAGIC: &[u8; 4] = b"PAR1";

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

/// Checks the metadata at the end of a file. Missing metadata is reported by the parser.
pub(super) fn footer(file: &[u8]) -> Result<(), Unsound> {
    let Some(rest) = file.strip_suffix(MAGIC) else { return Ok(()) };
    let Some((rest, length)) = rest.split_last_chunk::<4>() else { return Ok(()) };
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Unsound::Malformed)?;
    let Some(start) = rest.len().checked_sub(length) else { return Ok(()) };
    Walk { bytes: &rest[start..] }.structure(MAX_DEPTH).map(drop)
}

/// Checks the headers of the consecutive pages of `chunk`. A malformed header is left to the
/// parser: some writers leave bytes after the last page.
pub(super) fn pages(chunk: &[u8]) -> Result<(), Unsound> {
    let mut walk = Walk { bytes: chunk };
    while !walk.bytes.is_empty() {
        match walk.page() {
            Ok(()) => {}
            Err(Unsound::Malformed) => break,
            Err(Unsound::EmptyElements) => return Err(Unsound::EmptyElements),
        }
    }
    Ok(())
}

/// A cursor over the remaining bytes.
struct Walk<'a> {
    bytes: &'a [u8],
}

impl<'a> Walk<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Unsound> {
        let length = usize::try_from(length).map_err(|_| Unsound::Malformed)?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Unsound::Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unsound> {
        self.take(1).map(|taken| taken[0])
    }

    fn unsigned(&mut self) -> Result<u64, Unsound> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unsound::Malformed)
    }

    fn signed(&mut self) -> Result<i64, Unsound> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn page(&mut self) -> Result<(), Unsound> {
        let length = self.structure(MAX_DEPTH)?.ok_or(Unsound::Malformed)?;
        self.take(u64::try_from(length).map_err(|_| Unsound::Malformed)?).map(drop)
    }

    /// Skips a structure; returns its field [`COMPRESSED_PAGE_SIZE`] if that is an I32.
    fn structure(&mut self, depth: u32) -> Result<Option<i64>, Unsound> {
        let depth = depth.checked_sub(1).ok_or(Unsound::Malformed)?;
        let (mut field, mut size) = (0_i64, None);
        loop {
            let header = self.byte()?;
            let kind = header & 0xf;
            if kind == STOP {
                return Ok(size);
            }
            let step = i64::from(header >> 4);
            field = if step == 0 { self.signed()? } else { field.wrapping_add(step) };
            if kind == I32 && field == COMPRESSED_PAGE_SIZE {
                size = Some(self.signed()?);
            } else {
                self.value(kind, depth)?;
            }
        }
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
            STRUCT => drop(self.structure(depth)?),
            _ => return Err(Unsound::Malformed),
        }
        Ok(())
    }

    fn elements(&mut self, length: u64, kinds: &[u8], depth: u32) -> Result<(), Unsound> {
        let depth = depth.checked_sub(1).ok_or(Unsound::Malformed)?;
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

    fn file(metadata: &[u8]) -> Vec<u8> {
        let length = u32::try_from(metadata.len()).unwrap().to_le_bytes();
        [MAGIC, metadata, &length, MAGIC].concat()
    }

    /// A list in an unknown field.
    fn list(length: u8, kind: u8, elements: &[u8]) -> Vec<u8> {
        [&[0xe0 | LIST, length << 4 | kind], elements, &[STOP]].concat()
    }

    #[test]
    fn a_list_has_the_length_it_claims() {
        assert_eq!(footer(&file(&list(2, I32, &[2, 4]))), Ok(()));
        assert_eq!(footer(&file(&list(3, BINARY, &[1, b'a', 0, 0]))), Ok(()));
        assert_eq!(footer(&file(&list(4, I32, &[2, 4]))), Err(Unsound::Malformed));
    }

    #[test]
    fn elements_without_bytes_are_rejected() {
        // 2^32 - 1 elements.
        let long = [0xff, 0xff, 0xff, 0xff, 0x0f];
        for kind in [TRUE, FALSE] {
            assert_eq!(footer(&file(&list(15, kind, &long))), Err(Unsound::EmptyElements));
            let map = [&[0xe0 | MAP][..], &long, &[kind << 4 | kind, STOP]].concat();
            assert_eq!(footer(&file(&map)), Err(Unsound::EmptyElements));
        }
        assert_eq!(footer(&file(&list(15, STRUCT, &long))), Err(Unsound::Malformed));
    }

    #[test]
    fn nesting_is_limited() {
        assert_eq!(footer(&file(&[0x10 | STRUCT; 1000])), Err(Unsound::Malformed));
        assert_eq!(footer(b"PAR1"), Ok(()), "left to the parser");
    }

    #[test]
    fn the_headers_of_all_pages_are_checked() {
        // Field 3: four bytes follow.
        let page = [0x30 | I32, 8, STOP, 1, 2, 3, 4];
        let empty = [0xe0 | LIST, 0x10 | TRUE, STOP];
        assert_eq!(pages(&page.repeat(3)), Ok(()));
        assert_eq!(pages(&[page.repeat(3), empty.to_vec()].concat()), Err(Unsound::EmptyElements));
        assert_eq!(pages(&[&page[..6], &empty].concat()), Ok(()), "the list is page content");
        assert_eq!(pages(&[STOP, 1, 2]), Ok(()), "left to the parser");
    }
}
