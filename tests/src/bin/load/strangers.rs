//! The cost of hostile strangers: the same campaign amid them and undisturbed, alternately, and the difference of each
//! pair.

use super::pairs::interval;
use scenarios::scripted;
use scenarios::strangers::{STRANGERS, TARGET, run_amid};

/// 60 ms a batch, in real time: 420 batches on two agents take 13 seconds.
const SCRIPT: &str = r#"{"prompt_ms": 40, "token_ms": 2, "output_tokens": 10, "paced": true}"#;
const FACTORS: &str = "[factors]\nbatch_sizes = [4]\n[protocol]\nruns = 7\nwarmup = 0\n";
const SAMPLES: usize = 240;
/// Limit of the growth of the wall time.
const GROWTH: f64 = 0.1;

/// Runs `pairs` pairs and prints them.
pub(crate) fn measure(pairs: u64) {
    let pairs = pairs.clamp(2, 10);
    println!("| pair | undisturbed | amid {STRANGERS} strangers |");
    println!("| ---: | ---: | ---: |");
    let mut growths = Vec::new();
    for pair in 0..pairs {
        // The order alternates, so that drift affects both.
        let order = if pair % 2 == 0 { [0, STRANGERS] } else { [STRANGERS, 0] };
        let mut took = [0.0; 2];
        for strangers in order {
            let matrix = scripted::matrix("strangers", SAMPLES, &[FACTORS, TARGET].concat());
            let workspace = scripted::workspace(SCRIPT, &matrix);
            took[usize::from(strangers > 0)] = run_amid(strangers, &workspace).as_secs_f64();
            let results = workspace.results("results.json");
            assert_eq!(results["campaign"]["missing_samples"], 0, "a sample is missing");
        }
        let [undisturbed, disturbed] = took;
        println!("| {} | {undisturbed:.3} s | {disturbed:.3} s |", pair + 1);
        growths.push(disturbed / undisturbed - 1.0);
    }
    let (mean, half) = interval(&growths);
    println!(
        "wall time amid strangers, relative to undisturbed: {:+.2}% (95% CI {:+.2}% to {:+.2}%) over {pairs} pairs",
        mean * 100.0,
        (mean - half) * 100.0,
        (mean + half) * 100.0
    );
    assert!(mean < GROWTH, "missed: strangers prolong the campaign");
}
