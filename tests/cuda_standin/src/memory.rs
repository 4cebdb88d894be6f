//! The device's memory: its bytes, which of them are allocated and written, and who touched them in the
//! present launch.
//!
//! Addresses are offsets from [`BASE`]. Every table is a private mapping of the operating system that
//! takes no memory before it is touched, so its length may exceed the machine's memory.

use crate::race::{self, Actor};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// The first address. Lower ones, and so null pointers, are out of bounds.
pub const BASE: u64 = 0x5_0000_0000;
/// Allocations begin at multiples of this many bytes, with as many unallocated bytes behind each.
pub const ALIGNMENT: u64 = 256;
/// Bytes whose readers or writers share an entry.
const SECTOR: u64 = 32;

const ALLOCATED: u8 = 1;
const WRITTEN: u8 = 2;
const VALID: u8 = ALLOCATED | WRITTEN;

/// Why an allocation or a copy fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("out of memory")]
    OutOfMemory,
    #[error("the address is not in an allocation")]
    OutOfBounds,
    #[error("the bytes were never written")]
    Uninitialized,
    #[error("failed to reserve addresses")]
    Reserve,
}

/// An anonymous mapping.
#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping belongs to no thread; `Memory` says how its bytes are shared.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    fn new(bytes: u64) -> Result<Self, Error> {
        let bytes = usize::try_from(bytes).map_err(|_| Error::Reserve)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the system's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::Reserve);
        }
        Ok(Self { start: NonNull::new(start.cast()).ok_or(Error::Reserve)?, bytes })
    }

    /// Makes whole pages of a range zero again, and gives them back.
    fn clear(&self, from: u64, bytes: u64) {
        const PAGE: u64 = 4096;
        let first = from.next_multiple_of(PAGE);
        let end = (from + bytes) / PAGE * PAGE;
        if first < end {
            // SAFETY: the range lies in the mapping.
            unsafe {
                let start =
                    self.start.as_ptr().add(usize::try_from(first).expect("in the mapping"));
                let length = usize::try_from(end - first).expect("in the mapping");
                libc::madvise(start.cast(), length, libc::MADV_DONTNEED);
            }
        }
    }

    fn at(&self, offset: u64) -> *mut u8 {
        debug_assert!((offset as usize) < self.bytes, "an offset in the mapping");
        // SAFETY: callers pass offsets that they checked against the size.
        unsafe { self.start.as_ptr().add(offset as usize) }
    }

    fn entry(&self, index: u64) -> &AtomicU64 {
        debug_assert!((index as usize) < self.bytes / 8, "an entry of the mapping");
        // SAFETY: entries are aligned, in the mapping, and only ever used as atomics.
        unsafe { &*self.start.as_ptr().cast::<AtomicU64>().add(index as usize) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is whole, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[derive(Debug, Default)]
struct Allocations {
    /// Start and bytes.
    live: BTreeMap<u64, u64>,
    /// Where the next search begins: freed memory is used again as late as possible.
    next: u64,
    used: u64,
    peak: u64,
}

/// The memory. Threads that run blocks of one launch share it.
///
/// Bytes and their states are plain memory: two blocks that write the same byte at the same time race on
/// the host as they would on a device. The launch then ends with that fault, and its results are void.
#[derive(Debug)]
pub struct Memory {
    bytes: u64,
    data: Map,
    /// For each byte: whether it is allocated and written.
    states: Map,
    /// For each sector: the launch that read it last in the upper half, the bytes it read in the lower.
    reads: Map,
    /// The same of reads that bypass coherence, and of writes.
    constant_reads: Map,
    writes: Map,
    /// For each granule: its last reader and writer.
    readers: Map,
    writers: Map,
    allocations: Mutex<Allocations>,
}

/// A launch, as memory tracks it.
#[derive(Debug, Clone, Copy)]
pub struct Launch {
    /// Never zero, and unique among the launches of a memory.
    pub number: u32,
    pub granule: u32,
    /// Whether readers and writers are tracked.
    pub checks_races: bool,
}

/// What went wrong with an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    OutOfBounds,
    Uninitialized,
    /// With the other thread, and whether that one wrote.
    Race(Actor, bool),
    /// A load through the read-only cache of bytes that the launch writes.
    ConstantWrite,
}

impl Memory {
    /// A device with `bytes` of memory.
    pub fn new(bytes: u64) -> Result<Self, Error> {
        let bytes = bytes.next_multiple_of(4096).max(4096);
        let sectors = bytes / SECTOR * 8;
        Ok(Self {
            bytes,
            data: Map::new(bytes)?,
            states: Map::new(bytes)?,
            reads: Map::new(sectors)?,
            constant_reads: Map::new(sectors)?,
            writes: Map::new(sectors)?,
            readers: Map::new(bytes * 8)?,
            writers: Map::new(bytes * 8)?,
            allocations: Mutex::default(),
        })
    }

    /// Total, used and most ever used, in bytes.
    pub fn usage(&self) -> (u64, u64, u64) {
        let allocations = self.allocations.lock().expect("no panic holds the lock");
        (self.bytes, allocations.used, allocations.peak)
    }

    /// Allocates; the address is a multiple of [`ALIGNMENT`].
    pub fn allocate(&self, bytes: u64) -> Result<u64, Error> {
        let mut all = self.allocations.lock().expect("no panic holds the lock");
        let room = bytes.max(1).checked_next_multiple_of(ALIGNMENT).ok_or(Error::OutOfMemory)?;
        let room = room.checked_add(ALIGNMENT).ok_or(Error::OutOfMemory)?;
        if all.used + bytes.max(1).next_multiple_of(ALIGNMENT) > self.bytes {
            return Err(Error::OutOfMemory);
        }
        let start = [all.next, 0].into_iter().find_map(|from| self.gap(&all, from, room));
        let start = start.ok_or(Error::OutOfMemory)?;
        all.live.insert(start, bytes);
        all.next = start + room;
        all.used += bytes.max(1).next_multiple_of(ALIGNMENT);
        all.peak = all.peak.max(all.used);
        // SAFETY: the range is in the mapping, and no kernel has its address yet.
        unsafe { self.states.at(start).write_bytes(ALLOCATED, bytes as usize) };
        Ok(BASE + start)
    }

    fn gap(&self, all: &Allocations, from: u64, room: u64) -> Option<u64> {
        let end = |(start, bytes): (&u64, &u64)| {
            start + bytes.max(&1).next_multiple_of(ALIGNMENT) + ALIGNMENT
        };
        let mut start = all.live.range(..from).next_back().map_or(from, end).max(from);
        for allocation in all.live.range(from..) {
            if allocation.0 - start.min(*allocation.0) >= room {
                break;
            }
            start = start.max(end(allocation));
        }
        // The last allocation needs no gap behind it.
        (start + room - ALIGNMENT <= self.bytes).then_some(start)
    }

    /// Frees what [`Self::allocate`] returned.
    pub fn free(&self, address: u64) -> Result<(), Error> {
        let mut all = self.allocations.lock().expect("no panic holds the lock");
        let start = address.wrapping_sub(BASE);
        let bytes = all.live.remove(&start).ok_or(Error::OutOfBounds)?;
        all.used -= bytes.max(1).next_multiple_of(ALIGNMENT);
        // SAFETY: the range was allocated, so it is in the mapping.
        unsafe { self.states.at(start).write_bytes(0, bytes as usize) };
        self.data.clear(start, bytes);
        self.states.clear(start, bytes);
        for table in [&self.readers, &self.writers] {
            table.clear(start * 8, bytes * 8);
        }
        Ok(())
    }

    /// The allocation around an address: its start and bytes.
    pub fn allocation(&self, address: u64) -> Option<(u64, u64)> {
        let all = self.allocations.lock().expect("no panic holds the lock");
        let offset = address.checked_sub(BASE)?;
        let (start, bytes) = all.live.range(..=offset).next_back()?;
        (offset < start + bytes).then_some((BASE + start, *bytes))
    }

    /// Where an address lies with respect to the nearest allocation below it, in words.
    pub fn describe(&self, address: u64) -> String {
        let all = self.allocations.lock().expect("no panic holds the lock");
        let below = address.checked_sub(BASE).and_then(|offset| {
            all.live.range(..=offset).next_back().map(|(start, bytes)| (offset, *start, *bytes))
        });
        match below {
            None => format!("address {address:#x} is below all allocations"),
            Some((offset, start, bytes)) if offset < start + bytes => {
                format!(
                    "address {address:#x} is byte {} of an allocation of {bytes}",
                    offset - start
                )
            }
            Some((offset, start, bytes)) => format!(
                "address {address:#x} is {} bytes behind an allocation of {bytes}",
                offset - start - bytes
            ),
        }
    }

    fn range(&self, address: u64, bytes: u64) -> Option<u64> {
        let offset = address.checked_sub(BASE)?;
        (offset.checked_add(bytes)? <= self.bytes).then_some(offset)
    }

    /// Whether all states of a range have all bits of `wanted`.
    #[inline]
    fn has(&self, offset: u64, bytes: u64, wanted: u8) -> bool {
        let start = self.states.at(offset);
        let mut at = 0;
        let mut states = u64::MAX;
        while at + 8 <= bytes {
            // SAFETY: the range was checked by the caller.
            states &= unsafe { start.add(at as usize).cast::<u64>().read_unaligned() };
            at += 8;
        }
        let mut rest = u8::MAX;
        while at < bytes {
            // SAFETY: as above.
            rest &= unsafe { start.add(at as usize).read() };
            at += 1;
        }
        let all = u64::from_ne_bytes([wanted; 8]);
        states & all == all && rest & wanted == wanted
    }

    /// The offset of bytes that may be read.
    #[inline]
    pub fn readable(&self, address: u64, bytes: u64) -> Result<u64, Violation> {
        let offset = self.range(address, bytes).ok_or(Violation::OutOfBounds)?;
        if self.has(offset, bytes, VALID) {
            return Ok(offset);
        }
        let is_allocated = self.has(offset, bytes, ALLOCATED);
        Err(if is_allocated { Violation::Uninitialized } else { Violation::OutOfBounds })
    }

    /// The offset of bytes that may be written; they count as written from now on.
    #[inline]
    pub fn writable(&self, address: u64, bytes: u64) -> Result<u64, Violation> {
        let offset = self.range(address, bytes).ok_or(Violation::OutOfBounds)?;
        if self.has(offset, bytes, VALID) {
            return Ok(offset);
        }
        if !self.has(offset, bytes, ALLOCATED) {
            return Err(Violation::OutOfBounds);
        }
        // SAFETY: the range was checked.
        unsafe { self.states.at(offset).write_bytes(VALID, bytes as usize) };
        Ok(offset)
    }

    /// Reads at an offset that [`Self::readable`] returned.
    #[inline]
    pub fn read<const N: usize>(&self, offset: u64) -> [u8; N] {
        // SAFETY: the offset comes from a checked range.
        unsafe { self.data.at(offset).cast::<[u8; N]>().read_unaligned() }
    }

    /// Writes at an offset that [`Self::writable`] returned.
    #[inline]
    pub fn write<const N: usize>(&self, offset: u64, value: [u8; N]) {
        // SAFETY: the offset comes from a checked range.
        unsafe { self.data.at(offset).cast::<[u8; N]>().write_unaligned(value) };
    }

    /// Changes a word or a long atomically; returns its old value. `offset` is from [`Self::writable`].
    pub fn update(&self, offset: u64, is_long: bool, change: impl Fn(u64) -> u64) -> u64 {
        use std::sync::atomic::AtomicU32;
        if is_long {
            // SAFETY: aligned and checked; other blocks use atomics too, or the launch has a race.
            let place = unsafe { &*self.data.at(offset).cast::<AtomicU64>() };
            let update = |old| Some(change(old));
            return match place.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
                Ok(old) | Err(old) => old,
            };
        }
        // SAFETY: as above.
        let place = unsafe { &*self.data.at(offset).cast::<AtomicU32>() };
        #[expect(clippy::cast_possible_truncation, reason = "words are 32 bits")]
        let update = |old| Some(change(u64::from(old)) as u32);
        match place.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
            Ok(old) | Err(old) => u64::from(old),
        }
    }

    /// Marks the bytes of a range in a table of sectors; returns how many are new in this launch.
    #[inline]
    fn mark(table: &Map, offset: u64, bytes: u64, launch: u32) -> u32 {
        let mut new = 0;
        for_sectors(offset, bytes, |sector, mask| {
            let entry = table.entry(sector);
            let mut old = entry.load(Ordering::Relaxed);
            loop {
                let known = if old >> 32 == u64::from(launch) { old as u32 } else { 0 };
                if known & mask == mask {
                    return true;
                }
                let next = u64::from(launch) << 32 | u64::from(known | mask);
                match entry.compare_exchange_weak(old, next, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => {
                        new += (mask & !known).count_ones();
                        return true;
                    }
                    Err(other) => old = other,
                }
            }
        });
        new
    }

    /// Whether a range has a byte that the launch has marked.
    #[inline]
    fn is_marked(table: &Map, offset: u64, bytes: u64, launch: u32) -> bool {
        !for_sectors(offset, bytes, |sector, mask| {
            let entry = table.entry(sector).load(Ordering::Relaxed);
            entry >> 32 != u64::from(launch) || entry as u32 & mask == 0
        })
    }

    /// Notes a read of a checked range; returns how many bytes the launch reads for the first time.
    #[inline]
    pub fn note_read(
        &self,
        offset: u64,
        bytes: u64,
        launch: Launch,
        is_constant: bool,
    ) -> Result<u32, Violation> {
        if is_constant && launch.checks_races {
            Self::mark(&self.constant_reads, offset, bytes, launch.number);
            fence(Ordering::SeqCst);
            if Self::is_marked(&self.writes, offset, bytes, launch.number) {
                return Err(Violation::ConstantWrite);
            }
        }
        Ok(Self::mark(&self.reads, offset, bytes, launch.number))
    }

    /// Notes a write of a checked range; returns how many bytes the launch writes for the first time.
    #[inline]
    pub fn note_write(&self, offset: u64, bytes: u64, launch: Launch) -> Result<u32, Violation> {
        let new = Self::mark(&self.writes, offset, bytes, launch.number);
        if launch.checks_races {
            fence(Ordering::SeqCst);
            if Self::is_marked(&self.constant_reads, offset, bytes, launch.number) {
                return Err(Violation::ConstantWrite);
            }
        }
        Ok(new)
    }

    /// Notes who reads a checked range, and compares with who wrote it.
    #[inline]
    pub fn track_read(
        &self,
        offset: u64,
        bytes: u64,
        launch: Launch,
        me: Actor,
    ) -> Result<(), Violation> {
        let granule = u64::from(launch.granule);
        for index in offset / granule..(offset + bytes).div_ceil(granule) {
            let entry = self.readers.entry(index);
            let mut old = entry.load(Ordering::Relaxed);
            loop {
                let next = race::with_reader(old, me);
                if next == old {
                    break;
                }
                match entry.compare_exchange_weak(old, next, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(other) => old = other,
                }
            }
            let writer = self.writers.entry(index).load(Ordering::SeqCst);
            if let Some(other) = race::conflict(writer, me) {
                return Err(Violation::Race(other, true));
            }
        }
        Ok(())
    }

    /// Whether a read of a checked range changes no entry and conflicts with none.
    #[inline]
    pub(crate) fn is_quiet(
        &self,
        offset: u64,
        bytes: u64,
        granule: u32,
        quiet: &race::Quiet,
    ) -> bool {
        let granule = u64::from(granule);
        (offset / granule..(offset + bytes).div_ceil(granule)).all(|index| {
            let reader = self.readers.entry(index).load(Ordering::Relaxed);
            quiet.holds(reader, self.writers.entry(index).load(Ordering::SeqCst))
        })
    }

    /// Notes who writes a checked range, and compares with who read or wrote it.
    #[inline]
    pub fn track_write(
        &self,
        offset: u64,
        bytes: u64,
        launch: Launch,
        me: Actor,
    ) -> Result<(), Violation> {
        let granule = u64::from(launch.granule);
        for index in offset / granule..(offset + bytes).div_ceil(granule) {
            let writer = if me.is_atomic {
                let merge = |old| Some(race::with_reader(old, me));
                let entry = self.writers.entry(index);
                match entry.fetch_update(Ordering::SeqCst, Ordering::SeqCst, merge) {
                    Ok(old) | Err(old) => old,
                }
            } else {
                self.writers.entry(index).swap(race::entry(me), Ordering::SeqCst)
            };
            if let Some(other) = race::conflict(writer, me) {
                return Err(Violation::Race(other, true));
            }
            let reader = self.readers.entry(index).load(Ordering::SeqCst);
            if let Some(other) = race::conflict(reader, me) {
                return Err(Violation::Race(other, false));
            }
        }
        Ok(())
    }

    /// Forgets all readers and writers, before their launches' numbers repeat.
    pub fn forget_actors(&self) {
        self.readers.clear(0, self.bytes * 8);
        self.writers.clear(0, self.bytes * 8);
    }

    /// Copies from the host.
    pub fn upload(&self, address: u64, source: &[u8]) -> Result<(), Error> {
        let offset = self.writable(address, source.len() as u64).map_err(|_| Error::OutOfBounds)?;
        // SAFETY: the range is checked, and host memory is elsewhere.
        unsafe { self.data.at(offset).copy_from_nonoverlapping(source.as_ptr(), source.len()) };
        Ok(())
    }

    /// Copies to the host.
    pub fn download(&self, address: u64, target: &mut [u8]) -> Result<(), Error> {
        let offset = self.readable(address, target.len() as u64);
        let offset = offset.map_err(|violation| match violation {
            Violation::Uninitialized => Error::Uninitialized,
            _ => Error::OutOfBounds,
        })?;
        // SAFETY: as above.
        unsafe { target.as_mut_ptr().copy_from_nonoverlapping(self.data.at(offset), target.len()) };
        Ok(())
    }

    /// Copies within the device, written or not.
    pub fn copy(&self, target: u64, source: u64, bytes: u64) -> Result<(), Error> {
        let ranges = self.range(target, bytes).zip(self.range(source, bytes));
        let (to, from) = ranges.ok_or(Error::OutOfBounds)?;
        if !self.has(to, bytes, ALLOCATED) || !self.has(from, bytes, ALLOCATED) {
            return Err(Error::OutOfBounds);
        }
        for map in [&self.data, &self.states] {
            // SAFETY: both ranges are checked.
            unsafe { map.at(to).copy_from(map.at(from), bytes as usize) };
        }
        Ok(())
    }

    /// Repeats an element of 1, 2 or 4 bytes.
    pub fn fill(&self, address: u64, element: &[u8], count: u64) -> Result<(), Error> {
        let bytes = count.checked_mul(element.len() as u64).ok_or(Error::OutOfBounds)?;
        let offset = self.writable(address, bytes).map_err(|_| Error::OutOfBounds)?;
        if let [byte] = element {
            // SAFETY: the range is checked.
            unsafe { self.data.at(offset).write_bytes(*byte, bytes as usize) };
            return Ok(());
        }
        for index in 0..count {
            let at = offset + index * element.len() as u64;
            // SAFETY: as above.
            unsafe { self.data.at(at).copy_from_nonoverlapping(element.as_ptr(), element.len()) };
        }
        Ok(())
    }
}

