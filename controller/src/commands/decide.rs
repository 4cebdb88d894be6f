//! `controller decide`: a campaign's measurements and a traffic file -> ranked fleets.

use super::{compare, report};
use crate::cli::{self, Page};
use ::decide::manifests::manifests;
use ::decide::{Attained, Choice, Decision, Input, Nothing};
use ::report::compare::Side;
use ::report::document::decision as document_of;
use ::report::{html, markdown, pdf};
use anyhow::{Context, anyhow};
use ops::program::Exit;
use ops::{atomic_file, input_file, terminal, text_file};
use std::path::{Path, PathBuf};
use traffic::{Demand, Source, Trace, TrafficFile};

pub(super) async fn run(options: &cli::Decide) -> anyhow::Result<Exit> {
    let (file, demand) = read_traffic(&options.traffic)?;
    let side = compare::one_side(&options.campaign, &options.data_dir).await?;
    let decision = decided(options, &side, &file, &demand)?;
    let mut files = Vec::new();
    if let Some(folder) = &options.output_dir {
        files.extend(write_pages(&decision, folder, &options.formats)?);
    }
    if let (Some(folder), Some(choice)) = (&options.policies, chosen(options, &decision)?) {
        for manifest in manifests(&decision, choice, &options.name) {
            let path = folder.join(&manifest.file);
            write(&path, manifest.text.as_bytes())?;
            files.push(path);
        }
    }
    if options.json {
        let json = serde_json::to_string_pretty(&decision);
        terminal::json(&json.context("can't write the decision as JSON")?)?;
    } else {
        report::show(&document_of(&decision))?;
    }
    for path in files {
        terminal::note(&format!("wrote {}", terminal::value(path.display())));
    }
    let is_missed = decision.choices.iter().all(|choice| choice.attained == Attained::Missed);
    Ok(if is_missed { Exit::Failed } else { Exit::Ok })
}

/// The option whose policy is written.
fn chosen<'a>(options: &cli::Decide, decision: &'a Decision) -> anyhow::Result<Option<&'a Choice>> {
    let Some(rank) = options.option else { return Ok(decision.best()) };
    let choice = rank.checked_sub(1).and_then(|index| decision.choices.get(index));
    let count = decision.choices.len();
    choice.map(Some).with_context(|| format!("invalid --option `{rank}`: expected 1 to {count}"))
}

/// Reads the traffic file and the trace that it names.
fn read_traffic(path: &Path) -> anyhow::Result<(TrafficFile, Demand)> {
    let shown = path.display().to_string();
    let file = TrafficFile::parse(&shown, &text_file::read(path)?)?;
    let demand = match &file.source {
        Source::Profile(profile) => Demand::Profile(profile.clone()),
        Source::Trace { path: trace, format } => {
            let trace_path = path.parent().unwrap_or(Path::new("")).join(trace);
            let bytes = input_file::read(&trace_path).with_context(|| {
                format!("can't read {}, the trace of {shown}", trace_path.display())
            })?;
            let name = trace_path.display().to_string();
            Demand::Trace(Box::new(Trace::read(&name, &bytes, *format)?))
        }
    };
    Ok((file, demand))
}

fn decided(
    options: &cli::Decide,
    side: &Side,
    file: &TrafficFile,
    demand: &Demand,
) -> anyhow::Result<Decision> {
    let shown = options.traffic.display().to_string();
    let input = Input {
        results: &side.results,
        samples: &side.samples,
        file_name: &shown,
        file,
        demand,
        seed: options.seed,
        simulations: options.simulations,
    };
    ::decide::decide(input).map_err(|nothing| match nothing {
        Nothing::NoCandidate(cells) => anyhow!(
            "no cell of {} can be simulated: expected VALID or DEGRADED cells of `offline`, `single_stream`, or `server` in open loop with dynamic batching, found {}",
            options.campaign,
            cells.join(", ")
        ),
        Nothing::NoBase { target, known } => anyhow!(
            "{shown}: fleet.base_targets: no cell of `{target}` can be simulated, expected {}",
            known.join(", ")
        ),
        Nothing::NoServerless { target, known } => anyhow!(
            "{shown}: fleet.serverless.target: no cell of `{target}` with batch size 1 can be simulated, expected {}",
            known.join(", ")
        ),
        Nothing::NoPolicy => anyhow!(
            "{shown}: fleet.policies: `scheduled` needs a profile by hours, or a trace with dates of at least a day"
        ),
    })
}

fn write_pages(
    decision: &Decision,
    folder: &Path,
    formats: &[Page],
) -> anyhow::Result<Vec<PathBuf>> {
    let document = document_of(decision);
    let mut files = Vec::new();
    for format in formats {
        let (name, bytes) = match format {
            Page::Html => ("decision.html", html::render(&document).into_bytes()),
            Page::Pdf => ("decision.pdf", pdf::render(&document)?),
            Page::Markdown => ("decision.md", markdown::render(&document).into_bytes()),
        };
        let path = folder.join(name);
        write(&path, &bytes)?;
        files.push(path);
    }
    Ok(files)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    atomic_file::write(path, bytes).with_context(|| format!("can't write {}", path.display()))
}
