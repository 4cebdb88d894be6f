//! Pages of texts in delta encodings: how many lengths they hold, and how long their values become.
//!
//! The parser allocates as many lengths as the first bytes of a page claim, and a length without
//! bits of its own takes no bytes. And where a value repeats the start of the value before it, a
//! page of a few megabytes can expand to terabytes.
//!
//! Encodings: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>

use super::cursor::Cursor;
use super::thrift::most_bytes;
use super::unsound::Unsound;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescriptor;

/// Checks the pages of a column, decompressed by the parser.
pub(super) fn check(
    mut pages: Box<dyn PageReader>,
    column: &ColumnDescriptor,
) -> Result<(), ParquetError> {
    while let Some(page) = pages.get_next_page()? {
        let values = match page.encoding() {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => Values::Lengths,
            Encoding::DELTA_BYTE_ARRAY => Values::Prefixes,
            _ => continue,
        };
        let content = content(&page, column).map_err(super::unsound)?;
        values.check(content, page.num_values().into()).map_err(super::unsound)?;
    }
    Ok(())
}

/// The bytes of a page after its levels.
fn content<'a>(page: &'a Page, column: &ColumnDescriptor) -> Result<&'a [u8], Unsound> {
    match page {
        Page::DataPage { buf, def_level_encoding, rep_level_encoding, .. } => {
            let levels = [
                (column.max_rep_level(), rep_level_encoding),
                (column.max_def_level(), def_level_encoding),
            ];
            let mut rest = &buf[..];
            for (_, encoding) in levels.into_iter().filter(|(max, _)| *max > 0) {
                // The older form has no length, and was gone before the delta encodings came.
                if *encoding != Encoding::RLE {
                    return Err(Unsound::Unusual);
                }
                let (length, after) = rest.split_first_chunk::<4>().ok_or(Unsound::Oversized)?;
                let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
                rest = after.get(length..).ok_or(Unsound::Oversized)?;
            }
            Ok(rest)
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            let levels = usize::try_from(levels).unwrap_or(usize::MAX);
            buf.get(levels..).ok_or(Unsound::Oversized)
        }
        Page::DictionaryPage { .. } => Err(Unsound::Unusual),
    }
}

/// How a page holds its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Lengths, then the texts.
    Lengths,
    /// Lengths of what a text has in common with the one before, then the rest as `Lengths`.
    Prefixes,
}

impl Values {
    /// Checks the content of a page whose header claims this many values.
    fn check(self, content: &[u8], claimed: u64) -> Result<(), Unsound> {
        let most = most_bytes(content.len() as u64);
        // Each length takes four bytes in the parser.
        let claimed = claimed.min(most / 4);
        let mut cursor = Cursor { bytes: content, at_end: Unsound::Oversized };
        let first = cursor.lengths(claimed)?;
        if self == Self::Lengths {
            return Ok(());
        }
        let suffixes = cursor.lengths(claimed)?;
        // Longer prefixes than there is text are refused by the parser, at that value.
        let total = first.saturating_add(suffixes);
        if total > most { Err(Unsound::Oversized) } else { Ok(()) }
    }
}

