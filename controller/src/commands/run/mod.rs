//! `controller run`: matrix -> plan -> scheduler <-> fleet -> store -> statistics -> cost -> results.

mod adaptive;
mod begun_before;
mod budget;
mod campaign;
pub mod desk;
pub(super) mod doors;
mod leases;
mod live_page;
pub(super) mod local;
mod seats;
mod stamps;
pub mod trail;
mod watchers;
mod way_back;

use super::notify::{self, Ended};
use super::{agents, dialogues, prices, read_matrix, report};
use crate::cli;
use crate::metrics::Metrics;
use crate::progress::{Progress, Volume, event};
use crate::scheduler::{Ending, Limits};
use ::notify::Recipients;
use anyhow::{Context, bail};
use campaign::Campaign;
use cost::decision::Recommendation;
use desk::{Desk, Kept};
use doors::Doors;
use fleet;
use fleet::identity::Guard;
use live_page::LivePage;
use matrix::plan::{Plan, text};
use matrix::{Matrix, Occasion};
use model::ids::CampaignId;
use ops::clock::Clock;
use ops::program::Exit;
use ops::traces::{Program, Traces};
use ops::{environment, terminal};
use results::Results;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{CampaignNo, CampaignRow, DialogueRow, Hold, NewCampaign, State, Store, folder_of};
use tokio::sync::mpsc;
use trail::Trail;
use watchers::Watchers;
use way_back::WayBack;

/// How often an agent must speak.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Events that may wait; then agents are slowed down.
const EVENTS: usize = 1024;

/// A campaign in the store, new or gone on with.
struct Begun {
    no: CampaignNo,
    row: CampaignRow,
    dialogues: Vec<DialogueRow>,
    is_gone_on_with: bool,
}

pub(super) async fn run(options: &cli::Run) -> anyhow::Result<Exit> {
    let program = Program { name: "fleetmark-controller", version: env!("CARGO_PKG_VERSION") };
    let traces = Traces::start(program, &environment::variable)?;
    let exit = Box::pin(run_traced(options, &traces)).await;
    traces.close().await;
    exit
}

async fn run_traced(options: &cli::Run, traces: &Traces) -> anyhow::Result<Exit> {
    let clock = Clock::System;
    let volume = volume(options);
    // Everything that a user can get wrong comes before the first agent is started.
    doors::check(options)?;
    if options.max_usd.is_some_and(|most| !most.is_finite() || most <= 0.0) {
        bail!("--max-usd: expected an amount above zero");
    }
    let (live, page) = LivePage::open_if_asked(options).await?.unzip();
    let (store, mut begun, recipients) = Box::pin(begin(options, clock, volume)).await?;
    if begun.row.state == State::Complete {
        return complete_already(options, &store, &begun).await;
    }
    if options.max_usd.is_some() {
        begun.row.matrix.cost.max_usd = options.max_usd;
    }
    let matrix = begun.row.matrix.clone();
    let hold = store.hold(begun.no, &options.data_dir).await?;
    let folder = folder_of(&options.data_dir, &begun.row.id);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("can't write to {}", folder.display()))?;
    let way_back = WayBack::of(&folder);
    let doors = doors::open(options, &way_back).await?;
    let token = way_back.token()?;
    way_back
        .remember(doors.address, &token)
        .with_context(|| format!("can't write to {}", folder.display()))?;

    let (events_in, events) = mpsc::channel(EVENTS);
    let mut trail = Trail::begin(traces, &begun.row, begun.is_gone_on_with);
    let roster = agents::roster(store.credentials().await?)?;
    let fleet = fleet::Options {
        campaign: begun.row.id.clone(),
        guard: Arc::new(Guard::new(token.clone(), roster)),
        tally: Arc::default(),
        targets: begun.row.matrix.targets.iter().map(|target| target.name.clone()).collect(),
        engines: begun.row.plan.engines.clone(),
        generation: begun.row.matrix.generation.clone(),
        heartbeat: HEARTBEAT,
        telemetry: begun.row.matrix.telemetry.period,
        trace_parent: trail.of_campaign(),
    };
    let locals = local::start_all(&begun.row.matrix, doors.local, &token, &folder).await?;
    let progress = progress(&begun.row, volume);
    announce(&begun.row, &doors, &way_back.token_file, &progress);
    if let Some(live) = &live {
        progress.say(&format!("live page on {}", live.url));
    }
    let metrics = Metrics::new(begun.row.id.as_str());
    metrics.register(fleet.tally.collectors());
    let mut served = doors.serve(&fleet, &events_in, &store);
    if let Some(address) = options.metrics {
        served.metrics(address, metrics.clone()).await?;
    }
    let mut watchers = Watchers::new(&begun.row, progress, page);
    let no = begun.no;
    let kept = kept(&store, no, &hold).await?;
    for batch in &kept.batches {
        watchers.resume(batch.cell, batch.samples);
    }
    let Begun { row, dialogues, .. } = begun;
    let limits = Limits::with_wait(row.matrix.wait);
    let desk = Desk::new(row, dialogues, &kept, limits);
    trail.expect(desk.runs_left());
    let watching = (watchers, trail, metrics);
    let campaign = Campaign::new((store.clone(), no), hold, desk, clock, watching);
    // Where it breaks off, the way back stays as it was: agents come back when the campaign is gone on with.
    let (ending, hold, mut trail) = Box::pin(campaign.run(events, locals)).await?;
    way_back.forget();
    if let Some(live) = live {
        live.close().await;
    }
    // Agents were sent home; whoever still holds a stream is cut off.
    served.close().await;
    trail.end(why_incomplete(ending));
    let _reporting = trail.doing("report");
    Box::pin(conclude(options, (store, no), (hold, ending), &matrix, &recipients)).await
}

