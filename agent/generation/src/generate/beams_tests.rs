use super::*;
use proptest::prelude::*;

const EOS: u32 = 1;

/// Logits that depend on all tokens so far.
fn logits(seed: u64, vocabulary: u32, history: &[u32]) -> Vec<f32> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut mix = |value: u64| {
        state = (state ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 33;
        state
    };
    for id in history {
        mix(u64::from(*id) + 1);
    }
    let number = |bits: u64| (bits >> 40) as f32 / 4_194_304.0 - 2.0;
    (0..vocabulary).map(|id| number(mix(1000 + u64::from(id)))).collect()
}

fn log_probabilities(seed: u64, vocabulary: u32, history: &[u32]) -> Vec<f32> {
    let mut row = logits(seed, vocabulary, history);
    log_softmax(&mut row).unwrap();
    row
}

/// Runs a search to its end. Returns the number of steps as well.
fn search(decoding: Decoding, limit: usize, seed: u64, vocabulary: u32) -> (Summary, usize) {
    let mut rows = vec![vec![decoding.decoder_start_token_id]];
    let mut beams = BeamSearch::new(Arc::new(decoding), vec![0], vec![EOS], limit);
    for step in 1.. {
        assert_eq!(beams.rows(), rows.len());
        let mut all: Vec<f32> =
            rows.iter().flat_map(|history| logits(seed, vocabulary, history)).collect();
        match beams.advance(&mut all).unwrap() {
            Next::Ends(summary) => return (summary, step),
            Next::Rows(next) => {
                let extended = |Continued { row, token }: &Continued| {
                    [rows[*row].clone(), vec![*token]].concat()
                };
                rows = next.iter().map(extended).collect();
            }
        }
    }
    unreachable!("a search ends at its limit")
}

fn decoding(num_beams: u32, length_penalty: f64, early_stopping: EarlyStopping) -> Decoding {
    Decoding { num_beams, length_penalty, early_stopping, ..Decoding::default() }
}

fn greedy(limit: usize, seed: u64, vocabulary: u32) -> Vec<u32> {
    let mut history = vec![0];
    while history.len() <= limit && (history.len() == 1 || history.last() != Some(&EOS)) {
        let row = logits(seed, vocabulary, &history);
        let best = (0..vocabulary)
            .max_by(|one, other| row[*one as usize].total_cmp(&row[*other as usize]));
        history.push(best.unwrap());
    }
    history.split_off(1)
}

/// The best of all sequences that end by EOS or at the limit, and its score.
fn exhaustive(limit: usize, length_penalty: f64, seed: u64, vocabulary: u32) -> (Vec<u32>, f64) {
    let mut best = (Vec::new(), f64::NEG_INFINITY);
    let mut open = vec![(vec![0], 0.0_f32)];
    while let Some((history, sum)) = open.pop() {
        let row = log_probabilities(seed, vocabulary, &history);
        for (id, log_probability) in (0..vocabulary).zip(row) {
            let extended = [history.clone(), vec![id]].concat();
            let sum = sum + log_probability;
            let length = extended.len() - 1;
            if id == EOS || length == limit {
                let score = f64::from(sum) / (length as f64).powf(length_penalty);
                if score > best.1 {
                    best = (extended[1..].to_vec(), score);
                }
            } else {
                open.push((extended, sum));
            }
        }
    }
    best
}

