//! A decision for a fleet -> the document of its page. Its figures are predictions and labelled as such.

use super::fact::{Fact, Span};
use super::fleet_caveats::caveat;
use super::table::{Column, Entry, Table, Tone};
use super::verdict::Verdict;
use super::{Block, Detail, Document, Figure, Section, date, shortened};
use crate::sentences::{counted, enumerated};
use decide::{
    Attained, Calibrated, CandidateFacts, Choice, Decision, FirstTwo, MeasureNext,
    NotSimulatedBecause, Predicted, SizedPolicy,
};
use plot::chart::plane::{Curve, Join, Panel, Plane, Spot};
use plot::chart::{At, Axis, Chart, Dash};
use plot::number;
use traffic::{PolicyKind, Summary};

/// So many options are drawn.
const MOST_DRAWN: usize = 4;
const DAY_S: f64 = 86_400.0;

/// The page of a decision.
pub fn decision(decision: &Decision) -> Document {
    let sections = [
        Some(options(decision)),
        between(decision),
        Some(next(decision)),
        Some(calibration(decision)),
        over_time(decision),
        Some(traffic(decision)),
        Some(candidates(decision)),
        Some(method(decision)),
    ];
    Document {
        title: format!("Fleet for {}", shortened(&decision.campaign_name, 110)),
        campaign: decision.campaign.clone(),
        created_at: date(&decision.created_at),
        version: decision.controller_version.clone(),
        verdict: verdict(decision),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn verdict(decision: &Decision) -> Verdict {
    let best = decision.best();
    Verdict {
        sentence: match best {
            Some(best) => answer(decision, best),
            None => {
                let text = format!(
                    "Predicted: no simulated fleet meets the objective ({}).",
                    objective(decision)
                );
                vec![Span::Plain(text)]
            }
        },
        is_answer: best.is_some(),
        ties: None,
        notes: decision.caveats.iter().map(caveat).collect(),
        facts: best.map_or_else(Vec::new, |best| facts(decision, best)),
        is_complete: decision.is_complete,
        gates_passed: None,
        cells: [0; 3],
    }
}

fn answer(decision: &Decision, best: &Choice) -> Vec<Span> {
    let cost = format!("{} USD per month", number::shown(best.usd_per_month.value));
    let meets = match best.attained {
        Attained::Met => "meets the objective",
        Attained::Undecided | Attained::Missed => "may meet the objective",
    };
    vec![
        Span::Plain("Predicted: ".to_owned()),
        Span::Strong(name(decision, best)),
        Span::Plain(" costs ".to_owned()),
        Span::Strong(cost),
        Span::Plain(format!(
            " ({} in 95% of {} simulations) and {meets}: {}.",
            interval(&best.usd_per_month),
            decision.simulations,
            objective(decision)
        )),
    ]
}

fn facts(decision: &Decision, best: &Choice) -> Vec<Fact> {
    let percentile = decision.objective.percentile;
    let fact = |title: String, unit: &str, figure: &Predicted, factor: f64| Fact {
        title,
        value: number::shown(figure.value * factor),
        unit: unit.to_owned(),
        detail: interval(&scaled(figure, factor)),
    };
    vec![
        fact("Predicted cost".to_owned(), "USD per month", &best.usd_per_month, 1.0),
        fact(format!("Predicted latency p{percentile}"), "ms", &best.latency_ms, 1.0),
        fact("Within the limit".to_owned(), "%", &best.good_share, 100.0),
        fact("Utilization".to_owned(), "%", &best.utilization, 100.0),
    ]
}

/// `95% of requests within 500 ms, at most 0.1% failed`
fn objective(decision: &Decision) -> String {
    let objective = &decision.objective;
    format!(
        "{}% of requests within {} ms, at most {}% failed",
        objective.percentile,
        number::shown(objective.latency_ms),
        number::shown(objective.max_error_share * 100.0)
    )
}

/// `2 fixed instances of ml.m5.xlarge with tuned f32, batches of up to 8`
fn name(decision: &Decision, choice: &Choice) -> String {
    let facts = decision.candidate(choice);
    let target = shortened(&facts.target, 80);
    if let Some(base) = &choice.base {
        let of_base = &decision.candidates[base.candidate];
        let instances = counted(base.instances.into(), "fixed instance");
        let scaled = match &choice.sized {
            SizedPolicy::Tracking { .. } => "target tracking",
            SizedPolicy::Fixed { .. }
            | SizedPolicy::Scheduled { .. }
            | SizedPolicy::Serverless { .. } => "a schedule",
        };
        return format!(
            "{instances} of {} used first and {scaled} on {target}, {} instances on average, with {}",
            shortened(&of_base.target, 80),
            mean(choice),
            models(decision, choice)
        );
    }
    let fleet = match &choice.sized {
        SizedPolicy::Fixed { instances: 1 } => format!("1 fixed instance of {target}"),
        SizedPolicy::Fixed { instances } => format!("{instances} fixed instances of {target}"),
        SizedPolicy::Tracking { .. } => {
            format!("target tracking on {target}, {} instances on average", mean(choice))
        }
        SizedPolicy::Scheduled { .. } => {
            format!("a schedule on {target}, {} instances on average", mean(choice))
        }
        SizedPolicy::Serverless { memory_mb, .. } => {
            format!("a serverless endpoint with {memory_mb} MiB, if it is as fast as {target}")
        }
    };
    format!("{fleet}, with {}", model(facts))
}

fn mean(choice: &Choice) -> String {
    number::shown(choice.mean_instances.value)
}

fn model(facts: &CandidateFacts) -> String {
    let model = shortened(&facts.model, 60);
    match facts.max_batch_size {
        1 => format!("{model} in {}, one request at a time", facts.dtype),
        size => format!("{model} in {}, batches of up to {size}", facts.dtype),
    }
}

/// The models of a choice: of a base first, if it differs.
fn models(decision: &Decision, choice: &Choice) -> String {
    let scaled = model(decision.candidate(choice));
    match &choice.base {
        None => scaled,
        Some(base) => match model(&decision.candidates[base.candidate]) {
            same if same == scaled => scaled,
            of_base => format!("{of_base}; then {scaled}"),
        },
    }
}

fn targets(decision: &Decision, choice: &Choice) -> String {
    let target = &decision.candidate(choice).target;
    match &choice.base {
        None => target.clone(),
        Some(base) => format!("{} + {target}", decision.candidates[base.candidate].target),
    }
}

fn policy(choice: &Choice) -> String {
    let scaled = scaling(choice);
    match &choice.base {
        None => scaled,
        Some(base) => format!("base: {}; {scaled}", base.instances),
    }
}

fn scaling(choice: &Choice) -> String {
    match &choice.sized {
        SizedPolicy::Fixed { instances } => format!("fixed: {instances}"),
        SizedPolicy::Tracking { target_rate, target_share } => format!(
            "tracking: {} requests/s per instance ({}% of full)",
            number::shown(*target_rate),
            number::shown(target_share * 100.0)
        ),
        SizedPolicy::Scheduled { instances, .. } => {
            let least = instances.iter().min().copied().unwrap_or_default();
            let most = instances.iter().max().copied().unwrap_or_default();
            format!("scheduled: {least} to {most}")
        }
        SizedPolicy::Serverless { memory_mb, max_concurrency } => {
            format!("serverless: {memory_mb} MiB, up to {max_concurrency} at a time")
        }
    }
}

fn scaled(figure: &Predicted, factor: f64) -> Predicted {
    let [value, low, high] = [figure.value, figure.low, figure.high].map(|one| one * factor);
    Predicted { value, low, high }
}

fn interval(figure: &Predicted) -> String {
    format!("{} to {}", number::shown(figure.low), number::shown(figure.high))
}

fn entry(figure: &Predicted, factor: f64) -> Entry {
    let figure = scaled(figure, factor);
    Entry {
        text: number::shown(figure.value),
        detail: interval(&figure),
        value: Some(figure.value),
        ..Entry::default()
    }
}

fn attained(choice: &Choice) -> Entry {
    let (text, tone, value) = match choice.attained {
        Attained::Met => ("met", Tone::Good, 0.0),
        Attained::Undecided => ("undecided", Tone::Warn, 1.0),
        Attained::Missed => ("missed", Tone::Bad, 2.0),
    };
    let entry = Entry { text: text.to_owned(), tone, value: Some(value), ..Entry::default() };
    if choice.meets_at_peak || choice.attained == Attained::Missed {
        return entry;
    }
    entry.because("not met with the peak factor by any size that is allowed".to_owned())
}

fn checked(decision: &Decision, choice: &Choice) -> Entry {
    let facts = decision.candidates_of(choice).into_iter();
    let mut cells: Vec<&Calibrated> =
        facts.flat_map(|facts| decision.calibration_of(facts)).collect();
    if choice.is_serverless() {
        // Cells of the target that stands for it say nothing about the endpoint.
        cells.clear();
    }
    let hits = cells.iter().filter(|one| one.is_hit).count();
    let text = match (hits, cells.len()) {
        (_, 0) => "not checked".to_owned(),
        (hits, all) if hits == all => format!("{hits} of {all} cells"),
        (hits, all) => format!("MISSES {} of {all} cells", all - hits),
    };
    let tone = match (hits, cells.len()) {
        (_, 0) => Tone::Muted,
        (hits, all) if hits == all => Tone::Good,
        _ => Tone::Bad,
    };
    Entry { text, tone, ..Entry::default() }
}

fn options(decision: &Decision) -> Section {
    let percentile = decision.objective.percentile;
    let row = |choice: &Choice| {
        vec![
            Entry::words(targets(decision, choice)),
            Entry::words(models(decision, choice)),
            Entry::words(policy(choice)),
            entry(&choice.usd_per_month, 1.0),
            entry(&choice.latency_ms, 1.0),
            attained(choice),
            entry(&choice.good_share, 100.0),
            entry(&choice.error_share, 100.0),
            if choice.is_serverless() {
                Entry::missing("only processing is paid")
            } else {
                entry(&choice.utilization, 100.0)
            },
            entry(&choice.cold_start_share, 100.0),
            entry(&choice.scale_in_tail_usd_per_month, 1.0),
            entry(&choice.mean_instances, 1.0),
            Entry::count(u64::from(choice.most_instances)),
            choice.base.as_ref().map_or_else(
                || Entry::missing("all instances are of one target"),
                |base| entry(&base.answered_share, 100.0),
            ),
            checked(decision, choice),
        ]
    };
    let columns = vec![
        Column::words("Target"),
        Column::words("Model"),
        Column::words("Policy"),
        Column::figures("Cost per month", "USD"),
        Column::figures(format!("Latency p{percentile}"), "ms"),
        Column::words("Objective"),
        Column::figures("Within the limit", "%").at(Detail::Report),
        Column::figures("Failed", "%").at(Detail::Page),
        Column::figures("Utilization", "%"),
        Column::figures("During cold starts", "%").at(Detail::Report),
        Column::figures("Scale-in tail per month", "USD").at(Detail::Report),
        Column::figures("Instances, mean", "").at(Detail::Page),
        Column::figures("Instances, most", "").at(Detail::Page),
        Column::figures("Answered by the base", "%").at(Detail::Page),
        Column::words("Prediction checked by").at(Detail::Report),
    ];
    let rows = decision.choices.iter().map(row);
    let table = Table::new("fleets", "Predicted fleets, ranked", Detail::Summary, columns, rows);
    Section {
        id: "fleets",
        title: "Predicted fleets".to_owned(),
        lead: format!(
            "Every figure is a prediction for the objective: {}. In brackets is the interval of 95% of {} simulations, each with batch times resampled from the measured ones. Fleets that meet the objective come first, then the undecided ones, each by cost.",
            objective(decision),
            decision.simulations
        ),
        blocks: vec![Block::Table(table)],
        detail: Detail::Summary,
    }
}

fn between(decision: &Decision) -> Option<Section> {
    let FirstTwo { difference_usd_per_month: difference, first_is_cheaper_in, is_same_target } =
        decision.first_two.as_ref()?;
    let second = name(decision, &decision.choices[1]);
    let cost = if difference.low > 0.0 {
        format!(
            "The second option, {second}, costs {} USD more per month ({}), and more in {first_is_cheaper_in} of {} simulations.",
            number::shown(difference.value),
            interval(difference),
            decision.simulations
        )
    } else {
        format!(
            "The second option, {second}, is statistically tied on cost: the difference is {} USD per month ({}).",
            number::shown(difference.value),
            interval(difference)
        )
    };
    let [first, other, ..] = &decision.choices[..] else { return None };
    let why = if first.attained != other.attained {
        "The objective decides between the two: the first one meets it, and whether the second one does is undecided."
    } else if *is_same_target {
        "Both use the same target and model, so only the policy or the batch size decides."
    } else {
        "The price and the measured batch times of the two targets decide."
    };
    Some(Section {
        id: "first-two",
        title: "What separates the first two".to_owned(),
        lead: String::new(),
        blocks: vec![Block::List(vec![cost, why.to_owned()])],
        detail: Detail::Summary,
    })
}

fn next(decision: &Decision) -> Section {
    let sentence = |one: &MeasureNext| match one {
        MeasureNext::ServerCell { model, target, request_rate, max_batch_size } => format!(
            "Measure {} on {} with scenarios = [\"server\"], batch_sizes = [{max_batch_size}] and server = {{ request_rates = [{}] }}: the rate of one instance in the busiest hour.",
            shortened(model, 60),
            shortened(target, 80),
            number::shown(*request_rate)
        ),
        MeasureNext::MoreRuns { targets } => {
            let targets: Vec<String> = targets.iter().map(|name| shortened(name, 80)).collect();
            format!("Repeat the campaign with more runs on {}.", enumerated(&targets, "and"))
        }
        MeasureNext::MoreHosts { target } => {
            format!("Measure {} on several hosts (agents = 3).", shortened(target, 80))
        }
        MeasureNext::OnServerless { target, memory_mb } => format!(
            "Create a serverless endpoint with {memory_mb} MiB and measure it (engine = \"http\"): is it as fast as {}, and how long does a cold start take?",
            shortened(target, 80)
        ),
        MeasureNext::OnTheTarget { target } => {
            format!("Measure on {} itself.", shortened(target, 80))
        }
    };
    let mut sentences: Vec<String> = decision.measure_next.iter().map(sentence).collect();
    if sentences.is_empty() {
        sentences.push("Nothing that would change the decision.".to_owned());
    }
    Section {
        id: "measure-next",
        title: "What to measure next".to_owned(),
        lead: String::new(),
        blocks: vec![Block::List(sentences)],
        detail: Detail::Summary,
    }
}

fn calibration(decision: &Decision) -> Section {
    let mut blocks = Vec::new();
    if decision.calibration.is_empty() {
        let text = "The campaign has no `server` cell with an open loop, so no prediction is checked against a measurement.";
        blocks.push(Block::List(vec![text.to_owned()]));
    } else {
        let row = |one: &Calibrated| {
            let (word, tone) = if one.is_hit { ("yes", Tone::Good) } else { ("MISSED", Tone::Bad) };
            let times = if one.is_in_sample { "its own" } else { "other cells" };
            vec![
                Entry::words(&one.cell),
                Entry::figure(Some(one.request_rate)),
                Entry::words(format!("p{}", one.percentile)),
                Entry::estimate(&one.measured_ms),
                entry(&one.predicted_ms, 1.0),
                one.as_poisson_ms.as_ref().map_or_else(
                    || Entry::missing("arrivals were not recorded"),
                    |poisson| entry(poisson, 1.0),
                ),
                Entry { tone, ..Entry::words(word) },
                Entry::words(times),
            ]
        };
        let columns = vec![
            Column::words("Cell"),
            Column::figures("Offered", "requests/s"),
            Column::words("Percentile"),
            Column::figures("Measured", "ms"),
            Column::figures("Predicted", "ms"),
            Column::figures("As a Poisson process", "ms").at(Detail::Report),
            Column::words("Within"),
            Column::words("Batch times of").at(Detail::Report),
        ];
        let rows = decision.calibration.iter().map(row);
        blocks.push(Block::Table(Table::new(
            "calibration-table",
            "Predicted and measured latency",
            Detail::Summary,
            columns,
            rows,
        )));
    }
    Section {
        id: "calibration",
        title: "Predictions checked by measurements".to_owned(),
        lead: "Each measured `server` cell is predicted from the batch times of the other cells of its model and target. \"Within\" states whether the predicted interval contains the measured value.".to_owned(),
        blocks,
        detail: Detail::Summary,
    }
}

fn over_time(decision: &Decision) -> Option<Section> {
    let drawn = &decision.choices[..decision.choices.len().min(MOST_DRAWN)];
    if drawn.first().is_none_or(|choice| choice.hours.len() < 3) {
        return None;
    }
    let hour = |index: usize| index as f64 + 0.5;
    let curve = |(series, choice): (usize, &Choice), of: &dyn Fn(&Choice, usize) -> Option<f64>| {
        let spot = |index: usize| Some(Spot::of_line((hour(index), of(choice, index)?) as At));
        Curve {
            series: Some(series),
            spots: (0..choice.hours.len()).filter_map(spot).collect(),
            join: Join::Straight,
            dash: Dash::Solid,
        }
    };
    let panel = |title: &str, axis: &str, of: &dyn Fn(&Choice, usize) -> Option<f64>| Panel {
        title: title.to_owned(),
        x: Axis::quantity("Hour"),
        y: Axis::quantity(axis),
        curves: drawn.iter().enumerate().map(|choice| curve(choice, of)).collect(),
        guides: Vec::new(),
        bands: Vec::new(),
    };
    let instances =
        panel("Instances", "Paid instances", &|choice, hour| Some(choice.hours[hour].instances));
    let cost = panel("Cost", "USD per hour", &|choice, hour| Some(choice.hours[hour].usd));
    let good = panel("Attainment", "Within the limit, %", &|choice, hour| {
        choice.hours[hour].good_share.map(|share| share * 100.0)
    });
    let legend = |(series, choice): (usize, &Choice)| {
        let targets = shortened(&targets(decision, choice), 60);
        (series, format!("{targets}, {}, {}", models(decision, choice), policy(choice)))
    };
    let figure = |id: &str, title: &str, panels: Vec<Panel>| {
        Block::Figure(Box::new(Figure {
            id: id.to_owned(),
            title: title.to_owned(),
            chart: Chart::Plane(Plane { panels }),
            legend: drawn.iter().enumerate().map(legend).collect(),
            table: None,
        }))
    };
    Some(Section {
        id: "over-time",
        title: "Over the simulated period".to_owned(),
        lead: "Means of the simulations for each hour from the beginning of the period, of the first options.".to_owned(),
        blocks: vec![
            figure("fleet-hours", "Predicted instances and cost by hour", vec![instances, cost]),
            figure("fleet-attainment", "Predicted attainment by hour", vec![good]),
        ],
        detail: Detail::Report,
    })
}

fn traffic(decision: &Decision) -> Section {
    let traffic = &decision.traffic;
    let period = if traffic.span_s >= DAY_S {
        format!("{} days", number::shown(traffic.span_s / DAY_S))
    } else {
        format!("{} hours", number::shown(traffic.span_s / 3600.0))
    };
    let mut facts = vec![
        ("File".to_owned(), shortened(&traffic.file, 120)),
        ("Mean rate".to_owned(), format!("{} requests/s", number::shown(traffic.mean_rate))),
        ("Busiest hour".to_owned(), format!("{} requests/s", number::shown(traffic.busiest_rate))),
        ("Growth".to_owned(), format!("× {}", traffic.growth)),
        ("Peak factor".to_owned(), format!("× {}", traffic.peak_factor)),
        ("Time zone".to_owned(), traffic.time_zone.clone()),
        ("Simulated period".to_owned(), period),
    ];
    facts.extend(traffic.trace.as_ref().map_or_else(Vec::new, of_trace));
    Section {
        id: "traffic",
        title: "Traffic".to_owned(),
        lead: "A month repeats the simulated period. Fleets are sized with the peak factor; costs are those without it.".to_owned(),
        blocks: vec![Block::Facts(facts)],
        detail: Detail::Report,
    }
}

fn of_trace(trace: &Summary) -> Vec<(String, String)> {
    let mut facts = vec![(
        "Trace".to_owned(),
        format!("{} requests, {}", number::count(trace.requests), trace.format),
    )];
    facts.extend(
        trace.busiest_minute_rate.map(|rate| {
            ("Busiest minute".to_owned(), format!("{} requests/s", number::shown(rate)))
        }),
    );
    for one in &trace.dispersion {
        let title = format!("Index of dispersion, {} s", one.window_s);
        facts.push((title, format!("{} (1: Poisson)", number::shown(one.index))));
    }
    for (which, lengths) in [("Input", &trace.input_tokens), ("Output", &trace.output_tokens)] {
        facts.extend(lengths.as_ref().map(|lengths| {
            let text = format!(
                "mean {}, p50 {}, p95 {}, largest {}",
                number::shown(lengths.mean),
                number::shown(lengths.p50),
                number::shown(lengths.p95),
                lengths.max
            );
            (format!("{which} tokens"), text)
        }));
    }
    facts
}

fn candidates(decision: &Decision) -> Section {
    let row = |facts: &CandidateFacts| {
        vec![
            Entry::words(&facts.target),
            Entry::words(model(facts)),
            Entry::given(Some(facts.usd_per_hour)),
            Entry::words(&facts.price.source),
            Entry::count(facts.batches),
            Entry::count(facts.runs),
            Entry::count(facts.hosts),
            Entry::words(&facts.measured_on),
            Entry::figure(facts.load_s),
        ]
    };
    let columns = vec![
        Column::words("Target"),
        Column::words("Model"),
        Column::figures("Price", "USD per hour"),
        Column::words("Source"),
        Column::figures("Batches", ""),
        Column::figures("Runs", ""),
        Column::figures("Hosts", ""),
        Column::words("Measured on"),
        Column::figures("Loading", "s"),
    ];
    let rows = decision.candidates.iter().map(row);
    let table = Table::new("candidates", "Candidates", Detail::Report, columns, rows);
    let mut blocks = vec![Block::Table(table)];
    let because = |because| match because {
        NotSimulatedBecause::Invalid => "INVALID",
        NotSimulatedBecause::Endpoint => "an endpoint, whose machine is unknown",
        NotSimulatedBecause::ContinuousBatching => "continuous batching is not simulated",
        NotSimulatedBecause::SustainedLoad => "a sustained load keeps no samples",
        NotSimulatedBecause::ClosedLoopOfClients => {
            "a closed loop of clients doesn't show when batches began"
        }
        NotSimulatedBecause::LowerQuality => "its summaries are significantly worse",
        NotSimulatedBecause::NothingMeasured => "nothing was measured",
        NotSimulatedBecause::SyntheticTime => "its times come from a script",
    };
    let mut left_out: Vec<String> = (decision.not_simulated.iter())
        .map(|one| format!("{}: {}.", shortened(&one.cell, 120), because(one.because)))
        .collect();
    left_out.extend(decision.left_out.iter().map(|kind| {
        let policy = match kind {
            PolicyKind::Fixed => "fixed",
            PolicyKind::Tracking => "tracking",
            PolicyKind::Scheduled => "scheduled",
        };
        format!("The policy `{policy}` needs a profile by hours, or a trace with dates of at least a day.")
    }));
    if !left_out.is_empty() {
        blocks.push(Block::List(left_out));
    }
    Section {
        id: "candidates",
        title: "What the fleets are made of".to_owned(),
        lead: "Batch times and prices are those of the campaign.".to_owned(),
        blocks,
        detail: Detail::Report,
    }
}

fn method(decision: &Decision) -> Section {
    let mut sentences = vec![
        "Batch times are measured; queues, batching, scaling, starts and the month are simulated.".to_owned(),
        "Intervals cover the variation of batch times between and within runs, and that of arrivals. They don't cover other hosts, other dialogues or other traffic.".to_owned(),
        format!("All randomness follows from the seed {}.", decision.seed),
        "docs/decide.md describes the model and what it leaves out.".to_owned(),
    ];
    let has_serverless = decision.choices.iter().any(Choice::is_serverless);
    sentences.extend(has_serverless.then(|| {
        "The serverless endpoint was not measured: its times are those of the target that the traffic file names, and its prices are those of the file.".to_owned()
    }));
    let has_base = decision.choices.iter().any(|choice| choice.base.is_some());
    sentences.extend(has_base.then(|| {
        "Fleets of two targets send a request to the fixed instances as long as one of them has room, and else to the scaled ones: this needs a load balancer with a limit for each instance and a backup group.".to_owned()
    }));
    if decision.is_reduced {
        sentences.push(format!(
            "The traffic has so many requests that each option was simulated only {} times.",
            decision.simulations
        ));
    }
    Section {
        id: "method",
        title: "How to read this page".to_owned(),
        lead: String::new(),
        blocks: vec![Block::List(sentences)],
        detail: Detail::Report,
    }
}
