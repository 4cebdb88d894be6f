//! `controller run`: matrix -> plan -> campaign <-> fleet -> store -> statistics -> cost -> results.

mod find_resumable;
pub(super) mod listeners;
mod live_page;
pub(super) mod local_agents;
mod observers;
mod reconnect;
mod run_loop;
mod sent_variables;
mod spans;

use super::notify::{self, Ended};
use super::{agents, dialogues, model_files, power, prices, read_matrix, report, timing};
use crate::progress::{TerminalProgress, Verbosity, json::Line};
use crate::{cli, metrics::Metrics};
use ::notify::Recipients;
use anyhow::{Context, bail};
use campaign::{CampaignOptions, CampaignState, Ending, Limits, SearchRule, Stored};
use cost::decision::Recommendation;
use find_resumable::{find_resumable, find_resumed, warn_of_lost};
use fleet;
use fleet::identity::Guard;
use listeners::Listeners;
use live::PagePublisher;
use live_page::LivePage;
use matrix::plan::{self, Plan, text};
use matrix::{Matrix, Occasion};
use model::ids::CampaignId;
use observers::{Log, Observers};
use ops::atomic_file::Output;
use ops::traces::{Program, Traces};
use ops::{clock::Clock, environment, program::Exit, terminal};
use reconnect::Reconnect;
use results::Results;
use results::build::{objective, planned_run, precision_rule, search_rule};
use run_loop::{EndedRun, RunLoop};
use sent_variables::EndpointAccess;
use spans::Spans;
use std::{path::Path, sync::Arc, time::Duration};
use store::{CampaignNo, CampaignRow, DialogueRow, Hold, NewCampaign, State, Store, folder_of};
use tokio::{sync::mpsc, time::Instant};

/// How often an agent must send something.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Capacity of the channel from the fleet. When it is full, agents are slowed down.
const EVENTS: usize = 1024;

/// A campaign in the store, new or resumed.
struct OpenCampaign {
    store: Store,
    no: CampaignNo,
    row: CampaignRow,
    dialogues: Vec<DialogueRow>,
    recipients: Recipients,
    is_resumed: bool,
}

pub(super) async fn run(options: &cli::Run) -> anyhow::Result<Exit> {
    let program = Program { name: "fleetmark-controller", version: env!("CARGO_PKG_VERSION") };
    let traces = Traces::start(program, &environment::variable)?;
    let exit = Box::pin(run_traced(options, &traces)).await;
    traces.close().await;
    match exit {
        // Nothing that was asked for is wrong, and what is left can be resumed or restored.
        Err(error) if is_loss(&error) => {
            terminal::error(&error);
            Ok(Exit::Incomplete)
        }
        exit => exit,
    }
}

fn is_loss(error: &anyhow::Error) -> bool {
    error.downcast_ref::<store::Error>().is_some_and(store::Error::is_loss)
}

async fn run_traced(options: &cli::Run, traces: &Traces) -> anyhow::Result<Exit> {
    // Report everything that a user can get wrong before the first agent starts.
    listeners::check(options)?;
    if options.max_usd.is_some_and(|max| !max.is_finite() || max <= 0.0) {
        bail!("--max-usd: expected an amount above zero");
    }
    check_output(options)?;
    let live = LivePage::open_if_requested(options).await?;
    let mut opened = Box::pin(open(options, Clock::System, verbosity(options))).await?;
    if opened.row.state == State::Complete {
        return report_complete(options, &opened).await;
    }
    if options.max_usd.is_some() {
        opened.row.matrix.cost.max_usd = options.max_usd;
    }
    let (store, no) = (opened.store.clone(), opened.no);
    let is_new = !opened.is_resumed;
    let ended = Box::pin(measure(options, traces, opened, live)).await;
    if is_new && ended.as_ref().is_err_and(|error| !is_loss(error)) {
        forget_unmeasured(&store, no, &options.data_dir).await;
    }
    ended
}

/// Where the reports go.
fn place(options: &cli::Run) -> report::Place<'_> {
    report::Place {
        data_dir: &options.data_dir,
        output: options.output.as_deref(),
        folder: None,
        verbosity: verbosity(options),
    }
}

fn check_output(options: &cli::Run) -> anyhow::Result<()> {
    let Some(output) = options.output.as_deref() else { return Ok(()) };
    if output == Path::new("-") {
        bail!("--output -: expected a file; print results with controller report --output -");
    }
    let unwritable = || format!("can't write {}: choose another --output", output.display());
    Output::check(output).map(drop).with_context(unwritable)
}

