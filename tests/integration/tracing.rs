//! Traces: both programs export a campaign's spans to the collector that the environment names, or nothing if it names
//! none. A collector that never answers costs spans and nothing else.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use scenarios::collector::{Collector, Seen};
use scenarios::scripted::{self, RESUME, RUN};
use scenarios::{Finished, Row, Running, Workspace, counted};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const REST: &str = r#"
[factors]
batch_sizes = [1, 4]
[protocol]
runs = 2
warmup = 1
[[fleet.local]]
target = "there"
threads = 1
usd_per_hour = 0.1
"#;

fn workspace(is_paced: bool) -> Workspace {
    let matrix = scripted::matrix("traced", 40, REST) + scripted::HERE;
    scripted::workspace(&scripted::script(is_paced), &matrix)
}

/// The controller with these variables; its local agents inherit them.
fn traced(workspace: &Workspace, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = workspace.controller(arguments);
    command.env("NO_PROXY", "127.0.0.1").envs(variables.iter().copied());
    command
}

/// Checks that every sample is counted once.
fn whole(rows: &[Row]) {
    assert_eq!(counted(rows).len(), 2 * 2 * 2 * 40);
}

/// Spans by their ids.
struct Forest(BTreeMap<String, Seen>);

impl Forest {
    fn of(collector: &Collector) -> Self {
        let seen = collector.seen();
        let all = seen.len();
        let by_id: BTreeMap<String, Seen> =
            seen.into_iter().map(|span| (span.id.clone(), span)).collect();
        assert_eq!(by_id.len(), all, "a span was exported twice");
        Self(by_id)
    }

    fn named(&self, service: &str, name: &str) -> Vec<&Seen> {
        let is_it = |span: &&Seen| span.service == service && span.name == name;
        self.0.values().filter(is_it).collect()
    }

    fn parent(&self, span: &Seen) -> &Seen {
        let parent = self.0.get(&span.parent);
        parent.unwrap_or_else(|| panic!("the parent of {span:?} was not exported"))
    }
}

const CONTROLLER: &str = "fleetmark-controller";
const AGENT: &str = "fleetmark-agent";

/// Checks the spans of a campaign without failures.
fn check(forest: &Forest) {
    let traces: BTreeSet<&String> = forest.0.values().map(|span| &span.trace).collect();
    assert_eq!(traces.len(), 1, "one campaign is one trace");
    let roots: Vec<&Seen> = forest.0.values().filter(|span| span.parent.is_empty()).collect();
    let [campaign] = roots[..] else { panic!("{roots:?}") };
    assert_eq!((campaign.service.as_str(), campaign.name.as_str()), (CONTROLLER, "campaign"));
    assert_eq!(campaign.error, None);
    for span in forest.0.values().filter(|span| !span.parent.is_empty()) {
        let parent = forest.parent(span);
        let expected = match (span.service.as_str(), span.name.as_str()) {
            (CONTROLLER, "round" | "report") | (AGENT, "inspecting") => (CONTROLLER, "campaign"),
            (CONTROLLER, "shard") => (CONTROLLER, "round"),
            (CONTROLLER, "attempt") => (CONTROLLER, "shard"),
            (AGENT, "attempt") => (CONTROLLER, "attempt"),
            (AGENT, "waiting" | "loading" | "warming" | "measuring") => (AGENT, "attempt"),
            other => panic!("unknown span {other:?}"),
        };
        assert_eq!((parent.service.as_str(), parent.name.as_str()), expected, "{span:?}");
        // Both programs run on this machine, so their wall clocks agree.
        assert!(span.start <= span.end, "{span:?}");
        assert_eq!(span.error, None, "{span:?}");
    }
    assert_eq!(forest.named(CONTROLLER, "round").len(), 2);
    let attempts = forest.named(CONTROLLER, "attempt");
    assert!(attempts.len() >= 8, "{attempts:?}");
    assert_eq!(forest.named(CONTROLLER, "shard").len(), attempts.len(), "no shard was retried");
    for name in ["attempt", "waiting", "loading", "warming", "measuring"] {
        assert_eq!(forest.named(AGENT, name).len(), attempts.len(), "{name}");
    }
    for attempt in forest.named(AGENT, "attempt") {
        let (leased, shard) = (forest.parent(attempt), forest.parent(forest.parent(attempt)));
        assert_eq!((leased.kind, attempt.kind), (SpanKind::Client, SpanKind::Server));
        for key in ["fleetmark.cell", "fleetmark.run", "fleetmark.shard"] {
            assert_eq!(attempt.attributes[key], shard.attributes[key]);
        }
        assert_eq!(attempt.attributes["fleetmark.attempt"], leased.attributes["fleetmark.attempt"]);
        assert!(leased.start <= attempt.start, "{attempt:?}");
    }
    // Names and numbers only: no summary, no token.
    let texts = forest.0.values().flat_map(|span| span.attributes.values());
    assert!(texts.clone().all(|text| text.len() < 100), "{:?}", texts.collect::<Vec<_>>());
}

