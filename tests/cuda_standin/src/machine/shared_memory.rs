//! Shared memory of a block: bytes, which of them are written, and who touched them last.

use crate::memory::Violation;
use crate::race::{self, Actor, Quiet};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) data: Vec<u8>,
    is_written: Vec<u8>,
    readers: Vec<u64>,
    writers: Vec<u64>,
    granule: u32,
    checks_races: bool,
}

impl Shared {
    pub(super) fn new(bytes: u32, granule: u32, checks_races: bool) -> Self {
        let bytes = bytes as usize;
        let granules = bytes.div_ceil(granule as usize);
        Self {
            data: vec![0; bytes],
            is_written: vec![0; bytes],
            readers: vec![0; granules],
            writers: vec![0; granules],
            granule,
            checks_races,
        }
    }

    /// For the next block.
    pub(super) fn reset(&mut self, forgets_actors: bool) {
        self.is_written.fill(0);
        if forgets_actors {
            self.readers.fill(0);
            self.writers.fill(0);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    fn granules(&self, offset: u64, bytes: u64) -> std::ops::Range<usize> {
        let granule = u64::from(self.granule);
        let start = usize::try_from(offset / granule).expect("in shared memory");
        start..usize::try_from((offset + bytes).div_ceil(granule)).expect("in shared memory")
    }

    fn range(&self, offset: u64, bytes: u64) -> Option<std::ops::Range<usize>> {
        let end = offset.checked_add(bytes)?;
        let end = usize::try_from(end).ok().filter(|end| *end <= self.data.len())?;
        Some(usize::try_from(offset).ok()?..end)
    }

    #[inline(always)]
    pub(super) fn is_readable(&self, offset: u64, bytes: u64) -> bool {
        let Some(range) = self.range(offset, bytes) else { return false };
        self.is_written[range].iter().fold(1, |all, is| all & is) == 1
    }

    /// Whether a read needs no entry and has no conflict.
    #[inline(always)]
    pub(super) fn is_quiet(&self, offset: u64, bytes: u64, quiet: &Quiet) -> bool {
        if !self.checks_races {
            return true;
        }
        let range = self.granules(offset, bytes);
        let entries = self.readers[range.clone()].iter().zip(&self.writers[range]);
        entries.fold(true, |all, (reader, writer)| all & quiet.holds(*reader, *writer))
    }

    pub(super) fn note_read(
        &mut self,
        offset: u64,
        bytes: u64,
        me: Actor,
    ) -> Result<(), Violation> {
        let range = self.range(offset, bytes).ok_or(Violation::OutOfBounds)?;
        if self.is_written[range].contains(&0) {
            return Err(Violation::Uninitialized);
        }
        if !self.checks_races {
            return Ok(());
        }
        for index in self.granules(offset, bytes) {
            if let Some(other) = race::conflict(self.writers[index], me) {
                return Err(Violation::Race(other, true));
            }
            self.readers[index] = race::with_reader(self.readers[index], me);
        }
        Ok(())
    }

    pub(super) fn note_write(
        &mut self,
        offset: u64,
        bytes: u64,
        me: Actor,
    ) -> Result<(), Violation> {
        let range = self.range(offset, bytes).ok_or(Violation::OutOfBounds)?;
        self.is_written[range].fill(1);
        if !self.checks_races {
            return Ok(());
        }
        for index in self.granules(offset, bytes) {
            if let Some(other) = race::conflict(self.writers[index], me) {
                return Err(Violation::Race(other, true));
            }
            if let Some(other) = race::conflict(self.readers[index], me) {
                return Err(Violation::Race(other, false));
            }
            self.writers[index] = if me.is_atomic {
                race::with_reader(self.writers[index], me)
            } else {
                race::entry(me)
            };
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn read<const N: usize>(&self, offset: u64) -> [u8; N] {
        let start = offset as usize;
        self.data[start..start + N].try_into().expect("as many bytes")
    }

    #[inline(always)]
    pub(super) fn write<const N: usize>(&mut self, offset: u64, value: [u8; N]) {
        let start = offset as usize;
        self.data[start..start + N].copy_from_slice(&value);
    }
}
