//! cells.parquet: one row for each cell, its figures with the ends of their intervals, for pandas and `DuckDB`.

use super::columns;
use crate::{Cell, Entry, Results};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use stats::Estimate;
use std::io::Write;

/// The values of a column; what is not known is null.
enum Values {
    Text(Vec<Option<ByteArray>>),
    Whole(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
    Truth(Vec<Option<bool>>),
}

struct Column {
    name: String,
    values: Values,
}

pub fn write_cells(results: &Results, out: impl Write + Send) -> Result<(), ParquetError> {
    let columns = columns_of(results);
    let mut file = columns::file(&schema(&columns), out)?;
    let mut group = file.next_row_group()?;
    for column in columns {
        match column.values {
            Values::Text(values) => columns::write::<ByteArrayType, _>(&mut group, values)?,
            Values::Whole(values) => columns::write::<Int64Type, _>(&mut group, values)?,
            Values::Real(values) => columns::write::<DoubleType, _>(&mut group, values)?,
            Values::Truth(values) => columns::write::<BoolType, _>(&mut group, values)?,
        }
    }
    group.close()?;
    file.close()?;
    Ok(())
}

fn schema(columns: &[Column]) -> String {
    let field = |column: &Column| {
        let kind = match column.values {
            Values::Text(_) => return format!("OPTIONAL BYTE_ARRAY {} (STRING);\n", column.name),
            Values::Whole(_) => "INT64",
            Values::Real(_) => "DOUBLE",
            Values::Truth(_) => "BOOLEAN",
        };
        format!("OPTIONAL {kind} {};\n", column.name)
    };
    let fields: String = columns.iter().map(field).collect();
    format!("message cell {{\n{fields}}}")
}

type Row<'a> = (&'a Entry, &'a Cell);

fn columns_of(results: &Results) -> Vec<Column> {
    let rows: Vec<Row<'_>> = (results.results.iter())
        .flat_map(|entry| entry.cells.iter().map(move |cell| (entry, cell)))
        .collect();
    let mut columns = Vec::new();
    let mut add = |name: &str, values| columns.push(Column { name: name.to_owned(), values });
    let text = |of: &dyn Fn(&Row<'_>) -> Option<String>| {
        Values::Text(
            rows.iter().map(|row| of(row).map(|text| ByteArray::from(text.as_str()))).collect(),
        )
    };
    let whole = |of: &dyn Fn(&Row<'_>) -> u64| {
        Values::Whole(rows.iter().map(|row| Some(of(row).cast_signed())).collect())
    };
    let real = |of: &dyn Fn(&Row<'_>) -> Option<f64>| Values::Real(rows.iter().map(of).collect());
    add("campaign", text(&|_| Some(results.campaign.id.clone())));
    add("matrix", text(&|_| Some(results.campaign.name.clone())));
    add("created_at", text(&|_| Some(results.campaign.created_at.clone())));
    add("cell", text(&|row| Some(row.1.cell.clone())));
    add("model", text(&|row| Some(row.0.model.clone())));
    add("adapter", text(&|row| row.0.peft_weights.clone()));
    add("target", text(&|row| Some(row.0.target.clone())));
    add("measured_on", text(&|row| Some(row.0.measured_on.clone())));
    add("dtype", text(&|row| Some(row.0.dtype.clone())));
    add("engine", text(&|row| Some(row.0.engine.as_ref()?.implementation().to_owned())));
    let beams = rows.iter().map(|row| row.0.beams().map(i64::from));
    add("num_beams", Values::Whole(beams.collect()));
    let generation =
        |row: &Row<'_>| Some(row.0.engine.as_ref()?.decoding.as_ref()?.summary.clone());
    add("generation", text(&generation));
    add("prompt", text(&|row| results.prompt(row.0).map(str::to_owned)));
    add("system", text(&|row| row.0.engine.as_ref()?.system.clone()));
    add("scenario", text(&|row| Some(row.0.scenario.clone())));
    add("batch_size", whole(&|row| u64::from(row.1.batch_size)));
    add("status", text(&|row| Some(row.1.validity.status.as_str().to_owned())));
    let reasons = |row: &Row<'_>| {
        let reasons: Vec<&str> =
            row.1.validity.reasons.iter().map(|reason| reason.cause.code()).collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    };
    add("reasons", text(&reasons));
    add("runs", whole(&|row| row.1.estimates.runs.len() as u64));
    add("hosts", whole(&|row| row.1.estimates.hosts));
    add("counted_samples", whole(&|row| row.1.counted_samples));
    add("failed_samples", whole(&|row| row.1.failed_samples));
    add("missing_samples", whole(&|row| row.1.missing_samples));
    for (name, of) in ESTIMATES {
        let part = |part: fn(&Estimate) -> Option<f64>| {
            real(&move |row: &Row<'_>| of(row.1).and_then(part))
        };
        add(name, part(|estimate| estimate.value));
        add(&format!("{name}_ci_low"), part(|estimate| estimate.ci_low));
        add(&format!("{name}_ci_high"), part(|estimate| estimate.ci_high));
        let n = rows.iter().map(|row| of(row.1).map(|estimate| estimate.n.cast_signed()));
        add(&format!("{name}_n"), Values::Whole(n.collect()));
    }
    add("latency_std_ms", real(&|row| row.1.estimates.latency_ms.std));
    add("input_tokens_mean", real(&|row| row.1.estimates.input_tokens.mean));
    add("output_tokens_mean", real(&|row| row.1.estimates.output_tokens.mean));
    add("wall_samples_per_s", real(&|row| row.1.estimates.wall_samples_per_s));
    add("acceptance_rate", real(&|row| row.1.drafts?.acceptance_rate));
    add("good_share", real(&|row| row.1.goodput.as_ref()?.good_share));
    add("model_size_mb", real(&|row| row.1.memory.model_size_mb));
    add("peak_rss_mb", real(&|row| row.1.memory.peak_rss_mb));
    add("gpu_memory_mb", real(&|row| row.1.memory.gpu_memory_mb));
    add("usd_per_hour", real(&|row| Some(row.1.cost.usd_per_hour)));
    add("price_source", text(&|row| Some(row.1.cost.price.source.clone())));
    add("price_date", text(&|row| row.1.cost.price.date.clone()));
    let stale = rows.iter().map(|row| Some(row.1.cost.price.stale)).collect();
    add("price_stale", Values::Truth(stale));
    columns
}

/// An estimate of a cell; `None` where the cell hasn't got it.
type Of = fn(&Cell) -> Option<&Estimate>;

/// The figures that have an interval.
const ESTIMATES: [(&str, Of); 21] = [
    ("latency_mean_ms", |cell| Some(&cell.estimates.latency_ms.mean)),
    ("latency_p50_ms", |cell| Some(&cell.estimates.latency_ms.p50)),
    ("latency_p90_ms", |cell| Some(&cell.estimates.latency_ms.p90)),
    ("latency_p95_ms", |cell| Some(&cell.estimates.latency_ms.p95)),
    ("latency_p99_ms", |cell| Some(&cell.estimates.latency_ms.p99)),
    ("ttft_mean_ms", |cell| Some(&cell.estimates.ttft_ms.mean)),
    ("ttft_p50_ms", |cell| Some(&cell.estimates.ttft_ms.p50)),
    ("ttft_p95_ms", |cell| Some(&cell.estimates.ttft_ms.p95)),
    ("tpot_mean_ms", |cell| Some(&cell.estimates.tpot_ms.mean)),
    ("samples_per_s", |cell| Some(&cell.estimates.throughput.per_host)),
    ("output_tokens_per_s", |cell| Some(&cell.estimates.output_token_throughput.per_host)),
    ("prefill_tokens_per_s", |cell| Some(&cell.phases.as_ref()?.prefill_tokens_per_s)),
    ("decode_tokens_per_s", |cell| cell.phases.as_ref()?.decode_tokens_per_s.as_ref()),
    ("good_samples_per_s", |cell| Some(&cell.goodput.as_ref()?.goodput.per_host)),
    ("usd_per_1000_requests", |cell| Some(&cell.cost.usd_per_1000_requests)),
    ("usd_per_1000_good_requests", |cell| cell.cost.usd_per_1000_good_requests.as_ref()),
    ("usd_per_million_output_tokens", |cell| Some(&cell.cost.usd_per_million_output_tokens)),
    ("rouge1", |cell| Some(&cell.quality.as_ref()?.rouge1)),
    ("rouge2", |cell| Some(&cell.quality.as_ref()?.rouge2)),
    ("rougeL", |cell| Some(&cell.quality.as_ref()?.rouge_l)),
    ("gen_len", |cell| Some(&cell.quality.as_ref()?.gen_len)),
];