#[test]
fn both_programs_export_one_trace_over_http() {
    let (workspace, collector) = (workspace(false), Collector::http());
    let url = collector.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let _ = Finished::of(&mut traced(&workspace, &RUN, &variables)).expect(0);
    whole(&workspace.samples("results.json"));
    let forest = Forest::of(&collector);
    check(&forest);
    for span in forest.0.values() {
        assert_eq!(span.attributes["deployment.environment.name"], "test");
        assert_eq!(span.attributes["service.version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn both_programs_export_one_trace_over_grpc() {
    let (workspace, collector) = (workspace(false), Collector::grpc());
    let url = collector.url();
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let _ = Finished::of(&mut traced(&workspace, &RUN, &variables)).expect(0);
    check(&Forest::of(&collector));
}

#[test]
fn nothing_is_exported_unless_configured() {
    let (workspace, collector) = (workspace(false), Collector::http());
    let url = collector.url();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str());
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "always_off")] {
        let _ = Finished::of(&mut traced(&workspace, &RUN, &[endpoint, off])).expect(0);
        assert_eq!(collector.seen(), [], "{off:?}");
    }
    let nowhere = [("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"), ("OTEL_TRACES_EXPORTER", "none")];
    let _ = Finished::of(&mut traced(&workspace, &RUN, &nowhere)).expect(0);
}

#[test]
fn an_invalid_collector_url_is_refused_before_anything_is_measured() {
    let workspace = workspace(false);
    let nowhere = [("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url")];
    let refused = Finished::of(&mut traced(&workspace, &RUN, &nowhere)).expect(2);
    assert!(refused.err.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{}", refused.err);
}

#[test]
fn a_collector_that_is_silent_or_gone_costs_spans_only() {
    let silent = Collector::silent();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let gone = format!("http://{}", gone.local_addr().expect("it has one"));
    for (url, protocol) in
        [(silent.url(), "http/protobuf"), (silent.url(), "grpc"), (gone, "http/protobuf")]
    {
        let workspace = workspace(true);
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            // Short, so that exports happen while shards are measured.
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        let finished = Finished::of(&mut traced(&workspace, &RUN, &variables)).expect(0);
        whole(&workspace.samples("results.json"));
        assert!(!finished.err.contains("was lost"), "{}", finished.err);
        assert_eq!(workspace.results("results.json")["campaign"]["missing_samples"], 0);
    }
}

#[test]
fn a_resumed_campaign_continues_its_trace() {
    let (workspace, collector) = (workspace(true), Collector::http());
    let url = collector.url();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let mut running = Running::of(&mut traced(&workspace, &RUN, &variables));
    running.until("samples · ");
    running.signal("INT");
    let _ = running.finish().expect(3);
    let _ = Finished::of(&mut traced(&workspace, &RESUME, &variables)).expect(0);
    whole(&workspace.samples("results.json"));
    let forest = Forest::of(&collector);
    let mut campaigns = forest.named(CONTROLLER, "campaign");
    campaigns.sort_by_key(|span| span.start);
    let [first, second] = campaigns[..] else { panic!("{campaigns:?}") };
    assert_eq!(first.trace, second.trace);
    assert_eq!(first.error.as_deref(), Some("it was stopped"));
    assert_eq!(
        (first.attributes["fleetmark.is_resumed"].as_str(), &second.error),
        ("false", &None)
    );
    assert_eq!(second.attributes["fleetmark.is_resumed"], "true");
}