/// Deletes a campaign that was refused before anything was measured, so that it is neither listed nor `latest`. Its
/// folder stays: the error names the logs in it.
async fn forget_unmeasured(store: &Store, no: CampaignNo, data_dir: &Path) {
    let forget = async {
        if !store.segments(no).await?.is_empty() {
            return anyhow::Ok(());
        }
        let hold = store.hold(no, data_dir).await?;
        store.delete(hold).await?;
        Ok(())
    };
    if let Err(error) = forget.await {
        tracing::warn!("the refused campaign can't be deleted: {error:#}");
    }
}

/// Runs a campaign to its end, and writes its reports.
async fn measure(
    options: &cli::Run,
    traces: &Traces,
    opened: OpenCampaign,
    live: Option<(LivePage, live::Page)>,
) -> anyhow::Result<Exit> {
    let (live_page, page) = live.unzip();
    let (clock, verbosity) = (Clock::System, verbosity(options));
    let OpenCampaign { store, no, row, dialogues, recipients, is_resumed } = opened;
    report::check(place(options), &row)?;
    let hold = store.hold(no, &options.data_dir).await?;
    store.take_loss(&hold, clock.now()).await?;
    let folder = folder_of(&options.data_dir, &row.id);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("can't write to `{}`", folder.display()))?;
    let reconnect = Reconnect::new(&folder);
    let listeners = listeners::open(options, &reconnect).await?;
    let token = reconnect.token()?;
    reconnect
        .save(listeners.address, &token)
        .with_context(|| format!("can't write to `{}`", folder.display()))?;

    let (events_in, events) = mpsc::channel(EVENTS);
    let spans = Spans::start(traces, &row, is_resumed);
    let roster = agents::roster(store.credentials().await?)?;
    let fleet = fleet::Options {
        campaign: row.id.clone(),
        guard: Arc::new(Guard::new(token.clone(), roster)),
        metrics: Arc::default(),
        targets: row.matrix.targets.iter().map(|target| target.name.clone()).collect(),
        engines: row.plan.asked(&row.matrix),
        heartbeat: HEARTBEAT,
        telemetry: row.matrix.telemetry.period,
        trace_parent: spans.campaign_context(),
    };
    let progress = TerminalProgress::new(&row, verbosity);
    let access = EndpointAccess::of(options);
    let told = access.told(&row.matrix).into_iter().chain(super::notify::told(&row.matrix));
    told.for_each(|line| progress.message(&line));
    let locals =
        local_agents::start_all(&row.matrix, access, listeners.local, &token, &folder).await?;
    announce(&row, &listeners, &reconnect.token_file, &progress);
    if let Some(live_page) = &live_page {
        progress.message(&format!("live page on {}", live_page.url));
    }
    let metrics = Metrics::new(row.id.as_str());
    metrics.register(fleet.metrics.collectors());
    let mut served = listeners.serve(&fleet, &events_in, &store);
    if let Some(address) = options.metrics {
        served.metrics(address, metrics.clone()).await?;
    }
    let mut observers = Observers { spans, others: Vec::new() };
    observers.others.push(Box::new(Log));
    observers.others.push(Box::new(metrics.clone()));
    observers.others.push(Box::new(progress));
    if let Some(page) = page {
        observers.others.push(Box::new(PagePublisher::new(&row, page)));
    }
    let stored = stored(&store, no, &hold).await?;
    let (matrix, plan) = (row.matrix.clone(), row.plan.clone());
    let campaign_options = CampaignOptions {
        limits: Limits::with_wait(matrix.wait),
        precision: precision_rule(&matrix.protocol),
        search: search_rule(&matrix)
            .zip(objective(&matrix))
            .map(|(search, slo)| SearchRule { search, slo }),
    };
    let (state, started) = CampaignState::new(row, dialogues, &stored, campaign_options);
    let planned_runs =
        (0..plan.cells.len()).map(|cell| planned_run(&plan, &matrix, cell)).collect();
    let run_loop = RunLoop {
        store: store.clone(),
        no,
        hold,
        plan,
        planned_runs,
        slo: objective(&matrix),
        state,
        clock,
        started: Instant::now(),
        outboxes: fleet::Outboxes::default(),
        locals,
        observers,
        metrics,
    };
    // After an error the token and the address are kept: agents reconnect when the campaign is resumed.
    let EndedRun { ending, hold, observers } = Box::pin(run_loop.run(started, events)).await?;
    reconnect.delete();
    let Observers { spans, others } = observers;
    // This drops the page, and so ends the streams of its viewers.
    drop(others);
    if let Some(live_page) = live_page {
        live_page.close().await;
    }
    served.close().await;
    let _span = spans.child("report");
    let concluded = Concluded { store, no, hold, ending, matrix: &matrix, recipients: &recipients };
    Box::pin(conclude(options, concluded)).await
}

