//! What lanes do together: barriers, shuffles, votes, products of matrices.

use super::block::Work;
use super::float::{f32_of_f16, mix};
use super::warp::{ALL, Group, State, Warp};
use super::{Approximation, Context, Trouble};
use crate::fault::Kind;
use crate::program::{Inst, NONE, Op, Product, Shuffle, ShuffleKind, Vote};

impl Warp {
    /// A group has come to an instruction of several lanes: executes it if all are there, and else waits.
    pub(super) fn collective(
        &mut self,
        context: &Context,
        work: &mut Work,
        index: usize,
        inst: &Inst,
    ) -> Result<(), Box<Trouble>> {
        if inst.op == Op::Barrier {
            self.groups[index].state = State::Barrier;
            return Ok(());
        }
        let pc = self.groups[index].pc;
        let is_here = |group: &Group| group.pc == pc && group.state != State::Barrier;
        let here = self.groups.iter().filter(|group| is_here(group));
        let here = here.fold(0, |mask, group| mask | group.mask);
        let masks = match inst.op {
            Op::Shuffle => *self.word(context.kernel.shuffles[inst.imm as usize].mask),
            Op::Vote(_) => *self.word(inst.b),
            Op::WarpBarrier => *self.word(inst.a),
            _ => [ALL; 32],
        };
        let mut needed = 0;
        for lane in lanes(here) {
            if masks[lane] >> lane & 1 == 0 {
                let what = format!("the lane isn't in its own mask {:#x}", masks[lane]);
                return Err(Trouble::new(Kind::InactiveLane, lane, what));
            }
            needed |= masks[lane];
        }
        if needed & !self.live != 0 {
            let lane = here.trailing_zeros() as usize;
            let gone = needed & !self.live;
            let what = format!("the mask names lanes {gone:#x}, which have exited or never were");
            return Err(Trouble::new(Kind::InactiveLane, lane, what));
        }
        if needed & !here != 0 {
            self.groups[index].state = State::Waits;
            return Ok(());
        }
        self.groups.retain(|group| !is_here(group));
        self.groups.push(Group { pc: pc + 1, mask: here, state: State::Ready });
        match inst.op {
            Op::Shuffle => {
                let shuffle = context.kernel.shuffles[inst.imm as usize];
                self.shuffle(&shuffle, &masks, here)?;
            }
            Op::Vote(vote) => self.vote(inst, vote, &masks, here),
            Op::WarpBarrier => self.clock += 1,
            Op::Mma => self.multiply(context, &context.kernel.products[inst.imm as usize]),
            Op::LoadMatrix { is_transposed } => {
                self.load_matrix(context, work, inst.imm, is_transposed)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn shuffle(
        &mut self,
        shuffle: &Shuffle,
        masks: &[u32; 32],
        here: u32,
    ) -> Result<(), Box<Trouble>> {
        let a = *self.word(shuffle.a);
        let (by, clamps) = (*self.word(shuffle.lane), *self.word(shuffle.clamp));
        let (mut values, mut in_range) = (a, 0);
        for lane in lanes(here) {
            let at = u32::try_from(lane).expect("below 32");
            let (by, clamp) = (by[lane] & 31, clamps[lane] & 31);
            let segment = clamps[lane] >> 8 & 31;
            let highest = at & segment | clamp & !segment;
            let lowest = at & segment;
            let (source, is_in) = match shuffle.kind {
                ShuffleKind::Up => {
                    let source = i64::from(at) - i64::from(by);
                    (source, source >= i64::from(highest))
                }
                ShuffleKind::Down => {
                    let source = i64::from(at + by);
                    (source, source <= i64::from(highest))
                }
                ShuffleKind::Butterfly => {
                    let source = i64::from(at ^ by);
                    (source, source <= i64::from(highest))
                }
                ShuffleKind::Index => {
                    let source = i64::from(lowest | by & !segment);
                    (source, source <= i64::from(highest))
                }
            };
            if is_in {
                in_range |= 1 << lane;
                let source = usize::try_from(source).unwrap_or(lane);
                if masks[lane] >> source & 1 == 0 {
                    let what =
                        format!("reads from lane {source}, which isn't in mask {:#x}", masks[lane]);
                    return Err(Trouble::new(Kind::InactiveLane, lane, what));
                }
                values[lane] = a[source];
            }
        }
        self.set_word(shuffle.d, values, here);
        if shuffle.predicate != NONE {
            self.set_predicate(shuffle.predicate, in_range, here);
        }
        Ok(())
    }

    fn vote(&mut self, inst: &Inst, vote: Vote, masks: &[u32; 32], here: u32) {
        let voted = self.predicates[usize::from(inst.a)];
        let of = |lane: usize| masks[lane] & voted;
        if vote == Vote::Ballot {
            self.set_word(inst.d, std::array::from_fn(of), here);
            return;
        }
        let holds = |lane: usize| match vote {
            Vote::All => of(lane) == masks[lane],
            Vote::Any => of(lane) != 0,
            _ => of(lane) == 0 || of(lane) == masks[lane],
        };
        let mask = lanes(here).filter(|lane| holds(*lane)).fold(0, |mask, lane| mask | 1 << lane);
        self.set_predicate(inst.d, mask, here);
    }

    /// m16n8k8. Products are exact; sums are rounded once, or, with seeded approximations, truncated
    /// after each of four steps as tensor cores do.
    fn multiply(&mut self, context: &Context, product: &Product) {
        let halves =
            |word: u32| [f64::from(f32_of_f16(word & 0xffff)), f64::from(f32_of_f16(word >> 16))];
        let (mut a, mut b) = ([[0.0; 8]; 16], [[0.0; 8]; 8]);
        for lane in 0..32 {
            let (group, member) = (lane / 4, lane % 4 * 2);
            for (at, row) in product.a.iter().enumerate() {
                let [low, high] = halves(self.word(*row)[lane]);
                (a[group + 8 * at][member], a[group + 8 * at][member + 1]) = (low, high);
            }
            let [low, high] = halves(self.word(product.b)[lane]);
            (b[member][group], b[member + 1][group]) = (low, high);
        }
        let c = product.c.map(|row| *self.word(row));
        let place = |lane: usize, at: usize| (lane / 4 + at / 2 * 8, lane % 4 * 2 + at % 2);
        let mut sums = [[0.0; 8]; 16];
        for lane in 0..32 {
            for (at, c) in c.iter().enumerate() {
                let (row, column) = place(lane, at);
                sums[row][column] = f64::from(f32::from_bits(c[lane]));
            }
        }
        let truncates = match context.options.approximation {
            Approximation::Exact => false,
            Approximation::Seeded(seed) => mix(seed) & 1 == 1,
        };
        for (row, sums) in a.iter().zip(&mut sums) {
            for (k, (a, b)) in row.iter().zip(&b).enumerate() {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += a * b;
                }
                if truncates && k % 2 == 1 {
                    for sum in &mut *sums {
                        *sum = truncated(*sum);
                    }
                }
            }
        }
        for (at, row) in product.d.iter().enumerate() {
            let values = std::array::from_fn(|lane| {
                let (row, column) = place(lane, at);
                (sums[row][column] as f32).to_bits()
            });
            self.set_word(*row, values, ALL);
        }
    }
}

/// To f32, towards zero.
fn truncated(value: f64) -> f64 {
    let near = value as f32;
    if f64::from(near).abs() > value.abs() && near.is_finite() {
        f64::from(f32::from_bits(near.to_bits() - 1))
    } else {
        f64::from(near)
    }
}

/// The lanes of a mask.
pub(super) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 == 1)
}
