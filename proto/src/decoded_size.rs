//! Bytes of a message -> the memory that its decoded form takes, without decoding it.
//!
//! An element of a repeated field takes two bytes on the wire and hundreds in memory. Spare capacity of vectors isn't
//! counted: it can double the size.

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// What is known of a kind of messages.
#[derive(Debug)]
pub struct Shape {
    /// Bytes in memory, without what its fields point to.
    size: usize,
    /// By number, without single numbers.
    fields: &'static [(u32, Field)],
}

#[derive(Debug)]
enum Field {
    Message(&'static Shape),
    Messages(&'static Shape),
    /// Or bytes.
    Text,
    Texts,
    /// With the bytes of each in memory.
    Numbers(usize),
}

/// Bytes that no encoder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends within a field")]
    Truncated,
    #[error("it has a number of more than 64 bits")]
    Number,
    #[error("it has a field of kind {0}, which isn't used")]
    Kind(u64),
}

/// Kinds of values on the wire.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// The size of the decoded form of a message.
pub(super) fn of(shape: &Shape, bytes: &[u8]) -> Result<usize, Malformed> {
    Ok(shape.size.saturating_add(of_fields(shape, bytes)?))
}

/// The size of what the fields of a message point to. As deep as the definitions, none of which is recursive.
fn of_fields(shape: &Shape, mut bytes: &[u8]) -> Result<usize, Malformed> {
    let mut size = 0_usize;
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            VARINT => {
                varint(&mut bytes)?;
                None
            }
            EIGHT_BYTES => take(&mut bytes, 8).map(|_| None)?,
            FOUR_BYTES => take(&mut bytes, 4).map(|_| None)?,
            LENGTH => {
                let length = varint(&mut bytes)?;
                Some(take(&mut bytes, length)?)
            }
            kind => return Err(Malformed::Kind(kind)),
        };
        let field = shape.fields.iter().find(|(number, _)| u64::from(*number) == tag >> 3);
        let more = match (field.map(|(_, field)| field), value) {
            (Some(Field::Message(shape)), Some(value)) => of_fields(shape, value)?,
            (Some(Field::Messages(shape)), Some(value)) => of(shape, value)?,
            (Some(Field::Text), Some(value)) => value.len(),
            (Some(Field::Texts), Some(value)) => size_of::<String>() + value.len(),
            (Some(Field::Numbers(each)), Some(value)) => each.saturating_mul(packed(value)),
            (Some(Field::Numbers(each)), None) => *each,
            // A single number, an unknown field, or one of another kind, which the decoder refuses.
            _ => 0,
        };
        size = size.saturating_add(more);
    }
    Ok(size)
}

/// The most numbers in a packed field: each ends with a byte without continuation bit, and so may any byte of a number
/// with a fixed width.
fn packed(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0x80 == 0).count()
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, from_agent::Message as Said};
    use prost::Message;

    fn size(message: Said) -> usize {
        let bytes = wire::FromAgent { message: Some(message) }.encode_to_vec();
        of(&FROM_AGENT, &bytes).unwrap() - size_of::<wire::FromAgent>()
    }

    #[test]
    fn elements_texts_and_numbers_count_as_in_memory() {
        let sample = wire::Sample {
            text: Some("x".repeat(100)),
            output_ids: vec![1, 300, 70_000],
            failure: Some(wire::Failure { detail: "y".repeat(7), ..wire::Failure::default() }),
            ..wire::Sample::default()
        };
        let samples = wire::Samples { samples: vec![sample; 3], ..wire::Samples::default() };
        assert_eq!(
            size(Said::Samples(samples)),
            3 * (size_of::<wire::Sample>() + 100 + 3 * size_of::<u32>() + 7)
        );
        let labels = [("a".to_owned(), "bcd".to_owned())].into();
        let host = wire::Host { cpu_features: vec!["ef".to_owned(); 2], ..wire::Host::default() };
        let hello = wire::Hello { labels, host: Some(host), ..wire::Hello::default() };
        assert_eq!(
            size(Said::Hello(hello)),
            size_of::<(String, String)>() + 4 + 2 * (size_of::<String>() + 2)
        );
    }

    #[test]
    fn what_comes_after_unknown_fields_is_counted_and_groups_are_refused() {
        // Field 1,000 as a varint, eight bytes, four bytes and a text, then an empty sample.
        let unknown = [
            &[0xc0, 0x3e, 7][..],
            &[0xc1, 0x3e, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc5, 0x3e, 0, 0, 0, 0],
            &[0xc2, 0x3e, 1, 0],
        ]
        .concat();
        let empty = [&unknown[..], &[0x32, 2, 0x2a, 0]].concat();
        assert_eq!(
            of(&FROM_AGENT, &empty),
            Ok(size_of::<wire::FromAgent>() + size_of::<wire::Sample>())
        );
        assert_eq!(of(&FROM_AGENT, &[0xc3, 0x3e, 0xc4, 0x3e]), Err(Malformed::Kind(3)));
        assert_eq!(of(&FROM_AGENT, &[0x32, 2, 0x2a]), Err(Malformed::Truncated));
        assert_eq!(of(&FROM_AGENT, &[0xff; 16]), Err(Malformed::Number));
    }
}
