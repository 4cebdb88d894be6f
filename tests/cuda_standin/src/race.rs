//! Who touched a place last, in 64 bits, and whether two accesses are ordered.
//!
//! Every warp has a clock that advances with its barriers. Within a warp, two lanes are ordered if a
//! barrier of the warp or of the block lies between; within a block, two warps if one of the block does;
//! blocks of one launch never are. What has to be kept is therefore: the launch, the block, the thread,
//! the clock of its warp, and whether several readers share the entry.

const CLOCK_BITS: u32 = 18;
const THREAD_BITS: u32 = 10;
const BLOCK_BITS: u32 = 21;
const SPREAD_BITS: u32 = 2;
const LAUNCH_BITS: u32 = 12;

/// Launches until their numbers repeat in an entry.
pub(crate) const LAUNCHES: u32 = (1 << LAUNCH_BITS) - 1;
/// Blocks of a launch that entries tell apart.
pub(crate) const BLOCKS: u64 = 1 << BLOCK_BITS;
/// Barriers of a block that entries tell apart.
pub(crate) const CLOCKS: u32 = 1 << CLOCK_BITS;

/// A thread at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// 1 to [`LAUNCHES`].
    pub launch: u32,
    /// In the order of the grid.
    pub block: u32,
    pub thread: u32,
    pub clock: u32,
    /// The clock at the last barrier of the block. Not kept in entries.
    pub barrier: u32,
    pub is_atomic: bool,
}

/// How far the readers of an entry are apart.
const ONE: u64 = 0;
const WARP: u64 = 1;
const BLOCK: u64 = 2;
const GRID: u64 = 3;

fn pack(actor: Actor, spread: u64) -> u64 {
    let mut entry = u64::from(actor.launch);
    entry = entry << BLOCK_BITS | u64::from(actor.block);
    entry = entry << THREAD_BITS | u64::from(actor.thread);
    entry = entry << CLOCK_BITS | u64::from(actor.clock);
    entry = entry << SPREAD_BITS | spread;
    entry << 1 | u64::from(actor.is_atomic)
}

#[expect(clippy::cast_possible_truncation, reason = "fields are narrower than 32 bits")]
fn unpack(entry: u64) -> (Actor, u64) {
    let field = |shift: u32, bits: u32| (entry >> shift) as u32 & ((1 << bits) - 1);
    let clock_at = 1 + SPREAD_BITS;
    let thread_at = clock_at + CLOCK_BITS;
    let block_at = thread_at + THREAD_BITS;
    let actor = Actor {
        launch: field(block_at + BLOCK_BITS, LAUNCH_BITS),
        block: field(block_at, BLOCK_BITS),
        thread: field(thread_at, THREAD_BITS),
        clock: field(clock_at, CLOCK_BITS),
        barrier: 0,
        is_atomic: entry & 1 == 1,
    };
    (actor, u64::from(field(1, SPREAD_BITS)))
}

/// An entry with one thread.
pub(crate) fn entry(me: Actor) -> u64 {
    pack(me, ONE)
}

/// Whether what an entry holds happened before all that `me` does now.
fn is_before(old: Actor, spread: u64, me: Actor) -> bool {
    if old.block != me.block || spread == GRID {
        return false;
    }
    let is_same_warp = old.thread / 32 == me.thread / 32 && spread != BLOCK;
    if is_same_warp { old.clock < me.clock } else { old.clock < me.barrier }
}

/// The entry of readers after one more.
pub(crate) fn with_reader(old: u64, me: Actor) -> u64 {
    let (other, spread) = unpack(old);
    if other.launch == me.launch && spread == GRID {
        return old;
    }
    let is_alone = other.thread == me.thread && other.block == me.block && spread == ONE;
    if other.launch != me.launch || is_alone || is_before(other, spread, me) {
        return entry(me);
    }
    let apart = if other.block != me.block {
        GRID
    } else if other.thread / 32 != me.thread / 32 {
        BLOCK
    } else if other.thread != me.thread {
        WARP
    } else {
        ONE
    };
    let spread = spread.max(apart);
    // The first reader stays in the entry: it is as good as any.
    pack(Actor { clock: other.clock.max(me.clock), ..other }, spread)
}

/// The thread in an entry that `me`, who writes or who reads what was written, isn't ordered with.
pub(crate) fn conflict(old: u64, me: Actor) -> Option<Actor> {
    let (other, spread) = unpack(old);
    if other.launch != me.launch || (other.is_atomic && me.is_atomic) {
        return None;
    }
    let is_me = other.block == me.block && other.thread == me.thread && spread == ONE;
    (!is_me && !is_before(other, spread, me)).then_some(other)
}

/// What entries look like that a read by a warp neither changes nor conflicts with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet {
    launch: u64,
    barrier: u64,
    /// Of readers: several lanes of the warp at the present clock, several warps, or several blocks.
    warp_reader: u64,
    block_reader: u64,
    grid_reader: u64,
    /// Of writers: the launch and the block.
    writer: u64,
}

const CLOCK_AT: u32 = 1 + SPREAD_BITS;
const BLOCK_AT: u32 = CLOCK_AT + CLOCK_BITS + THREAD_BITS;
const LAUNCH_AT: u32 = BLOCK_AT + BLOCK_BITS;
const WRITER_MASK: u64 = !0 << BLOCK_AT;
const GRID_MASK: u64 = !0 << LAUNCH_AT | 7;
const WARP_AT: u32 = CLOCK_AT + CLOCK_BITS + 5;
const WARP_MASK: u64 = !0 << WARP_AT | ((1 << CLOCK_BITS) - 1) << CLOCK_AT | 7;
const BLOCK_MASK: u64 = WRITER_MASK | ((1 << CLOCK_BITS) - 1) << CLOCK_AT | 7;

