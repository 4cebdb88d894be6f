//! Logits of one row in, log probabilities out, in f32 as PyTorch computes them.

/// Replaces `logits` by their log probabilities. Returns a logit that is not finite, if it is the
/// highest.
pub(super) fn log_softmax(logits: &mut [f32]) -> Result<(), f32> {
    let highest = maximum(logits);
    let sum = sum_of_exponentials(logits, highest);
    // A NaN anywhere is one in the sum.
    if !(highest.is_finite() && sum.is_finite()) {
        return Err(if highest.is_finite() { f32::NAN } else { highest });
    }
    let log_sum = sum.ln();
    logits.iter_mut().for_each(|logit| *logit = *logit - highest - log_sum);
    Ok(())
}

/// Independent sums, so that the compiler uses vectors.
const LANES: usize = 16;

fn maximum(numbers: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane = if *number > *lane { *number } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

fn sum_of_exponentials(numbers: &[f32], highest: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane += exponential(*number - highest);
        }
    }
    let rest: f32 = rest.iter().map(|number| exponential(*number - highest)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `e^x` for `x <= 0` within 2 units in the last place (Cephes, `expf`); 0 below -87.
#[inline]
fn exponential(x: f32) -> f32 {
    /// Adding and subtracting 1.5 · 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = clamped - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut sum = 1.987_569_1e-4_f32;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * r + factor;
    }
    let fraction = sum * r * r + r + 1.0;
    // The low bits of the shifted number are the exponent.
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let power = fraction * f32::from_bits(exponent);
    if x < -87.0 { 0.0 } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for step in 0..50_000_u16 {
            let x = -f32::from(step) / 575.0;
            let (found, expected) = (exponential(x), x.exp());
            assert!((found - expected).abs() <= 2.5e-7 * expected, "{x}: {found}, {expected}");
        }
        assert_eq!(exponential(0.0).to_bits(), 1.0_f32.to_bits());
        assert_eq!([-88.0, f32::NEG_INFINITY].map(|x| exponential(x).to_bits()), [0; 2]);
        assert!(exponential(f32::NAN).is_nan());
    }

    #[test]
    fn probabilities_sum_to_one() {
        let mut row: Vec<f32> = (0..77_u16).map(|i| f32::from(i * 37 % 23) - 9.0).collect();
        let logits = row.clone();
        log_softmax(&mut row).unwrap();
        let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!((row[3] - row[70] - (logits[3] - logits[70])).abs() < 1e-5);
    }

    #[test]
    fn logits_that_are_not_finite_are_an_error() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut row = vec![0.5; 40];
            row[21] = bad;
            assert!(log_softmax(&mut row).is_err(), "{bad}");
        }
        assert!(log_softmax(&mut [0.0, f32::NEG_INFINITY]).is_ok());
    }
}
