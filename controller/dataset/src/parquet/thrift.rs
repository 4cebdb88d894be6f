//! Walks the Thrift structures of a Parquet file, so that they are parsed only where their bytes bear out what they say.
//!
//! A list names its own length, and the parser skips what it doesn't know element by element. Booleans in lists take it no
//! bytes: some bytes could keep it busy for hours. Parquet has no such lists, so a file with one is refused; every other
//! element takes a byte at least. The form is Thrift's compact protocol.
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// A structure that isn't to be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsound {
    /// It holds elements that take no bytes.
    Empty,
    /// It ends before its end, or isn't one.
    Broken,
}

/// Structures and lists may hold each other so deep; Parquet's own come to about eight.
const DEPTH: u32 = 32;
/// The field of a page's header that says how many bytes follow it.
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

/// Whether the metadata at the end of a file is sound. What isn't there at all is left to the parser to tell.
pub(super) fn footer(file: &[u8]) -> Result<(), Unsound> {
    let Some(rest) = file.strip_suffix(MAGIC) else { return Ok(()) };
    let Some((rest, length)) = rest.split_last_chunk::<4>() else { return Ok(()) };
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Unsound::Broken)?;
    let Some(start) = rest.len().checked_sub(length) else { return Ok(()) };
    Walk { bytes: &rest[start..] }.structure(DEPTH).map(drop)
}

/// Whether the headers of the pages that follow each other in `chunk` can be parsed. Where they are broken the parser
/// tells it, if it comes so far: some writers leave bytes behind the last page.
pub(super) fn pages(chunk: &[u8]) -> Result<(), Unsound> {
    let mut walk = Walk { bytes: chunk };
    while !walk.bytes.is_empty() {
        match walk.page() {
            Ok(()) => {}
            Err(Unsound::Broken) => break,
            Err(Unsound::Empty) => return Err(Unsound::Empty),
        }
    }
    Ok(())
}

/// What is left of the bytes.
struct Walk<'a> {
    bytes: &'a [u8],
}

impl<'a> Walk<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Unsound> {
        let length = usize::try_from(length).map_err(|_| Unsound::Broken)?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Unsound::Broken)?;
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
        Err(Unsound::Broken)
    }

    fn signed(&mut self) -> Result<i64, Unsound> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Goes past a page.
    fn page(&mut self) -> Result<(), Unsound> {
        let length = self.structure(DEPTH)?.ok_or(Unsound::Broken)?;
        self.take(u64::try_from(length).map_err(|_| Unsound::Broken)?).map(drop)
    }

    /// Goes past a structure; gives its field [`COMPRESSED_PAGE_SIZE`] where that is a number.
    fn structure(&mut self, depth: u32) -> Result<Option<i64>, Unsound> {
        let depth = depth.checked_sub(1).ok_or(Unsound::Broken)?;
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
            // A field's header holds it.
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
            _ => return Err(Unsound::Broken),
        }
        Ok(())
    }

    fn elements(&mut self, length: u64, kinds: &[u8], depth: u32) -> Result<(), Unsound> {
        let depth = depth.checked_sub(1).ok_or(Unsound::Broken)?;
        if length > 0 && kinds.iter().any(|kind| matches!(*kind, TRUE | FALSE)) {
            return Err(Unsound::Empty);
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

    /// A list of so many elements of a kind, in a field that Parquet doesn't know.
    fn list(length: u8, kind: u8, elements: &[u8]) -> Vec<u8> {
        [&[0xe0 | LIST, length << 4 | kind], elements, &[STOP]].concat()
    }

    #[test]
    fn a_list_is_as_long_as_it_says() {
        assert_eq!(footer(&file(&list(2, I32, &[2, 4]))), Ok(()));
        assert_eq!(footer(&file(&list(3, BINARY, &[1, b'a', 0, 0]))), Ok(()));
        assert_eq!(footer(&file(&list(4, I32, &[2, 4]))), Err(Unsound::Broken));
    }

    #[test]
    fn elements_that_take_no_bytes_are_refused() {
        // Four billion of them.
        let long = [0xff, 0xff, 0xff, 0xff, 0x0f];
        for kind in [TRUE, FALSE] {
            assert_eq!(footer(&file(&list(15, kind, &long))), Err(Unsound::Empty));
            let map = [&[0xe0 | MAP][..], &long, &[kind << 4 | kind, STOP]].concat();
            assert_eq!(footer(&file(&map)), Err(Unsound::Empty));
        }
        assert_eq!(footer(&file(&list(15, STRUCT, &long))), Err(Unsound::Broken));
    }

    #[test]
    fn structures_end_somewhere() {
        assert_eq!(footer(&file(&[0x10 | STRUCT; 1000])), Err(Unsound::Broken));
        assert_eq!(footer(b"PAR1"), Ok(()), "the parser tells it");
    }

    #[test]
    fn pages_follow_each_other() {
        // Field 3: four bytes follow.
        let page = [0x30 | I32, 8, STOP, 1, 2, 3, 4];
        let empty = [0xe0 | LIST, 0x10 | TRUE, STOP];
        assert_eq!(pages(&page.repeat(3)), Ok(()));
        assert_eq!(pages(&[page.repeat(3), empty.to_vec()].concat()), Err(Unsound::Empty));
        assert_eq!(pages(&[&page[..6], &empty].concat()), Ok(()), "its list lies in a page");
        assert_eq!(pages(&[STOP, 1, 2]), Ok(()), "the parser tells it");
    }
}
