//! Rotary positions (Su et al. 2021, `RoFormer`), after an optional norm of each head.

use super::gemm::Kernels;
use super::rows::Rows;

/// The cosines and sines of every position met so far.
#[derive(Debug)]
pub struct Rope {
    /// Radians per position, one for each pair of elements of a head.
    frequencies: Vec<f32>,
    /// `[positions][2][pairs]`: cosines, then sines.
    table: Vec<f32>,
}

impl Rope {
    pub fn new(frequencies: Vec<f32>) -> Self {
        Self { frequencies, table: Vec::new() }
    }

    /// Extends the table to this many positions.
    #[expect(clippy::cast_possible_truncation, reason = "the table is f32")]
    pub fn cover(&mut self, positions: usize) {
        let pairs = self.frequencies.len();
        for position in self.table.len() / (2 * pairs)..positions {
            let angle = |frequency: &f32| f64::from(position as f32 * frequency);
            self.table.extend(self.frequencies.iter().map(|it| angle(it).cos() as f32));
            self.table.extend(self.frequencies.iter().map(|it| angle(it).sin() as f32));
        }
    }

    pub fn bytes(&self) -> usize {
        4 * self.table.len()
    }

    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let pairs = self.frequencies.len();
        self.table[2 * position * pairs..][..2 * pairs].split_at(pairs)
    }
}

/// Heads side by side in each row that are rotated.
#[derive(Debug)]
pub struct RotatedHeads<'a> {
    /// The first element of the first head.
    pub start: usize,
    pub count: usize,
    /// Each head is normed before: `x / rms(x) * gain`.
    pub gain: Option<&'a [f32]>,
    pub epsilon: f32,
    /// Factor of the result, such as that of queries.
    pub scale: f32,
}

impl Kernels {
    /// Rotates heads of each row in place. `positions`: of the rows, covered by `rope`. Panics if
    /// the heads exceed the rows.
    pub fn rotate(&self, x: &mut Rows, positions: &[usize], rope: &Rope, heads: &RotatedHeads<'_>) {
        let width = 2 * rope.frequencies.len();
        let span = heads.start..heads.start + heads.count * width;
        assert!(span.end <= x.width() && positions.len() == x.count());
        assert!(heads.gain.is_none_or(|gain| gain.len() == width));
        let (stride, shared) = (x.stride(), x.shared());
        self.by_row(positions.len(), span.len(), &|row| {
            // SAFETY: the span lies within the row, and each row is written by one thread.
            let values = unsafe {
                let first = shared.at(row * stride + span.start);
                std::slice::from_raw_parts_mut(first, span.len())
            };
            let (cosines, sines) = rope.at(positions[row]);
            for head in values.chunks_exact_mut(width) {
                if let Some(gain) = heads.gain {
                    norm(head, gain, heads.epsilon);
                }
                let (left, right) = head.split_at_mut(width / 2);
                let turns = cosines.iter().zip(sines);
                for ((x, y), (cos, sin)) in left.iter_mut().zip(right).zip(turns) {
                    let turned = (*x * cos - *y * sin, *y * cos + *x * sin);
                    (*x, *y) = (turned.0 * heads.scale, turned.1 * heads.scale);
                }
            }
        });
    }
}

/// In one order for every instruction set, eight sums at a time.
fn norm(head: &mut [f32], gain: &[f32], epsilon: f32) {
    let mut sums = [0.0_f32; 8];
    let (eights, others) = head.as_chunks::<8>();
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, x)| *sum += x * x);
    }
    let squares = sums.iter().sum::<f32>() + others.iter().map(|x| x * x).sum::<f32>();
    let scale = 1.0 / (squares / head.len() as f32 + epsilon).sqrt();
    head.iter_mut().zip(gain).for_each(|(x, gain)| *x = *x * scale * gain);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Dispatch;

    #[test]
    fn heads_turn_by_their_position_and_others_stay() {
        let mut rope = Rope::new(vec![1.0, 0.5]);
        rope.cover(1);
        rope.cover(4);
        let mut x = Rows::new(9);
        x.resize(2);
        for row in 0..2 {
            x.row_mut(row).copy_from_slice(&[9.0, 1.0, 2.0, 3.0, 4.0, 1.0, 0.0, 0.0, 1.0]);
        }
        let kernels = Kernels::new(Dispatch::best(), 2);
        let heads = RotatedHeads { start: 1, count: 2, gain: None, epsilon: 0.0, scale: 1.0 };
        kernels.rotate(&mut x, &[0, 3], &rope, &heads);
        assert_eq!(x.row(0), [9.0, 1.0, 2.0, 3.0, 4.0, 1.0, 0.0, 0.0, 1.0]);
        let (a, b) = (3.0_f32, 1.5_f32);
        let expected = [
            9.0,
            a.cos() - 3.0 * a.sin(),
            2.0 * b.cos() - 4.0 * b.sin(),
            3.0 * a.cos() + a.sin(),
            4.0 * b.cos() + 2.0 * b.sin(),
            a.cos(),
            -b.sin(),
            a.sin(),
            b.cos(),
        ];
        for (found, expected) in x.row(1).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{:?}", x.row(1));
        }
    }

    #[test]
    fn a_head_is_normed_before_it_turns() {
        let mut rope = Rope::new(vec![1.0]);
        rope.cover(1);
        let mut x = Rows::new(4);
        x.resize(1);
        x.row_mut(0).copy_from_slice(&[3.0, 4.0, 0.0, 2.0]);
        let gain = [1.0, 2.0];
        let heads =
            RotatedHeads { start: 0, count: 2, gain: Some(&gain), epsilon: 0.0, scale: 0.5 };
        Kernels::new(Dispatch::best(), 1).rotate(&mut x, &[0], &rope, &heads);
        let (one, other) = (12.5_f32.sqrt(), 2.0_f32.sqrt());
        for (found, expected) in x.row(0).iter().zip([1.5 / one, 4.0 / one, 0.0, 2.0 / other]) {
            assert!((found - expected).abs() < 1e-6, "{:?}", x.row(0));
        }
    }
}