/// Calls `visit` for the sectors of a range with the mask of its bytes, as long as it returns true.
#[inline]
fn for_sectors(offset: u64, bytes: u64, mut visit: impl FnMut(u64, u32) -> bool) -> bool {
    let end = offset + bytes;
    let mut at = offset;
    while at < end {
        let sector = at / SECTOR;
        let stop = end.min((sector + 1) * SECTOR);
        let mask = (u32::MAX >> (SECTOR - (stop - at))) << (at % SECTOR);
        if !visit(sector, mask) {
            return false;
        }
        at = stop;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_is_used_again_and_limits_hold() {
        let memory = Memory::new(1 << 20).unwrap();
        let half = memory.allocate(1 << 19).unwrap();
        assert_eq!(memory.allocate(1 << 19), Err(Error::OutOfMemory), "the gap needs room too");
        let small = memory.allocate(3).unwrap();
        assert_eq!(small % ALIGNMENT, 0);
        memory.free(half).unwrap();
        assert_eq!(memory.free(half), Err(Error::OutOfBounds));
        assert_eq!(memory.allocate(1 << 19), Ok(half));
        assert_eq!(memory.usage(), (1 << 20, (1 << 19) + 256, (1 << 19) + 256));
    }

    #[test]
    fn bytes_are_readable_once_written_and_only_in_their_allocation() {
        let memory = Memory::new(1 << 16).unwrap();
        let address = memory.allocate(10).unwrap();
        assert_eq!(memory.readable(address, 4), Err(Violation::Uninitialized));
        memory.upload(address, &[7; 10]).unwrap();
        assert!(memory.readable(address + 6, 4).is_ok());
        assert_eq!(memory.readable(address + 7, 4), Err(Violation::OutOfBounds));
        assert_eq!(memory.readable(0, 4), Err(Violation::OutOfBounds));
        assert!(memory.describe(address + 10).ends_with("is 0 bytes behind an allocation of 10"));
        memory.free(address).unwrap();
        assert_eq!(memory.readable(address, 4), Err(Violation::OutOfBounds));
        let again = memory.allocate(1 << 15).unwrap();
        assert_eq!(memory.readable(again, 4), Err(Violation::Uninitialized));
    }

    #[test]
    fn each_byte_is_counted_once_per_launch() {
        let memory = Memory::new(1 << 16).unwrap();
        let address = memory.allocate(256).unwrap();
        let launch = |number| Launch { number, granule: 4, checks_races: true };
        memory.upload(address, &[1; 256]).unwrap();
        let offset = address - BASE;
        assert_eq!(memory.note_read(offset + 30, 8, launch(1), false), Ok(8));
        assert_eq!(memory.note_read(offset + 28, 8, launch(1), false), Ok(2));
        assert_eq!(memory.note_read(offset + 28, 8, launch(2), true), Ok(8));
        assert_eq!(memory.note_write(offset + 36, 4, launch(2)), Ok(4));
        assert_eq!(memory.note_write(offset + 32, 4, launch(2)), Err(Violation::ConstantWrite));
    }
}