struct Concluded<'a> {
    store: Store,
    no: CampaignNo,
    hold: Hold,
    ending: Ending,
    matrix: &'a Matrix,
    recipients: &'a Recipients,
}

/// Writes the reports, and sends the notifications.
async fn conclude(options: &cli::Run, concluded: Concluded<'_>) -> anyhow::Result<Exit> {
    let Concluded { store, no, hold, ending, matrix, recipients } = concluded;
    let clock = Clock::System;
    let verbosity = verbosity(options);
    let state = if ending == Ending::Complete { State::Complete } else { State::Incomplete };
    store.finish(&hold, state, clock.now()).await?;
    let written = report::write(&store, no, place(options), (None, None)).await?;
    let why = ending.why_incomplete();
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
    notify::send(ended, clock).await?;
    let id = store.campaign(no).await?.id;
    store.close().await;
    if verbosity == Verbosity::Json {
        print_end(&written, state, why)?;
    }
    let exit = explain_ending(ending, &id);
    Ok(if exit == Exit::Ok { judge(&written.results) } else { exit })
}

/// The last two events for programs.
fn print_end(
    written: &report::Written,
    state: State,
    reason: Option<&str>,
) -> Result<(), terminal::Error> {
    let verdict = &written.verdict;
    Line::Verdict { text: &verdict.text(), gates_passed: verdict.gates_passed }.print()?;
    let results = written.results_file.display().to_string();
    Line::Ended { state: state.as_str(), reason, results: &results }.print()
}

/// Prints why a complete campaign fails: no request succeeded, or a gate of the matrix failed.
fn judge(results: &Results) -> Exit {
    if no_summary(results) {
        terminal::note("failed: no request returned a summary");
        return Exit::Failed;
    }
    if results.has_failed_gate() {
        terminal::note("failed: a gate of the matrix failed; see the gates in the report");
        return Exit::Failed;
    }
    Exit::Ok
}

/// Whether requests were made and none succeeded.
fn no_summary(results: &Results) -> bool {
    let mut cells = results.results.iter().flat_map(|entry| &entry.cells);
    results.campaign.counted_samples > 0 && cells.all(|cell| cell.counted_samples == 0)
}

/// Prints why the campaign is incomplete, and how to resume it.
fn explain_ending(ending: Ending, id: &CampaignId) -> Exit {
    let Some(reason) = ending.why_incomplete() else { return Exit::Ok };
    let hint = match ending {
        Ending::BudgetSpent => {
            format!("raise it and resume with controller run --resume {id} --max-usd USD")
        }
        _ => format!("resume with controller run --resume {id}"),
    };
    terminal::note(&format!("incomplete: {reason}; {hint}"));
    Exit::Incomplete
}

fn occasion(ending: Ending, has_objective: bool, results: &Results) -> Occasion {
    let is_open = |choice: &Recommendation| choice.name.is_none();
    match ending {
        Ending::Complete
            if has_objective && results.recommendation.as_ref().is_none_or(is_open) =>
        {
            Occasion::Threshold
        }
        Ending::Complete if results.has_failed_gate() => Occasion::Threshold,
        Ending::Complete => Occasion::Complete,
        Ending::Stopped | Ending::BudgetSpent => Occasion::Stopped,
        Ending::SetAside | Ending::AgentsGone | Ending::NeverStarted => Occasion::Failed,
    }
}