impl Quiet {
    pub(crate) fn new(me: Actor) -> Self {
        let writer = entry(me) & WRITER_MASK;
        Self {
            launch: u64::from(me.launch),
            barrier: u64::from(me.barrier),
            warp_reader: entry(me) & WARP_MASK & !7 | WARP << 1,
            block_reader: writer | u64::from(me.clock) << CLOCK_AT | BLOCK << 1,
            grid_reader: u64::from(me.launch) << LAUNCH_AT | GRID << 1,
            writer,
        }
    }

    /// Whether a place with these entries needs no closer look.
    #[inline(always)]
    pub(crate) fn holds(&self, reader: u64, writer: u64) -> bool {
        let is_known = (reader & WARP_MASK == self.warp_reader)
            | (reader & BLOCK_MASK == self.block_reader)
            | (reader & GRID_MASK == self.grid_reader);
        let clock = writer >> CLOCK_AT & ((1 << CLOCK_BITS) - 1);
        let is_before = (writer & WRITER_MASK == self.writer) & (clock < self.barrier);
        is_known & ((writer >> LAUNCH_AT != self.launch) | is_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(block: u32, thread: u32, clock: u32, barrier: u32) -> Actor {
        Actor { launch: 9, block, thread, clock, barrier, is_atomic: false }
    }

    #[test]
    fn entries_keep_every_field() {
        let all = Actor {
            launch: LAUNCHES,
            block: u32::try_from(BLOCKS).unwrap() - 1,
            thread: 1023,
            clock: CLOCKS - 1,
            barrier: 0,
            is_atomic: true,
        };
        assert_eq!(unpack(pack(all, GRID)), (all, GRID));
    }

    #[test]
    fn threads_of_a_block_are_ordered_by_barriers() {
        let writer = entry(actor(3, 40, 5, 5));
        assert!(conflict(writer, actor(3, 40, 5, 5)).is_none(), "itself");
        assert!(conflict(writer, actor(3, 41, 5, 5)).is_some(), "a lane without a barrier");
        assert!(conflict(writer, actor(3, 41, 6, 5)).is_none(), "a lane after one of the warp");
        assert!(conflict(writer, actor(3, 7, 6, 5)).is_some(), "a warp after one of its own only");
        assert!(conflict(writer, actor(3, 7, 6, 6)).is_none(), "a warp after one of the block");
        assert!(conflict(writer, actor(4, 40, 9, 9)).is_some(), "another block");
        assert!(conflict(writer, Actor { launch: 8, ..actor(4, 40, 9, 9) }).is_none());
    }

    #[test]
    fn readers_are_merged_as_far_as_they_are_unordered() {
        let one = with_reader(0, actor(0, 1, 2, 2));
        assert!(conflict(one, actor(0, 1, 2, 2)).is_none());
        let two = with_reader(one, actor(0, 2, 2, 2));
        assert!(conflict(two, actor(0, 1, 2, 2)).is_some());
        assert!(conflict(two, actor(0, 1, 3, 2)).is_none(), "after a barrier of the warp");
        let warps = with_reader(two, actor(0, 40, 2, 2));
        assert!(conflict(warps, actor(0, 1, 3, 2)).is_some());
        assert!(conflict(warps, actor(0, 1, 3, 3)).is_none());
        let later = with_reader(warps, actor(0, 1, 3, 3));
        assert!(conflict(later, actor(0, 1, 3, 3)).is_none(), "only the last reader is left");
        let grid = with_reader(one, actor(1, 1, 2, 2));
        assert!(conflict(grid, actor(0, 1, 9, 9)).is_some());
    }

    #[test]
    fn quiet_entries_are_those_that_a_read_leaves_alone() {
        let clocks = [(3, 3), (4, 3), (4, 4)];
        let mut quiet = 0;
        for (launch, block, thread) in [(9, 0, 1), (9, 0, 40), (9, 1, 1), (8, 0, 1)] {
            for (clock, barrier) in clocks {
                let other = Actor { launch, ..actor(block, thread, clock, barrier) };
                for spread in [ONE, WARP, BLOCK, GRID] {
                    for writer in [0, entry(actor(0, 2, 3, 3)), entry(actor(1, 2, 3, 3))] {
                        let me = actor(0, 33, 4, 4);
                        let reader = pack(other, spread);
                        let is_left = with_reader(reader, me) == reader;
                        if Quiet::new(me).holds(reader, writer) {
                            quiet += 1;
                            assert!(is_left && conflict(writer, me).is_none());
                        }
                    }
                }
            }
        }
        assert!(quiet > 10, "{quiet}");
    }

    #[test]
    fn atomics_conflict_only_with_other_accesses() {
        let atomic = Actor { is_atomic: true, ..actor(0, 0, 1, 1) };
        let other = Actor { is_atomic: true, ..actor(1, 0, 1, 1) };
        assert!(conflict(entry(atomic), other).is_none());
        assert!(conflict(entry(atomic), actor(1, 0, 1, 1)).is_some());
    }
}
