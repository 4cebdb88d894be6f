//! The remaining bytes of a structure, read from its start.

use super::unsound::Unsound;

#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    /// The error where more bytes are needed than there are.
    pub(super) at_end: Unsound,
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], Unsound> {
        let length = usize::try_from(length).map_err(|_| self.at_end)?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(self.at_end)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unsound> {
        self.take(1).map(|taken| taken[0])
    }

    /// Reads a number in LEB128, which Thrift and the delta encodings share.
    pub(super) fn unsigned(&mut self) -> Result<u64, Unsound> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unsound::Unusual)
    }

    /// Reads a number in LEB128 with its sign in the lowest bit.
    pub(super) fn signed(&mut self) -> Result<i64, Unsound> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}
