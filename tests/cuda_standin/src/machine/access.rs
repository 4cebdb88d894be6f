//! Loads, stores and atomic operations: addresses are checked before memory is touched.
//!
//! Most accesses of a warp are to consecutive elements or to one element, and are checked as a whole.
//! What isn't, or fails, is checked lane by lane, which finds the lane at fault.

use super::alu::SHARED_WINDOW;
use super::block::Work;
use super::collective::lanes;
use super::warp::{ALL, Warp};
use super::{Context, MOST_SHARED_BYTES, Trouble};
use crate::fault::Kind as FaultKind;
use crate::memory::{BASE, Violation};
use crate::program::{Access, Atomic, AtomicOp, Kind, NONE, Space};
use crate::ptx::Class;
use crate::race::{Actor, Quiet};

/// How the addresses of a full warp are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One element behind the other.
    Consecutive,
    /// The same element.
    Same,
    Scattered,
}

#[inline(always)]
fn layout(addresses: &[u64; 32], active: u32, size: u64) -> Layout {
    if active != ALL {
        return Layout::Scattered;
    }
    let first = addresses[0];
    let (mut steps, mut strays) = (0, 0);
    for (lane, address) in addresses.iter().enumerate() {
        steps |= address ^ first.wrapping_add(lane as u64 * size);
        strays |= address ^ first;
    }
    if steps == 0 {
        Layout::Consecutive
    } else if strays == 0 {
        Layout::Same
    } else {
        Layout::Scattered
    }
}

impl Warp {
    #[inline(always)]
    fn addresses(&self, access: &Access) -> [u64; 32] {
        let offset = access.offset.cast_unsigned();
        if access.base == NONE {
            [offset; 32]
        } else if access.base_class == Class::Word {
            let base = self.word(access.base);
            std::array::from_fn(|lane| u64::from(base[lane]).wrapping_add(offset))
        } else {
            let base = self.long(access.base);
            std::array::from_fn(|lane| base[lane].wrapping_add(offset))
        }
    }

    /// Addresses, and the space of all of them.
    #[inline(always)]
    fn place(
        &self,
        access: &Access,
        size: u64,
        active: u32,
    ) -> Result<([u64; 32], Space), Box<Trouble>> {
        let mut addresses = self.addresses(access);
        let mut space = access.space;
        if space == Space::Generic {
            let window = SHARED_WINDOW..SHARED_WINDOW + u64::from(MOST_SHARED_BYTES);
            let shared = lanes(active).filter(|lane| window.contains(&addresses[*lane]));
            match shared.count() {
                0 => space = Space::Global,
                count if count == active.count_ones() as usize => {
                    space = Space::Shared;
                    addresses = addresses.map(|address| address.wrapping_sub(SHARED_WINDOW));
                }
                _ => {
                    let what = "lanes of one instruction access both global and shared memory";
                    let lane = active.trailing_zeros() as usize;
                    return Err(Trouble::new(FaultKind::Stopped, lane, what));
                }
            }
        }
        let mut all = 0;
        for (lane, address) in addresses.iter().enumerate() {
            all |= if active >> lane & 1 == 1 { *address } else { 0 };
        }
        if all & (size - 1) != 0 {
            let is_off = |lane: &usize| addresses[*lane] & (size - 1) != 0;
            let lane = lanes(active).find(is_off).unwrap_or(0);
            let what = format!("address {:#x} isn't a multiple of {size} bytes", addresses[lane]);
            return Err(Trouble::new(FaultKind::Misaligned, lane, what));
        }
        Ok((addresses, space))
    }

