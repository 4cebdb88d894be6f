//! Any bytes as a results.json and its samples, as `controller compare` reads them: the length of the JSON, the JSON and
//! the Parquet file. What can be read is compared, and no text of it acts where it is shown.

use bytes::Bytes;
use model::text::is_unprintable;
use report::compare::{self, Asked, Side, annotations, junit, markdown, table};
use results::{Results, parquet};
use stats::comparison::regression::Undecided;
use std::sync::LazyLock;

/// Results of this program.
static HONEST: LazyLock<Side> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../../fuzz/corpus/results/honest");
    side(bytes).expect("they can be read")
});

pub(crate) fn check(bytes: &[u8]) {
    let Some(foreign) = side(bytes) else { return };
    let limits = ["latency_p50=5%", "throughput=0%", "cost=1%"];
    for asked in [
        Asked { equal_within: None, limits: Vec::new() },
        Asked {
            equal_within: Some(0.05),
            limits: limits.iter().filter_map(|limit| limit.parse().ok()).collect(),
        },
    ] {
        for (baseline, candidate) in [(&*HONEST, &foreign), (&foreign, &foreign)] {
            let compared = match compare::compared(baseline, candidate, &asked) {
                Ok(compared) => compared,
                Err(error) => {
                    assert!(is_plain(&error.to_string()), "{error}");
                    continue;
                }
            };
            for text in [
                table::render(&compared, Some(80)),
                markdown::render(&compared),
                junit::render(&compared, Undecided::Fails),
                annotations::render(&compared, Undecided::Fails),
            ] {
                assert!(is_plain(&text), "{text:?}");
            }
            serde_json::to_string(&compared).expect("it has a form in JSON");
        }
    }
}

/// What `compare` accepts as one side.
fn side(bytes: &[u8]) -> Option<Side> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (json, samples) = rest.split_at_checked(length)?;
    let results: Results = serde_json::from_slice(json).ok()?;
    let campaign = &results.campaign;
    let rows = campaign.samples_file.as_ref()?.rows;
    if campaign.counted_samples.checked_add(campaign.late_samples) != Some(rows) {
        return None;
    }
    let samples = parquet::read::read(Bytes::copy_from_slice(samples), rows).ok()?;
    let is_whole = samples.samples.len() as u64 == campaign.counted_samples;
    is_whole.then_some(Side { results, samples })
}

/// Lines are of the report.
fn is_plain(text: &str) -> bool {
    !text.contains(|c| is_unprintable(c) && c != '\n')
}
