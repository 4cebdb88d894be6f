//! Numbers in LEB128: seven bits per byte, least significant first. Packing is canonical.

pub(crate) fn pack(numbers: impl IntoIterator<Item = u32>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    for number in numbers {
        let mut left = number;
        while left >= 0x80 {
            bytes.push(low_seven(left) | 0x80);
            left >>= 7;
        }
        bytes.push(low_seven(left));
    }
    bytes.into()
}

/// Whether these bytes came from [`pack`]: others are cut off, overlong or out of range.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    let is_whole = bytes.last().is_none_or(|last| last & 0x80 == 0);
    is_whole && *pack(unpack(bytes)) == *bytes
}

pub(crate) fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0x80 == 0).count()
}

pub(crate) fn unpack(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.split_inclusive(|byte| byte & 0x80 == 0).map(|bytes| {
        let parts = bytes.iter().zip((0..).step_by(7));
        parts.fold(0, |number, (byte, shift)| {
            number | u32::from(byte & 0x7f).checked_shl(shift).unwrap_or_default()
        })
    })
}

fn low_seven(number: u32) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}