    #[inline(always)]
    pub(super) fn load(
        &mut self,
        context: &Context,
        work: &mut Work,
        index: u32,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        let access = &context.kernel.accesses[index as usize];
        let size = u64::from(access.width * access.count);
        if access.space == Space::Param {
            return self.load_param(context, access, active);
        }
        let (addresses, space) = self.place(access, size, active)?;
        if space == Space::Global {
            self.check_global_read(context, work, access, &addresses, size, active)?;
            let offsets = addresses.map(|address| address.wrapping_sub(BASE));
            let memory = context.memory;
            match access.width {
                1 => self.fill::<1>(access, &offsets, active, |at| memory.read(at)),
                2 => self.fill::<2>(access, &offsets, active, |at| memory.read(at)),
                4 => self.fill::<4>(access, &offsets, active, |at| memory.read(at)),
                _ => self.fill::<8>(access, &offsets, active, |at| memory.read(at)),
            }
        } else {
            self.check_shared_read(context, work, &addresses, size, active)?;
            let shared = &work.shared;
            match access.width {
                1 => self.fill::<1>(access, &addresses, active, |at| shared.read(at)),
                2 => self.fill::<2>(access, &addresses, active, |at| shared.read(at)),
                4 => self.fill::<4>(access, &addresses, active, |at| shared.read(at)),
                _ => self.fill::<8>(access, &addresses, active, |at| shared.read(at)),
            }
        }
        Ok(())
    }

    /// Reads the elements of all active lanes into registers.
    #[inline(always)]
    fn fill<const N: usize>(
        &mut self,
        access: &Access,
        places: &[u64; 32],
        active: u32,
        read: impl Fn(u64) -> [u8; N],
    ) {
        for (element, row) in access.registers[..access.count as usize].iter().enumerate() {
            let row = usize::from(*row);
            for lane in 0..32 {
                if active >> lane & 1 == 0 {
                    continue;
                }
                let bytes = read(places[lane] + (element * N) as u64);
                let mut padded = [0; 8];
                padded[..N].copy_from_slice(&bytes);
                let value = u64::from_le_bytes(padded);
                if N == 8 {
                    self.longs[row][lane] = value;
                } else {
                    let value = value as u32;
                    // Signed elements fill a register of 32 bits.
                    self.words[row][lane] = match N {
                        1 if access.is_signed => i32::from(value as i8).cast_unsigned(),
                        2 if access.is_signed => i32::from(value as i16).cast_unsigned(),
                        _ => value,
                    };
                }
            }
        }
    }

    fn load_param(
        &mut self,
        context: &Context,
        access: &Access,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        let addresses = self.addresses(access);
        let params = context.launch.params.as_slice();
        let size = u64::from(access.width * access.count);
        for lane in lanes(active) {
            let end = addresses[lane].checked_add(size);
            if end.is_none_or(|end| end > params.len() as u64) {
                let what = format!("byte {} of {} of parameters", addresses[lane], params.len());
                return Err(Trouble::new(FaultKind::OutOfBounds, lane, what));
            }
        }
        let read = |at: u64| at as usize;
        match access.width {
            1 => self.fill::<1>(access, &addresses, active, |at| [params[read(at)]]),
            2 => self.fill::<2>(access, &addresses, active, |at| bytes(params, read(at))),
            4 => self.fill::<4>(access, &addresses, active, |at| bytes(params, read(at))),
            _ => self.fill::<8>(access, &addresses, active, |at| bytes(params, read(at))),
        }
        Ok(())
    }

    #[inline(always)]
    fn check_global_read(
        &self,
        context: &Context,
        work: &mut Work,
        access: &Access,
        addresses: &[u64; 32],
        size: u64,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        let (memory, tracking) = (context.memory, context.tracking);
        let tracks = tracking.checks_races && !access.is_constant;
        work.counts.requested_read += u64::from(active.count_ones()) * size;
        let first = addresses[0];
        let whole = match layout(addresses, active, size) {
            Layout::Consecutive => Some(32 * size),
            Layout::Same => Some(size),
            Layout::Scattered => None,
        };
        let quiet = Quiet::new(work.actor(context, self, 0));
        if let Some(bytes) = whole
            && let Ok(offset) = memory.readable(first, bytes)
            && (!tracks || memory.is_quiet(offset, bytes, tracking.granule, &quiet))
        {
            let noted = memory.note_read(offset, bytes, tracking, access.is_constant);
            let new =
                noted.map_err(|violation| self.describe(context, violation, 0, first, size))?;
            work.counts.read += u64::from(new);
            return Ok(());
        }
        let mut quiet_address = None;
        for lane in lanes(active) {
            let address = addresses[lane];
            if quiet_address == Some(address) {
                continue;
            }
            let noted = memory.readable(address, size).and_then(|offset| {
                if !tracks || memory.is_quiet(offset, size, tracking.granule, &quiet) {
                    quiet_address = Some(address);
                } else {
                    memory.track_read(offset, size, tracking, work.actor(context, self, lane))?;
                }
                memory.note_read(offset, size, tracking, access.is_constant)
            });
            let new = noted
                .map_err(|violation| self.describe(context, violation, lane, address, size))?;
            work.counts.read += u64::from(new);
        }
        Ok(())
    }

