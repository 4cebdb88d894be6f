//! The requests of a run, kept in about 16 bytes each instead of 88: nothing is lost, and ten million fit into memory.
//!
//! Rows stand in their order and each is written after the one before: what stays the same costs nothing, what grows
//! costs its growth. Numbers are LEB128, seven bits a byte; differences that may be negative are zigzag.

use crate::Observation;

#[derive(Debug, Clone)]
pub(super) struct Packed {
    bytes: Box<[u8]>,
    rows: usize,
}

const FAILED: u8 = 1;
const HAS_TTFT: u8 = 2;
/// Host and segment follow: they aren't those of the row before.
const IS_ELSEWHERE: u8 = 4;
const HAS_INPUT: u8 = 8;
const HAS_OUTPUT: u8 = 16;
const HAS_NETWORK: u8 = 32;

impl Packed {
    pub(super) fn of(rows: &[Observation]) -> Self {
        let mut bytes = Vec::with_capacity(rows.len() * 20);
        let mut before = start(0);
        for row in rows {
            let is_elsewhere = (row.host, row.segment) != (before.host, before.segment);
            let flags = [
                (FAILED, !row.is_ok()),
                (HAS_TTFT, row.ttft_ns.is_some()),
                (IS_ELSEWHERE, is_elsewhere),
                (HAS_INPUT, row.input_tokens.is_some()),
                (HAS_OUTPUT, row.output_tokens.is_some()),
                (HAS_NETWORK, row.network_ns.is_some()),
            ];
            bytes.push(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum());
            if is_elsewhere {
                put(&mut bytes, row.host.into());
                put(&mut bytes, row.segment.into());
            }
            put(&mut bytes, zigzag(u64::from(row.batch).wrapping_sub(before.batch.into())));
            put(&mut bytes, zigzag(row.start_ns.wrapping_sub(before.start_ns)));
            put(&mut bytes, row.sample.into());
            put(&mut bytes, row.latency_ns);
            let tokens = [row.input_tokens, row.output_tokens].map(|tokens| tokens.map(u64::from));
            let known = [row.ttft_ns, tokens[0], tokens[1], row.network_ns];
            known.into_iter().flatten().for_each(|number| put(&mut bytes, number));
            before = *row;
        }
        Self { bytes: bytes.into(), rows: rows.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The rows, one after the other; `run` is their number.
    pub(super) fn iter(&self, run: u32) -> Rows<'_> {
        Rows { bytes: &self.bytes, left: self.rows, before: start(run) }
    }
}

/// What the first row is written after.
fn start(run: u32) -> Observation {
    Observation { run, is_ok: true, ..Observation::default() }
}

#[derive(Debug, Clone)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    left: usize,
    before: Observation,
}

impl Rows<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    fn long(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                return number;
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "it was packed from 32 bits")]
    fn int(&mut self) -> u32 {
        self.long() as u32
    }
}

impl Iterator for Rows<'_> {
    type Item = Observation;

    #[expect(clippy::cast_possible_truncation, reason = "a batch was packed from 32 bits")]
    fn next(&mut self) -> Option<Observation> {
        self.left = self.left.checked_sub(1)?;
        let flags = self.byte();
        let mut row = self.before;
        if flags & IS_ELSEWHERE != 0 {
            (row.host, row.segment) = (self.int(), self.int());
        }
        row.batch = u64::from(row.batch).wrapping_add(unzigzag(self.long())) as u32;
        row.start_ns = row.start_ns.wrapping_add(unzigzag(self.long()));
        row.sample = self.int();
        row.latency_ns = self.long();
        row.ttft_ns = (flags & HAS_TTFT != 0).then(|| self.long());
        row.input_tokens = (flags & HAS_INPUT != 0).then(|| self.int());
        row.output_tokens = (flags & HAS_OUTPUT != 0).then(|| self.int());
        row.network_ns = (flags & HAS_NETWORK != 0).then(|| self.long());
        row.is_ok = flags & FAILED == 0;
        self.before = row;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Rows<'_> {}

fn put(bytes: &mut Vec<u8>, number: u64) {
    let mut left = number;
    while left >= 0x80 {
        bytes.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    bytes.push(left.to_le_bytes()[0]);
}

/// A difference modulo 2^64 as a number that is small where it is near zero on either side.
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (difference.cast_signed() >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = Observation> {
        let place = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
        let times = (any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<Option<u64>>());
        let tokens = (any::<Option<u32>>(), any::<Option<u32>>(), any::<bool>());
        (place, times, tokens).prop_map(|(place, times, tokens)| Observation {
            run: 7,
            host: place.0,
            segment: place.1,
            batch: place.2,
            start_ns: times.0,
            sample: place.3,
            latency_ns: times.1,
            ttft_ns: times.2,
            network_ns: times.3,
            input_tokens: tokens.0,
            output_tokens: tokens.1,
            is_ok: tokens.2,
        })
    }

    proptest! {
        #[test]
        fn every_row_comes_back_as_it_was(rows in prop::collection::vec(row(), 0..50)) {
            let packed = Packed::of(&rows);
            prop_assert_eq!(packed.iter(7).collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn a_row_takes_a_quarter_of_its_size() {
        let row = |place: u32| Observation {
            batch: place / 8,
            start_ns: 9_000_000_000 + u64::from(place / 8) * 240_000_000,
            sample: 16_000 - place,
            latency_ns: 230_000_000 + u64::from(place),
            ttft_ns: Some(41_000_000),
            input_tokens: Some(300),
            output_tokens: Some(24),
            ..start(1)
        };
        let rows: Vec<_> = (0..8_000).map(row).collect();
        let bytes = Packed::of(&rows).bytes.len();
        assert!(bytes < rows.len() * size_of::<Observation>() / 3, "{bytes}");
    }
}