proptest! {
    #[test]
    fn one_beam_is_greedy(
        seed in any::<u64>(), limit in 1_usize..20, vocabulary in 2_u32..40,
        length_penalty in -2.0..3.0_f64,
        early_stopping in prop::sample::select(EarlyStopping::ALL),
    ) {
        // A single beam may go on after its end if length is rewarded, as in transformers.
        let length_penalty =
            if early_stopping == EarlyStopping::Never { 0.0 } else { length_penalty };
        let decoding = decoding(1, length_penalty, early_stopping);
        let (found, _) = search(decoding, limit, seed, vocabulary);
        prop_assert_eq!(found.ids, greedy(limit, seed, vocabulary));
    }

    #[test]
    fn enough_beams_find_the_best_of_all_sequences(
        seed in any::<u64>(), limit in 1_usize..5, length_penalty in -1.0..2.5_f64,
        early_stopping in prop::sample::select(&[EarlyStopping::Off, EarlyStopping::Never][..]),
    ) {
        // 27 open sequences have 108 continuations, and 121 sequences end.
        let decoding = decoding(128, length_penalty, early_stopping);
        let (found, _) = search(decoding, limit, seed, 4);
        let (ids, score) = exhaustive(limit, length_penalty, seed, 4);
        prop_assert!((f64::from(found.score) - score).abs() < 1e-5, "{} instead of {score}", found.score);
        prop_assert_eq!(found.ids, ids);
    }

    #[test]
    fn a_score_is_the_mean_log_probability_of_its_tokens(
        seed in any::<u64>(), limit in 1_usize..16, beams in 2_u32..7, vocabulary in 4_u32..40,
        length_penalty in -1.0..2.5_f64,
        early_stopping in prop::sample::select(EarlyStopping::ALL),
    ) {
        let decoding = decoding(beams, length_penalty, early_stopping);
        let (found, steps) = search(decoding, limit, seed, vocabulary);
        prop_assert!(found.ids.len() <= steps && steps <= limit);
        let mut history = vec![0];
        let mut sum = 0.0_f64;
        for id in &found.ids {
            sum += f64::from(log_probabilities(seed, vocabulary, &history)[*id as usize]);
            history.push(*id);
        }
        let score = sum / (found.ids.len() as f64).powf(length_penalty);
        prop_assert!((f64::from(found.score) - score).abs() < 1e-4 * score.abs().max(1.0));
        let ends = found.ids.iter().position(|id| *id == EOS);
        prop_assert_eq!(ends.map_or(limit, |place| place + 1), found.ids.len());
    }

    #[test]
    fn who_stops_early_takes_no_more_steps_and_finds_nothing_better(
        seed in any::<u64>(), limit in 1_usize..16, beams in 2_u32..7, vocabulary in 4_u32..20,
        length_penalty in 0.1..2.5_f64,
    ) {
        let run = |when| search(decoding(beams, length_penalty, when), limit, seed, vocabulary);
        let [(off, _), (on, early), (never, late)] =
            [EarlyStopping::Off, EarlyStopping::On, EarlyStopping::Never].map(run);
        prop_assert!(early <= late);
        prop_assert!(on.score <= never.score && off.score <= never.score);
    }
}

/// By hand: two beams over three tokens, of which 1 ends.
#[test]
fn two_beams_find_what_greedy_misses() {
    let row = |probabilities: [f32; 3]| probabilities.map(f32::ln).to_vec();
    let start = decoding(2, 0.0, EarlyStopping::Off);
    let mut beams = BeamSearch::new(Arc::new(start), vec![0], vec![EOS], 2);
    let mut logits = row([0.6, 0.0, 0.4]);
    let next = beams.advance(&mut logits).unwrap();
    let continued = |row, token| Continued { row, token };
    assert_eq!(next, Next::Rows(vec![continued(0, 0), continued(0, 2)]));
    // 0.6 · 0.5 = 0.3 is less than 0.4 · 0.9 = 0.36.
    let mut logits = [row([0.5, 0.3, 0.2]), row([0.05, 0.9, 0.05])].concat();
    let Next::Ends(best) = beams.advance(&mut logits).unwrap() else { panic!("the limit is 2") };
    assert_eq!(best.ids, [2, 1]);
    assert!((best.score - 0.36_f32.ln()).abs() < 1e-6, "{}", best.score);
}

#[test]
fn a_forced_first_token_keeps_all_beams() {
    let decoding =
        Decoding { forced_bos_token_id: Some(2), ..decoding(3, 1.0, EarlyStopping::Off) };
    let mut beams = BeamSearch::new(Arc::new(decoding), vec![0], vec![EOS], 9);
    let next = beams.advance(&mut [0.0; 8]).unwrap();
    assert_eq!(next, Next::Rows(vec![Continued { row: 0, token: 2 }; 3]));
    // Only one of the equal beams counts.
    let mut logits = [0.0, 0.0, 0.0, 3.0, 2.0, 1.0, 0.0, 0.0].repeat(3);
    let Next::Rows(next) = beams.advance(&mut logits).unwrap() else { panic!("nothing ends") };
    assert_eq!(next.iter().map(|next| next.token).collect::<Vec<_>>(), [3, 4, 5]);
}