/// Writes the reports of what was measured, and tells everybody who is to be told.
async fn conclude(
    options: &cli::Run,
    (store, no): (Store, CampaignNo),
    (hold, ending): (Hold, Ending),
    matrix: &Matrix,
    recipients: &Recipients,
) -> anyhow::Result<Exit> {
    let clock = Clock::System;
    let prints = volume(options) != Volume::Json;
    let state = if ending == Ending::Complete { State::Complete } else { State::Incomplete };
    store.finish(&hold, state, clock.now()).await?;
    let place = report::Place {
        data_dir: &options.data_dir,
        output: options.output.as_deref(),
        folder: None,
        prints,
    };
    let written = report::write(&store, no, place, (None, None)).await?;
    let why = why_incomplete(ending);
    let files = match (&matrix.artifacts, &written.placed) {
        (Some(wanted), Some(placed)) if !matrix.notify.channels.is_empty() => {
            super::artifacts::links(wanted, placed).await
        }
        _ => Vec::new(),
    };
    let ended = Ended {
        store: &store,
        no,
        hold: &hold,
        notify: &matrix.notify,
        recipients,
        results: &written.results,
        results_file: &written.results_file,
        files: &files,
        occasion: occasion(ending, matrix.slo.is_some(), &written.results),
        why,
    };
    notify::tell(ended, clock).await?;
    let id = store.campaign(no).await?.id;
    store.close().await;
    if !prints {
        let results = written.results_file.display().to_string();
        event::Event::Ended { state: state.as_str(), reason: why, results: &results }.print()?;
    }
    Ok(told(ending, &id))
}

/// Says how it ended, and how to go on.
fn told(ending: Ending, id: &CampaignId) -> Exit {
    let Some(reason) = why_incomplete(ending) else { return Exit::Ok };
    if ending == Ending::BudgetSpent {
        terminal::note(&format!(
            "incomplete: {reason}; raise it and go on with controller run --resume {id} --max-usd USD"
        ));
        return Exit::Incomplete;
    }
    terminal::note(&format!("incomplete: {reason}; go on with controller run --resume {id}"));
    Exit::Incomplete
}

fn why_incomplete(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::Complete => None,
        Ending::SetAside => Some("some shards could not be measured"),
        Ending::Stopped => Some("it was stopped"),
        Ending::BudgetSpent => Some("it would have cost more than cost.max_usd"),
        Ending::AgentsGone => Some("its agents are gone"),
        Ending::NeverStarted => Some("not all agents came in time"),
    }
}

/// What the people who are told make of it.
fn occasion(ending: Ending, has_objective: bool, results: &Results) -> Occasion {
    let is_open = |choice: &Recommendation| choice.name.is_none();
    match ending {
        Ending::Complete
            if has_objective && results.recommendation.as_ref().is_none_or(is_open) =>
        {
            Occasion::Threshold
        }
        Ending::Complete => Occasion::Complete,
        Ending::Stopped | Ending::BudgetSpent => Occasion::Stopped,
        Ending::SetAside | Ending::AgentsGone | Ending::NeverStarted => Occasion::Failed,
    }
}

