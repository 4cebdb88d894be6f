//! The verdict on a comparison: how much faster and between what, equal within a margin, or not
//! distinguishable. It comes from the interval that the whole family is corrected for.

use super::super::estimate::Estimate;
use super::super::interval::ALPHA;
use super::contrast::{Contrast, Rounds};
use super::holm::{self, Step};
use super::quantity::{Quantity, Words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The candidate has more of it.
    More,
    /// The candidate has less of it.
    Less,
    /// The whole interval lies within the margin.
    Equal,
    /// The data do not tell.
    NotDistinguishable,
}

/// What was found, in a word and in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The word.
    pub finding: Finding,
    /// The sentence: "12 % faster, between 10 and 14 %".
    pub text: String,
}

/// One quantity of a candidate against a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// What is compared.
    pub quantity: Quantity,
    /// Candidate over baseline, with its own 95 % interval; `n` counts rounds, or the runs of the side
    /// with fewer.
    pub ratio: Estimate,
    /// The ends of the interval that is corrected for the family; the verdict comes from it.
    pub corrected_ci_low: Option<f64>,
    /// Its upper end.
    pub corrected_ci_high: Option<f64>,
    /// The p value, corrected for the family.
    pub adjusted_p_value: Option<f64>,
    /// How many comparisons the family has.
    pub family: u64,
    /// How runs were matched.
    pub rounds: Rounds,
    /// How many samples both sides share.
    pub shared_samples: u64,
    /// What was found.
    pub verdict: Verdict,
    /// What the claim is about: "these two machines" where a side had one host only.
    pub scope: String,
}

/// Judges a family of contrasts of one quantity. With a margin (0.03 for 3 %) an interval that lies
/// within it is called equal, even where it excludes 1: the margin is what counts as a difference.
pub fn judge(quantity: Quantity, contrasts: &[Contrast], margin: Option<f64>) -> Vec<Comparison> {
    let p_values: Vec<Option<f64>> = contrasts.iter().map(Contrast::p_value).collect();
    let family = p_values.iter().flatten().count() as u64;
    let steps = holm::correct(&p_values, ALPHA);
    let one =
        |(contrast, step): (&Contrast, _)| comparison(quantity, contrast, step, margin, family);
    contrasts.iter().zip(steps).map(one).collect()
}

fn comparison(
    quantity: Quantity,
    contrast: &Contrast,
    step: Option<Step>,
    margin: Option<f64>,
    family: u64,
) -> Comparison {
    let ratios = |alpha| contrast.interval(alpha).map(|(low, high)| (low.exp(), high.exp()));
    let corrected = step.and_then(|step| ratios(step.alpha));
    let ratio = match (contrast.log_ratio.map(f64::exp), ratios(ALPHA)) {
        (Some(ratio), Some(interval)) => Estimate::within(ratio, interval, contrast.runs),
        (value, _) => Estimate {
            value,
            ..Estimate::missing(contrast.runs, contrast.reason.clone().unwrap_or_default())
        },
    };
    Comparison {
        quantity,
        verdict: verdict(quantity.words(), &ratio, corrected, margin),
        ratio,
        corrected_ci_low: corrected.map(|interval| interval.0),
        corrected_ci_high: corrected.map(|interval| interval.1),
        adjusted_p_value: step.map(|step| step.adjusted_p),
        family,
        rounds: contrast.rounds,
        shared_samples: contrast.shared_samples,
        scope: if contrast.hosts < 2 { "these two machines" } else { "these targets" }.to_owned(),
    }
}

fn verdict(
    words: Words,
    ratio: &Estimate,
    corrected: Option<(f64, f64)>,
    margin: Option<f64>,
) -> Verdict {
    let (Some(value), Some((low, high))) = (ratio.value, corrected) else {
        let reason = ratio.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        let text = format!("not distinguishable{reason}");
        return Verdict { finding: Finding::NotDistinguishable, text };
    };
    if let Some(margin) = margin.filter(|margin| 1.0 - margin <= low && high <= 1.0 + margin) {
        return Verdict {
            finding: Finding::Equal,
            text: format!("equal within {} %", percent(margin)),
        };
    }
    let (finding, word, (from, to)) = if low > 1.0 {
        (Finding::More, words.more, (low, high))
    } else if high < 1.0 {
        (Finding::Less, words.less, (high, low))
    } else {
        let (low, high) = (signed_percent(low), signed_percent(high));
        let text = format!("not distinguishable: between {low} and {high} %");
        return Verdict { finding: Finding::NotDistinguishable, text };
    };
    let share = |ratio: f64| percent((ratio - 1.0).abs());
    let text = format!("{} % {word}, between {} and {} %", share(value), share(from), share(to));
    Verdict { finding, text }
}

