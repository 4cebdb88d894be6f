//! Results -> CSV, one line per cell (RFC 4180), for spreadsheets and pandas. Figures are unrounded; missing ones are
//! empty.

use crate::one_line::one_line;
use crate::sentences::{causes, prompt};
use results::{Cell, Entry, Results};
use stats::Estimate;

/// Renders a header and one line per cell.
pub fn render(results: &Results) -> Vec<u8> {
    let mut lines = ::csv::Writer::from_writer(Vec::new());
    let mut names: Option<Vec<String>> = None;
    for entry in &results.results {
        for cell in &entry.cells {
            let columns = columns(results, entry, cell);
            if names.is_none() {
                let own: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
                lines.write_record(&own).expect("memory can be written to");
                names = Some(own);
            }
            let values = columns.iter().map(|(_, value)| value);
            lines.write_record(values).expect("memory can be written to");
        }
    }
    lines.into_inner().expect("memory can be written to")
}

fn columns(results: &Results, entry: &Entry, cell: &Cell) -> Vec<(String, String)> {
    let mut columns: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| columns.push((name.to_owned(), value));
    let or_empty = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    add("campaign", plain(&results.campaign.id));
    add("matrix", plain(&results.campaign.name));
    add("created_at", plain(&results.campaign.created_at));
    add("cell", plain(&cell.cell));
    add("target", plain(&entry.target));
    add("measured_on", plain(&entry.measured_on));
    add("model", plain(&entry.model));
    add("adapter", plain(entry.peft_weights.as_deref().unwrap_or_default()));
    add("dtype", plain(&entry.dtype));
    let engine = entry.engine.as_ref().map(results::Engine::implementation);
    add("engine", plain(engine.unwrap_or_default()));
    let decoding = entry.engine.as_ref().and_then(|engine| engine.decoding.as_ref());
    add("num_beams", entry.beams().map_or_else(String::new, |number| number.to_string()));
    add("generation", plain(decoding.map_or("", |decoding| &decoding.summary)));
    add("prompt", plain(&prompt(results, entry).unwrap_or_default()));
    let system = entry.engine.as_ref().and_then(|engine| engine.system.as_deref());
    add("system", plain(system.unwrap_or_default()));
    add("scenario", plain(&entry.scenario));
    add("batch_size", cell.batch_size.to_string());
    add("status", cell.validity.status.as_str().to_owned());
    add("reasons", plain(&causes(&cell.validity)));
    for (name, count) in [
        ("counted_samples", cell.counted_samples),
        ("failed_samples", cell.failed_samples),
        ("missing_samples", cell.missing_samples),
        ("late_samples", cell.late_samples),
    ] {
        add(name, count.to_string());
    }
    add("usd_per_hour", cell.cost.usd_per_hour.to_string());
    let mut estimate = |name: &str, estimate: Option<&Estimate>| {
        let of = |value: fn(&Estimate) -> Option<f64>| or_empty(estimate.and_then(value));
        add(name, of(|estimate| estimate.value));
        add(&format!("{name}_ci_low"), of(|estimate| estimate.ci_low));
        add(&format!("{name}_ci_high"), of(|estimate| estimate.ci_high));
    };
    let estimates = &cell.estimates;
    estimate("usd_per_1000_requests", Some(&cell.cost.usd_per_1000_requests));
    estimate("usd_per_million_output_tokens", Some(&cell.cost.usd_per_million_output_tokens));
    estimate("samples_per_s", Some(&estimates.throughput.per_host));
    estimate("output_tokens_per_s", Some(&estimates.output_token_throughput.per_host));
    let phases = cell.phases.as_ref();
    estimate("prefill_tokens_per_s", phases.map(|phases| &phases.prefill_tokens_per_s));
    let decode = phases.and_then(|phases| phases.decode_tokens_per_s.as_ref());
    estimate("decode_tokens_per_s", decode);
    estimate("latency_mean_ms", Some(&estimates.latency_ms.mean));
    estimate("latency_p50_ms", Some(&estimates.latency_ms.p50));
    estimate("latency_p90_ms", Some(&estimates.latency_ms.p90));
    estimate("latency_p95_ms", Some(&estimates.latency_ms.p95));
    estimate("latency_p99_ms", Some(&estimates.latency_ms.p99));
    estimate("ttft_p50_ms", Some(&estimates.ttft_ms.p50));
    estimate("rouge1", cell.quality.as_ref().map(|quality| &quality.rouge1));
    estimate("rouge2", cell.quality.as_ref().map(|quality| &quality.rouge2));
    estimate("rougeL", cell.quality.as_ref().map(|quality| &quality.rouge_l));
    add("acceptance_rate", or_empty(cell.drafts.and_then(|drafts| drafts.acceptance_rate)));
    add("wall_samples_per_s", or_empty(estimates.wall_samples_per_s));
    add("model_size_mb", or_empty(cell.memory.model_size_mb));
    add("peak_rss_mb", or_empty(cell.memory.peak_rss_mb));
    columns
}

/// A text on one line that a spreadsheet doesn't evaluate as a formula.
fn plain(text: &str) -> String {
    let text = one_line(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.into_owned() }
}
