//! The token ids of a summary, packed into a few bytes.

use crate::packed_numbers;
use serde::{Deserialize, Serialize};

/// The longest accepted output: the limit of `max_new_tokens`.
pub const MAX_OUTPUT_IDS: usize = 4_096;

/// Ids of decoded tokens, `</s>` included, in LEB128: seven bits per byte, least significant first.
/// An id below 16,384 takes at most two bytes, a summary of 24 tokens about 48.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
pub struct OutputIds(Box<[u8]>);

impl OutputIds {
    pub fn pack(ids: &[u32]) -> Self {
        Self(packed_numbers::pack(ids.iter().copied()))
    }

    /// The inverse of [`OutputIds::as_packed`]; `None` for other bytes.
    pub fn from_packed(bytes: Vec<u8>) -> Option<Self> {
        packed_numbers::is_packed(&bytes).then(|| Self(bytes.into()))
    }

    pub fn as_packed(&self) -> &[u8] {
        &self.0
    }

    #[expect(clippy::len_without_is_empty, reason = "no caller asks")]
    pub fn len(&self) -> usize {
        packed_numbers::count(&self.0)
    }

    /// In decoding order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        packed_numbers::unpack(&self.0)
    }
}

impl From<Vec<u32>> for OutputIds {
    fn from(ids: Vec<u32>) -> Self {
        Self::pack(&ids)
    }
}

impl From<OutputIds> for Vec<u32> {
    fn from(ids: OutputIds) -> Self {
        ids.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_takes_as_few_bytes_as_it_needs() {
        let bytes = |id| OutputIds::pack(&[id]).as_packed().len();
        assert_eq!([0, 127, 128, 16_383, 16_384, u32::MAX].map(bytes), [1, 1, 2, 2, 3, 5]);
        assert_eq!(OutputIds::pack(&[300]).as_packed(), [0xac, 0x02]);
    }

    #[test]
    fn what_was_never_packed_is_refused() {
        let refused = |bytes: &[u8]| OutputIds::from_packed(bytes.to_vec()).is_none();
        assert!(refused(&[0x80]), "an id without an end");
        assert!(refused(&[0x80, 0x00]), "zero in two bytes");
        assert!(refused(&[0xff, 0xff, 0xff, 0xff, 0x7f]), "more than 32 bits");
        assert!(refused(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), "more than five bytes");
        assert_eq!(OutputIds::from_packed(Vec::new()), Some(OutputIds::default()));
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(ids in prop::collection::vec(any::<u32>(), 0..200)) {
            let packed = OutputIds::pack(&ids);
            prop_assert_eq!(packed.len(), ids.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), ids);
            prop_assert_eq!(OutputIds::from_packed(packed.as_packed().to_vec()), Some(packed));
        }
    }
}