/// Above so many percent, further digits say nothing.
const MOST_PERCENT: f64 = 10_000.0;

/// A share as a percentage of about three digits.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > MOST_PERCENT {
        return format!("over {MOST_PERCENT}");
    }
    let digits = match percent.abs() {
        hundreds if hundreds >= 100.0 => 0,
        tens if tens >= 10.0 => 1,
        ones if ones >= 0.995 => 2,
        _ => 3,
    };
    let text = format!("{percent:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A ratio as a signed change in percent.
pub fn signed_percent(ratio: f64) -> String {
    let text = percent(ratio - 1.0);
    match text.strip_prefix("over ") {
        Some(most) => format!("over +{most}"),
        None if ratio > 1.0 => format!("+{text}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(log_ratio: f64, error: f64) -> Contrast {
        Contrast {
            log_ratio: Some(log_ratio),
            error: Some((error, 2.0)),
            rounds: Rounds::Paired,
            runs: 3,
            shared_samples: 150,
            reason: None,
            hosts: 1,
        }
    }

    fn text(quantity: Quantity, contrasts: &[Contrast], margin: Option<f64>) -> Vec<String> {
        let judged = judge(quantity, contrasts, margin).into_iter();
        judged.map(|comparison| comparison.verdict.text).collect()
    }

    #[test]
    fn what_is_far_away_is_told_without_digits() {
        assert_eq!(percent(99.5), "9950");
        assert_eq!(percent(1e12), "over 10000");
        assert_eq!(signed_percent(1e12), "over +10000");
        assert_eq!(signed_percent(1.5), "+50");
        assert_eq!(signed_percent(0.5), "-50");
    }

    #[test]
    fn a_verdict_is_a_sentence_with_its_interval() {
        let latency = |contrast, margin| text(Quantity::RequestLatency, &[contrast], margin);
        let slower = contrast(1.03_f64.ln(), 0.001);
        assert_eq!(latency(slower.clone(), None), ["3 % slower, between 2.56 and 3.44 %"]);
        let faster = contrast(0.8_f64.ln(), 0.001);
        assert_eq!(latency(faster, None), ["20 % faster, between 19.7 and 20.3 %"]);
        assert_eq!(latency(slower.clone(), Some(0.05)), ["equal within 5 %"]);
        assert_eq!(latency(slower, Some(0.03)), ["3 % slower, between 2.56 and 3.44 %"]);
        let unclear = contrast(1.03_f64.ln(), 0.01);
        assert_eq!(latency(unclear, None), ["not distinguishable: between -1.34 and +7.53 %"]);
    }

    #[test]
    fn more_throughput_is_faster_and_more_cost_is_dearer() {
        let more = contrast(1.03_f64.ln(), 0.001);
        let words = |quantity| text(quantity, std::slice::from_ref(&more), None)[0].clone();
        assert!(words(Quantity::Throughput).contains("faster"));
        assert!(words(Quantity::Cost).contains("dearer"));
        assert!(words(Quantity::OutputTokens).contains("longer"));
    }

    #[test]
    fn a_larger_family_needs_clearer_data() {
        // t = 6 with 2 degrees: p = 0.027.
        let alone = [contrast(0.06, 0.01)];
        assert!(text(Quantity::RequestLatency, &alone, None)[0].contains("slower"));
        let family = [contrast(0.06, 0.01), contrast(0.001, 0.01), contrast(0.06, 0.01)];
        for text in text(Quantity::RequestLatency, &family, None) {
            assert!(text.starts_with("not distinguishable"), "{text}");
        }
    }

    #[test]
    fn identical_sides_have_ratio_one_exactly_and_no_difference() {
        let judged = judge(Quantity::RequestLatency, &[contrast(0.0, 0.0)], None);
        assert_eq!(judged[0].ratio.value, Some(1.0));
        assert_eq!(judged[0].verdict.finding, Finding::NotDistinguishable);
        assert_eq!(judged[0].adjusted_p_value, Some(1.0));
    }
}