impl Cursor<'_> {
    /// Reads at most `claimed` numbers of 32 bits in `DELTA_BINARY_PACKED`. Returns the sum of those
    /// that are not negative; saturating.
    fn lengths(&mut self, claimed: u64) -> Result<u64, Unsound> {
        let (block, parts, count) = (self.unsigned()?, self.unsigned()?, self.unsigned()?);
        let mut length = self.signed()?;
        if count > claimed {
            return Err(Unsound::Oversized);
        }
        // As the parser wants it. A part is a multiple of 32 values, which fill whole bytes.
        let in_part = block.checked_div(parts).unwrap_or(0);
        if in_part == 0 || in_part % 32 != 0 || block % parts != 0 {
            return Err(Unsound::Unusual);
        }
        let mut total = 0_u64;
        let add = |length: i64, total: &mut u64| {
            // The parser's numbers have 32 bits.
            let wrapped = i32::from_le_bytes(low_half(length));
            *total = total.saturating_add(u64::try_from(wrapped).unwrap_or(0));
        };
        if count > 0 {
            add(length, &mut total);
        }
        let mut left = count.saturating_sub(1);
        while left > 0 {
            let least = self.signed()?;
            for width in self.take(parts)? {
                if left == 0 {
                    break;
                }
                if *width > 32 {
                    return Err(Unsound::Unusual);
                }
                let bytes = u64::from(*width).saturating_mul(in_part / 8);
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                // The last part may be cut off after its last value.
                let (packed, rest) = self.bytes.split_at(bytes.min(self.bytes.len()));
                self.bytes = rest;
                let values = left.min(in_part);
                let mut bits = Bits { bytes: packed, held: 0, count: 0 };
                for _ in 0..values {
                    let more = bits.take((*width).into()).ok_or(Unsound::Oversized)?;
                    length = length.wrapping_add(least).wrapping_add(more.into());
                    add(length, &mut total);
                }
                left -= values;
            }
        }
        Ok(total)
    }
}

fn low_half(number: i64) -> [u8; 4] {
    let [a, b, c, d, ..] = number.to_le_bytes();
    [a, b, c, d]
}

/// Numbers of a few bits each, the lowest bits first.
struct Bits<'a> {
    bytes: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// The next number of at most 32 bits; none after the last byte.
    fn take(&mut self, width: u32) -> Option<u32> {
        while self.count < width {
            let (byte, rest) = self.bytes.split_first()?;
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
        let taken = self.held & ((1 << width) - 1);
        self.held >>= width;
        self.count -= width;
        u32::try_from(taken).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    }

    /// Lengths that are all the same, in blocks of 128 with parts of 32.
    fn equal(count: u64, length: u64) -> Vec<u8> {
        let header = [128, 4, count, length << 1].map(varint).concat();
        let blocks = usize::try_from(count.saturating_sub(1).div_ceil(128)).unwrap();
        [header, [0_u8; 5].repeat(blocks)].concat()
    }

    #[test]
    fn as_many_lengths_as_values_are_read() {
        for count in [0, 1, 2, 128, 129, 1000] {
            assert_eq!(Values::Lengths.check(&equal(count, 3), 1000), Ok(()), "{count}");
        }
        assert_eq!(Values::Lengths.check(&equal(1001, 3), 1000), Err(Unsound::Oversized));
        // Lengths without bits of their own.
        let huge = [[128, 4, 1 << 30, 0].map(varint).concat(), vec![0; 1000]].concat();
        assert_eq!(Values::Lengths.check(&huge, 1 << 30), Err(Unsound::Oversized));
    }

    #[test]
    fn prefixes_that_repeat_a_long_text_are_refused() {
        let page = |length| [equal(10_000, length), equal(10_000, 1)].concat();
        assert_eq!(Values::Prefixes.check(&page(1_000), 10_000), Ok(()));
        assert_eq!(Values::Prefixes.check(&page(100_000), 10_000), Err(Unsound::Oversized));
    }

    #[test]
    fn blocks_that_would_never_end_are_refused() {
        for header in [[0, 1, 9, 0], [128, 0, 9, 0], [128, 128, 9, 0], [129, 4, 9, 0]] {
            let page = [header.map(varint).concat(), vec![0; 64]].concat();
            assert_eq!(Values::Lengths.check(&page, 1000), Err(Unsound::Unusual), "{header:?}");
        }
    }

    #[test]
    fn numbers_cross_the_ends_of_bytes() {
        let mut bits = Bits { bytes: &[0b1010_1101, 0b0000_0011], held: 0, count: 0 };
        let taken = [3, 0, 7, 6].map(|width| bits.take(width));
        assert_eq!(taken, [Some(0b101), Some(0), Some(0b111_0101), Some(0)]);
        assert_eq!(bits.take(1), None);
    }
}