async fn begin(
    options: &cli::Run,
    clock: Clock,
    volume: Volume,
) -> anyhow::Result<(Store, Begun, Recipients)> {
    if let Some(id) = &options.resume {
        let store = super::store(&options.data_dir).await?;
        let no = store.find(id).await?;
        let gone_on_with = go_on(store, no).await?;
        let row = &gone_on_with.1.row;
        if row.state == State::Complete {
            bail!(
                "campaign {} is complete: nothing is left to measure; see controller report {}",
                row.id,
                row.id
            );
        }
        return Ok(gone_on_with);
    }
    let Some(path) = &options.matrix else { bail!("give a matrix, or --resume CAMPAIGN") };
    let mut asked = read_matrix(path, &(&options.overrides).into())?;
    asked.matrix.cost.max_usd = options.max_usd.or(asked.matrix.cost.max_usd);
    if options.go_on {
        let store = super::store(&options.data_dir).await?;
        if let Some(no) = begun_before::of(&store, &asked.matrix, &options.data_dir).await? {
            return go_on(store, no).await;
        }
    }
    let chosen = Box::pin(dialogues::choose(&asked.matrix, volume)).await?;
    let plan = Plan::make(&asked.matrix, chosen.facts.samples)?;
    let prices = prices::of_targets(&asked.matrix)?;
    let recipients = notify::recipients(&asked.matrix)?;
    if volume == Volume::Normal {
        terminal::note(&text::render(
            &plan,
            &asked.matrix,
            &prices::shown(&prices, clock.now().date_naive()),
        ));
    }
    let store = super::store(&options.data_dir).await?;
    let created_at = clock.now();
    let id = campaign_id(&asked.matrix.name, created_at)?;
    let new = NewCampaign {
        id: &id,
        created_at,
        controller_version: env!("CARGO_PKG_VERSION"),
        matrix_text: &asked.text,
        matrix: &asked.matrix,
        plan: &plan,
        dataset: &chosen.facts,
        prices: &prices,
        dialogues: &chosen.dialogues,
    };
    let no = store.create(&new).await?;
    let row = store.campaign(no).await?;
    let begun = Begun { no, row, dialogues: chosen.dialogues, is_gone_on_with: false };
    Ok((store, begun, recipients))
}

/// A campaign as it was left.
async fn go_on(store: Store, no: CampaignNo) -> anyhow::Result<(Store, Begun, Recipients)> {
    let (row, dialogues) = (store.campaign(no).await?, store.dialogues(no).await?);
    let recipients = notify::recipients(&row.matrix)?;
    Ok((store, Begun { no, row, dialogues, is_gone_on_with: true }, recipients))
}

/// `--continue` after the end: whatever starts this program again finds the results, and nothing is measured twice.
async fn complete_already(
    options: &cli::Run,
    store: &Store,
    begun: &Begun,
) -> anyhow::Result<Exit> {
    terminal::note(&format!(
        "campaign {} is complete: nothing is left to measure; without --continue another one begins",
        begun.row.id
    ));
    let place = report::Place {
        data_dir: &options.data_dir,
        output: options.output.as_deref(),
        folder: None,
        prints: !options.json,
    };
    let written = report::write(store, begun.no, place, (None, None)).await?;
    if options.json {
        let results = written.results_file.display().to_string();
        event::Event::Ended { state: State::Complete.as_str(), reason: None, results: &results }
            .print()?;
    }
    Ok(Exit::Ok)
}

/// Such as `quickstart-20261123-084507-123`: sorts by time, and two a second differ.
fn campaign_id(name: &str, at: chrono::DateTime<chrono::Utc>) -> anyhow::Result<CampaignId> {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    let plain: String = plain.chars().take(64).collect();
    Ok(CampaignId::try_from(format!("{plain}-{}", at.format("%Y%m%d-%H%M%S-%3f")))?)
}

async fn kept(store: &Store, no: CampaignNo, hold: &Hold) -> anyhow::Result<Kept> {
    Ok(Kept {
        batches: store.counted_batches(no).await?,
        segments: store.segments(no).await?,
        agents: store.agents(no).await?,
        last_attempt: hold.attempts_from(),
    })
}

fn volume(options: &cli::Run) -> Volume {
    match (options.quiet, options.json) {
        (true, _) => Volume::Quiet,
        (false, true) => Volume::Json,
        (false, false) => Volume::Normal,
    }
}

fn progress(row: &CampaignRow, volume: Volume) -> Progress {
    let runs = u64::from(row.matrix.protocol.most_runs());
    let cells = 0..row.plan.cells.len();
    let totals = cells.map(|cell| runs * row.plan.steps_of(cell)).collect();
    let targets = row.plan.cells.iter().map(|cell| cell.target).collect();
    let is_sustained = row.plan.cells.iter().any(|cell| cell.sustained().is_some());
    let step = if is_sustained { "steps" } else { "samples" };
    Progress::new(totals, targets, step, volume)
}

/// Says for every target that waits for agents what to type on the instance.
fn announce(row: &CampaignRow, doors: &Doors, token_file: &Path, progress: &Progress) {
    let url = doors.url();
    progress.say(&format!("campaign {} on {url}", row.id));
    progress.tell(&event::Event::Began { campaign: row.id.as_str(), address: &url });
    let proof = match &doors.tls {
        Some(tls) => tls.arguments(),
        None => format!("--token-file {}", token_file.display()),
    };
    for target in row.matrix.targets.iter().filter(|target| target.local.is_none()) {
        progress.say(&format!(
            "waiting for {} of {}; type there:\n  agent join --controller {url} --target {} {proof}",
            if target.agents == 1 { "1 agent".to_owned() } else { format!("{} agents", target.agents) },
            target.name,
            target.name,
        ));
    }
}