/// Creates the campaign, or opens the one to resume.
async fn open(
    options: &cli::Run,
    clock: Clock,
    verbosity: Verbosity,
) -> anyhow::Result<OpenCampaign> {
    if let Some(id) = &options.resume {
        let store = super::store(&options.data_dir).await?;
        let no = find_resumed(&store, id, &options.data_dir).await?;
        let resumed = resume(store, no, &options.notify_env).await?;
        if resumed.row.state == State::Complete {
            bail!(
                "campaign {id} is complete: nothing is left to measure; see controller report {id}",
                id = resumed.row.id
            );
        }
        return Ok(resumed);
    }
    let Some(path) = &options.matrix else { bail!("expected a matrix, or --resume CAMPAIGN") };
    let mut asked = read_matrix(path, &(&options.overrides).into())?;
    asked.matrix.cost.max_usd = options.max_usd.or(asked.matrix.cost.max_usd);
    if options.go_on {
        let store = super::store(&options.data_dir).await?;
        if let Some(no) = find_resumable(&store, &asked.matrix, &options.data_dir).await? {
            return resume(store, no, &options.notify_env).await;
        }
        warn_of_lost(&store, &asked.matrix, &options.data_dir).await?;
    }
    model_files::check_all(&asked.matrix)?;
    let chosen = Box::pin(dialogues::choose(&asked.matrix, verbosity)).await?;
    let plan = Plan::make(&asked.matrix, chosen.facts.samples)?;
    let prices = prices::of_targets(&asked.matrix)?;
    let recipients = notify::recipients(&asked.matrix, &options.notify_env)?;
    let shown = prices::shown(&prices, clock.now().date_naive());
    let store = super::store(&options.data_dir).await?;
    let timing = timing::of_store(&plan, &asked.matrix, &store).await?;
    if verbosity == Verbosity::Normal {
        let power = power::of_plan(&plan, &asked.matrix);
        terminal::note(&text::render(&plan, &asked.matrix, &shown, &power, &timing));
    } else {
        for warning in plan::warnings(&plan, &asked.matrix, &shown, &timing.estimate) {
            terminal::note(&format!("warning: {warning}"));
        }
    }
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
    let dialogues = chosen.dialogues;
    Ok(OpenCampaign { store, no, row, dialogues, recipients, is_resumed: false })
}

async fn resume(store: Store, no: CampaignNo, allowed: &[String]) -> anyhow::Result<OpenCampaign> {
    let (row, dialogues) = (store.campaign(no).await?, store.dialogues(no).await?);
    let recipients = notify::recipients(&row.matrix, allowed)?;
    Ok(OpenCampaign { store, no, row, dialogues, recipients, is_resumed: true })
}

/// `--continue` after the end: writes the results again, so that whatever restarts this program finds them.
async fn report_complete(options: &cli::Run, opened: &OpenCampaign) -> anyhow::Result<Exit> {
    terminal::note(&format!(
        "campaign {} is complete: nothing is left to measure; omit --continue to start another one",
        opened.row.id
    ));
    let written = report::write(&opened.store, opened.no, place(options), (None, None)).await?;
    if options.json {
        print_end(&written, State::Complete, None)?;
    }
    Ok(judge(&written.results))
}

/// Such as `quickstart-20261123-084507-123`: sorts by time, to the millisecond.
fn campaign_id(name: &str, at: chrono::DateTime<chrono::Utc>) -> anyhow::Result<CampaignId> {
    let plain = plain_name(name);
    Ok(CampaignId::try_from(format!("{plain}-{}", at.format("%Y%m%d-%H%M%S-%3f")))?)
}

/// The first part of an id.
fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    name.chars().map(plain).take(64).collect()
}

async fn stored(store: &Store, no: CampaignNo, hold: &Hold) -> anyhow::Result<Stored> {
    Ok(Stored {
        batches: store.counted_batches(no).await?,
        segments: store.segments(no).await?,
        agents: store.agents(no).await?,
        last_attempt: hold.attempts_from(),
    })
}

fn verbosity(options: &cli::Run) -> Verbosity {
    match (options.quiet, options.json) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Json,
        (false, false) => Verbosity::Normal,
    }
}

/// Prints the campaign's address, and for each target without local agents the command that starts one.
fn announce(
    row: &CampaignRow,
    listeners: &Listeners,
    token_file: &Path,
    progress: &TerminalProgress,
) {
    let url = listeners.url();
    progress.message(&format!("campaign {} on {url}", row.id));
    progress.json(&Line::Began { campaign: row.id.as_str(), address: &url });
    let proof = match &listeners.tls {
        Some(tls) => tls.arguments(),
        None => format!("--token-file {}", token_file.display()),
    };
    for target in row.matrix.targets.iter().filter(|target| target.local.is_none()) {
        let agents =
            if target.agents == 1 { "1 agent" } else { &format!("{} agents", target.agents) };
        let target = &target.name;
        let arguments = [vec![proof.clone()], sent_variables::needed(&row.matrix, target)].concat();
        let arguments = arguments.join(" ");
        progress.message(&format!(
            "waiting for {agents} of {target}; run on the instance:\n  \
             agent join --controller {url} --target {target} {arguments}",
        ));
    }
}