    #[inline(always)]
    fn check_shared_read(
        &self,
        context: &Context,
        work: &mut Work,
        addresses: &[u64; 32],
        size: u64,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        let quiet = Quiet::new(work.shared_actor(context, self, 0));
        let whole = match layout(addresses, active, size) {
            Layout::Consecutive => Some(32 * size),
            Layout::Same => Some(size),
            Layout::Scattered => None,
        };
        let first = addresses[0];
        if let Some(bytes) = whole
            && work.shared.is_readable(first, bytes)
            && work.shared.is_quiet(first, bytes, &quiet)
        {
            return Ok(());
        }
        let mut quiet_address = None;
        for lane in lanes(active) {
            let address = addresses[lane];
            if quiet_address == Some(address) {
                continue;
            }
            if work.shared.is_readable(address, size) && work.shared.is_quiet(address, size, &quiet)
            {
                quiet_address = Some(address);
                continue;
            }
            let me = work.shared_actor(context, self, lane);
            work.shared
                .note_read(address, size, me)
                .map_err(|violation| self.describe_shared(work, violation, lane, address))?;
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn store(
        &mut self,
        context: &Context,
        work: &mut Work,
        index: u32,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        let access = &context.kernel.accesses[index as usize];
        let size = u64::from(access.width * access.count);
        let (addresses, space) = self.place(access, size, active)?;
        if space == Space::Global {
            self.check_global_write(context, work, &addresses, size, active, false)?;
        } else {
            for lane in lanes(active) {
                let me = work.shared_actor(context, self, lane);
                let noted = work.shared.note_write(addresses[lane], size, me);
                noted.map_err(|violation| {
                    self.describe_shared(work, violation, lane, addresses[lane])
                })?;
            }
        }
        let is_global = space == Space::Global;
        for (element, row) in access.registers[..access.count as usize].iter().enumerate() {
            let row = usize::from(*row);
            for lane in lanes(active) {
                let at = addresses[lane] + u64::from(access.width) * element as u64;
                let value = if access.width == 8 {
                    self.longs[row][lane]
                } else {
                    u64::from(self.words[row][lane])
                };
                let value = value.to_le_bytes();
                if is_global {
                    let at = at - BASE;
                    match access.width {
                        1 => context.memory.write(at, [value[0]]),
                        2 => context.memory.write::<2>(at, bytes(&value, 0)),
                        4 => context.memory.write::<4>(at, bytes(&value, 0)),
                        _ => context.memory.write(at, value),
                    }
                } else {
                    match access.width {
                        1 => work.shared.write(at, [value[0]]),
                        2 => work.shared.write::<2>(at, bytes(&value, 0)),
                        4 => work.shared.write::<4>(at, bytes(&value, 0)),
                        _ => work.shared.write(at, value),
                    }
                }
            }
        }
        Ok(())
    }

    fn check_global_write(
        &self,
        context: &Context,
        work: &mut Work,
        addresses: &[u64; 32],
        size: u64,
        active: u32,
        is_atomic: bool,
    ) -> Result<(), Box<Trouble>> {
        let (memory, tracking) = (context.memory, context.tracking);
        work.counts.requested_written += u64::from(active.count_ones()) * size;
        for lane in lanes(active) {
            let address = addresses[lane];
            // What an atomic operation changes must have a value.
            let offset = if is_atomic {
                memory.readable(address, size)
            } else {
                memory.writable(address, size)
            };
            let noted = offset.and_then(|offset| {
                if tracking.checks_races {
                    let me = Actor { is_atomic, ..work.actor(context, self, lane) };
                    memory.track_write(offset, size, tracking, me)?;
                }
                if is_atomic {
                    let new = memory.note_read(offset, size, tracking, false)?;
                    work.counts.read += u64::from(new);
                }
                memory.note_write(offset, size, tracking)
            });
            let new = noted
                .map_err(|violation| self.describe(context, violation, lane, address, size))?;
            work.counts.written += u64::from(new);
        }
        Ok(())
    }

    pub(super) fn atomic(
        &mut self,
        context: &Context,
        work: &mut Work,
        index: u32,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        let atomic = &context.kernel.atomics[index as usize];
        let size = u64::from(atomic.access.width);
        let is_long = size == 8;
        let (addresses, space) = self.place(&atomic.access, size, active)?;
        let value = |warp: &Self, row: u16, lane: usize| {
            if row == NONE {
                0
            } else if is_long {
                warp.longs[usize::from(row)][lane]
            } else {
                u64::from(warp.words[usize::from(row)][lane])
            }
        };
        if space == Space::Global {
            self.check_global_write(context, work, &addresses, size, active, true)?;
        }
        for lane in lanes(active) {
            let (a, b) = (value(self, atomic.a, lane), value(self, atomic.b, lane));
            let change = |old: u64| changed(atomic, old, a, b);
            let address = addresses[lane];
            let old = if space == Space::Global {
                context.memory.update(address - BASE, is_long, change)
            } else {
                let me = Actor { is_atomic: true, ..work.shared_actor(context, self, lane) };
                if !work.shared.is_readable(address, size) {
                    let violation = if address + size > work.shared.bytes() as u64 {
                        Violation::OutOfBounds
                    } else {
                        Violation::Uninitialized
                    };
                    return Err(self.describe_shared(work, violation, lane, address));
                }
                let noted = work.shared.note_write(address, size, me);
                noted.map_err(|violation| self.describe_shared(work, violation, lane, address))?;
                if is_long {
                    let old = u64::from_le_bytes(work.shared.read(address));
                    work.shared.write(address, change(old).to_le_bytes());
                    old
                } else {
                    let old = u64::from(u32::from_le_bytes(work.shared.read(address)));
                    work.shared.write(address, (change(old) as u32).to_le_bytes());
                    old
                }
            };
            if atomic.d != NONE {
                if is_long {
                    self.longs[usize::from(atomic.d)][lane] = old;
                } else {
                    self.words[usize::from(atomic.d)][lane] = old as u32;
                }
            }
        }
        Ok(())
    }

    /// ldmatrix: lanes 8 i to 8 i + 7 hold the rows' addresses of matrix i, eight halves a row.
    pub(super) fn load_matrix(
        &mut self,
        context: &Context,
        work: &mut Work,
        index: u32,
        is_transposed: bool,
    ) -> Result<(), Box<Trouble>> {
        let access = context.kernel.accesses[index as usize];
        let rows = 8 * access.count as usize;
        let active = ALL >> (32 - rows);
        let (addresses, _) = self.place(&access, 16, active)?;
        for (matrix, row) in access.registers[..access.count as usize].iter().enumerate() {
            let mut values = [0; 32];
            for (lane, value) in values.iter_mut().enumerate() {
                let (group, pair) = (lane / 4, lane % 4 * 2);
                // The rows and columns of the two halves.
                let places = if is_transposed {
                    [(pair, group), (pair + 1, group)]
                } else {
                    [(group, pair), (group, pair + 1)]
                };
                let me = work.shared_actor(context, self, lane);
                for (half, (row, column)) in places.into_iter().enumerate() {
                    let address = addresses[matrix * 8 + row] + column as u64 * 2;
                    let noted = work.shared.note_read(address, 2, me);
                    noted.map_err(|violation| {
                        self.describe_shared(work, violation, lane, address)
                    })?;
                    let bits = u16::from_le_bytes(work.shared.read(address));
                    *value |= u32::from(bits) << (16 * half);
                }
            }
            self.set_word(*row, values, ALL);
        }
        Ok(())
    }

    #[cold]
    fn describe(
        &self,
        context: &Context,
        violation: Violation,
        lane: usize,
        address: u64,
        size: u64,
    ) -> Box<Trouble> {
        let place = context.memory.describe(address);
        match violation {
            Violation::OutOfBounds => {
                Trouble::new(FaultKind::OutOfBounds, lane, format!("{size} bytes at {place}"))
            }
            Violation::Uninitialized => {
                let what = format!("{size} bytes of global memory; {place}");
                Trouble::new(FaultKind::UninitializedMemory, lane, what)
            }
            Violation::ConstantWrite => {
                let what =
                    format!("a launch reads through the read-only cache what it writes; {place}");
                Trouble::new(FaultKind::Race, lane, what)
            }
            Violation::Race(other, wrote) => {
                let block = other.block;
                let what = format!(
                    "with thread {} of block {block}, in the order of the grid, which {} it; {place}",
                    other.thread,
                    if wrote { "wrote" } else { "read" },
                );
                Trouble::new(FaultKind::Race, lane, what)
            }
        }
    }

    #[cold]
    fn describe_shared(
        &self,
        work: &Work,
        violation: Violation,
        lane: usize,
        address: u64,
    ) -> Box<Trouble> {
        let place = format!("byte {address} of {} of shared memory", work.shared.bytes());
        match violation {
            Violation::OutOfBounds => Trouble::new(FaultKind::OutOfBounds, lane, place),
            Violation::Uninitialized => Trouble::new(FaultKind::UninitializedMemory, lane, place),
            Violation::Race(other, wrote) => {
                let verb = if wrote { "wrote" } else { "read" };
                let what =
                    format!("with thread {} of the block, which {verb} {place}", other.thread);
                Trouble::new(FaultKind::Race, lane, what)
            }
            Violation::ConstantWrite => Trouble::new(FaultKind::Race, lane, place),
        }
    }
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    from[at..at + N].try_into().expect("as many bytes")
}

/// What an atomic operation makes of a value.
fn changed(atomic: &Atomic, old: u64, a: u64, b: u64) -> u64 {
    let is_long = atomic.access.width == 8;
    // Words are compared with their sign.
    let signed = |value: u64| {
        if is_long { value.cast_signed() } else { i64::from((value as u32).cast_signed()) }
    };
    let limit = |value: u64| if is_long { value } else { value & 0xffff_ffff };
    match (atomic.op, atomic.kind) {
        (AtomicOp::Add, Kind::F32) => {
            let sum = f32::from_bits(old as u32) + f32::from_bits(a as u32);
            u64::from(sum.to_bits())
        }
        (AtomicOp::Add, Kind::F64) => (f64::from_bits(old) + f64::from_bits(a)).to_bits(),
        (AtomicOp::Add, _) => limit(old.wrapping_add(a)),
        (AtomicOp::Min, Kind::S32 | Kind::S64) => {
            if signed(a) < signed(old) {
                a
            } else {
                old
            }
        }
        (AtomicOp::Max, Kind::S32 | Kind::S64) => {
            if signed(a) > signed(old) {
                a
            } else {
                old
            }
        }
        (AtomicOp::Min, _) => old.min(a),
        (AtomicOp::Max, _) => old.max(a),
        (AtomicOp::And, _) => old & a,
        (AtomicOp::Or, _) => old | a,
        (AtomicOp::Xor, _) => old ^ a,
        (AtomicOp::Swap, _) => a,
        (AtomicOp::CompareAndSwap, _) => {
            if old == a {
                b
            } else {
                old
            }
        }
        (AtomicOp::Increment, _) => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        (AtomicOp::Decrement, _) => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
    }
}
