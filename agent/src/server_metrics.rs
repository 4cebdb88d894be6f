//! What an endpoint's server reports about itself: its metrics in the text format of Prometheus,
//! read once a second by a thread of their own -> readings for the sampler.
//!
//! A server without metrics, or with none of a known name, has no readings, and nothing fails.

use crate::http_authority::HttpAuthority;
use model::telemetry::{Metric, Readings};
use ops::error_chain::one_line;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stopwatch::Stopwatch;
use telemetry::ReadingSource;

const PERIOD: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
/// Older readings are not those of a window any more.
const FRESH: Duration = Duration::from_millis(2500);
/// Longest page: vLLM's has about 100 KB.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// How the values of one metric with several label sets are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    Sum,
    /// Of shares from 0 to 1, in percent.
    LargestShare,
}

/// The names that known servers use.
const NAMES: [(&str, Metric, Joined); 14] = [
    ("vllm:num_requests_running", Metric::EndpointRunningRequests, Joined::Sum),
    ("vllm:num_requests_waiting", Metric::EndpointWaitingRequests, Joined::Sum),
    ("vllm:kv_cache_usage_perc", Metric::EndpointCacheUsedPct, Joined::LargestShare),
    ("vllm:gpu_cache_usage_perc", Metric::EndpointCacheUsedPct, Joined::LargestShare),
    ("sglang:num_running_reqs", Metric::EndpointRunningRequests, Joined::Sum),
    ("sglang:num_queue_reqs", Metric::EndpointWaitingRequests, Joined::Sum),
    ("sglang:token_usage", Metric::EndpointCacheUsedPct, Joined::LargestShare),
    ("llamacpp:requests_processing", Metric::EndpointRunningRequests, Joined::Sum),
    ("llamacpp:requests_deferred", Metric::EndpointWaitingRequests, Joined::Sum),
    ("llamacpp:kv_cache_usage_ratio", Metric::EndpointCacheUsedPct, Joined::LargestShare),
    ("tgi_batch_current_size", Metric::EndpointRunningRequests, Joined::Sum),
    ("tgi_queue_size", Metric::EndpointWaitingRequests, Joined::Sum),
    ("fleetmark_serve_requests_running", Metric::EndpointRunningRequests, Joined::Sum),
    ("fleetmark_serve_requests_waiting", Metric::EndpointWaitingRequests, Joined::Sum),
];

/// The latest readings, with their time on the clock.
#[derive(Debug)]
struct Latest {
    clock: Stopwatch,
    readings: Mutex<Option<(u64, Readings)>>,
}

/// Reads a server's metrics until it is dropped.
#[derive(Debug)]
pub struct ServerMetrics {
    latest: Arc<Latest>,
    _stop: Sender<Infallible>,
}

impl ServerMetrics {
    /// `None` if the address isn't one, or the system gives no thread.
    pub fn watch(url: &str) -> Option<Self> {
        Self::watch_every(PERIOD, url)
    }

    fn watch_every(period: Duration, url: &str) -> Option<Self> {
        let url: Url = url.parse().ok()?;
        let latest = Arc::new(Latest { clock: Stopwatch::start(), readings: Mutex::default() });
        let (stop, stopped) = channel();
        let of_thread = Arc::clone(&latest);
        let thread = std::thread::Builder::new().name("server-metrics".to_owned());
        let started = thread.spawn(move || {
            if let Err(error) = run(&url, period, &of_thread, &stopped) {
                tracing::warn!(error = one_line(&*error), "the server's metrics are not read");
            }
        });
        started.ok().map(|_| Self { latest, _stop: stop })
    }
}

impl ReadingSource for ServerMetrics {
    fn read(&self, into: &mut Readings) {
        let latest = self.latest.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at_ns, readings)) = &*latest else { return };
        let age = self.latest.clock.now_ns().saturating_sub(*at_ns);
        if Duration::from_nanos(age) <= FRESH {
            readings.present().for_each(|(metric, value)| into.set(metric, value));
        }
    }
}

fn run(
    url: &Url,
    period: Duration,
    latest: &Latest,
    stopped: &Receiver<Infallible>,
) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
    let authority = url.as_str().parse().ok().and_then(|uri| HttpAuthority::of(&uri));
    let is_here = authority.is_some_and(|authority| authority.is_loopback());
    let client = if is_here { client.no_proxy() } else { client };
    let client = client.build()?;
    let mut has_failed = false;
    loop {
        match runtime.block_on(page(&client, url)) {
            Ok(page) => {
                let read = (latest.clock.now_ns(), readings(&page));
                let mut readings = latest.readings.lock().unwrap_or_else(PoisonError::into_inner);
                *readings = Some(read);
            }
            Err(error) if !has_failed => {
                has_failed = true;
                tracing::info!(error = one_line(&error), "no metrics of the endpoint's server");
            }
            Err(_) => {}
        }
        if stopped.recv_timeout(period) == Err(RecvTimeoutError::Disconnected) {
            return Ok(());
        }
    }
}

async fn page(client: &Client, url: &Url) -> Result<String, reqwest::Error> {
    let mut response = client.get(url.clone()).send().await?.error_for_status()?;
    let mut page = Vec::new();
    while let Some(piece) = response.chunk().await? {
        page.extend_from_slice(&piece);
        if page.len() > MAX_PAGE_BYTES {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The known metrics of a page.
fn readings(page: &str) -> Readings {
    let mut found = Readings::default();
    for line in page.lines() {
        let Some((name, value)) = sample(line) else { continue };
        let Some((_, metric, joined)) = NAMES.iter().find(|(known, ..)| *known == name) else {
            continue;
        };
        let before = found.of(*metric);
        found.set(
            *metric,
            match joined {
                Joined::Sum => before.unwrap_or(0.0) + value,
                Joined::LargestShare => before.unwrap_or(0.0).max(100.0 * value),
            },
        );
    }
    found
}

/// Name and value of a line; `None` for comments and values that aren't finite.
fn sample(line: &str) -> Option<(&str, f64)> {
    let line = line.trim();
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    // A timestamp may follow the value.
    let rest = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use proptest::prelude::*;

    fn three(page: &str) -> [Option<f64>; 3] {
        let found = readings(page);
        let metrics = [
            Metric::EndpointRunningRequests,
            Metric::EndpointWaitingRequests,
            Metric::EndpointCacheUsedPct,
        ];
        metrics.map(|metric| found.of(metric))
    }

    #[test]
    fn pages_of_known_servers_are_read() {
        let vllm = "# HELP vllm:num_requests_running Number of requests in model execution batches.\n\
            # TYPE vllm:num_requests_running gauge\n\
            vllm:num_requests_running{engine=\"0\",model_name=\"a {b} c\"} 3.0\n\
            vllm:num_requests_running{engine=\"1\",model_name=\"a\"} 2.0\n\
            vllm:num_requests_waiting{engine=\"0\",model_name=\"a\"} 7.0\n\
            vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
            vllm:kv_cache_usage_perc{engine=\"1\"} 0.5 1700000000000\n\
            vllm:e2e_request_latency_seconds_bucket{le=\"+Inf\"} 9\n";
        assert_eq!(three(vllm), [Some(5.0), Some(7.0), Some(50.0)]);
        let llama = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n";
        assert_eq!(three(llama), [Some(1.0), Some(4.0), None]);
        assert_eq!(
            three("tgi_queue_size 2\ntgi_batch_current_size 8\n"),
            [Some(8.0), Some(2.0), None]
        );
        let ours = "fleetmark_serve_requests_running 0\nfleetmark_serve_requests_waiting 0\n";
        assert_eq!(three(ours), [Some(0.0), Some(0.0), None]);
        assert_eq!(three("up 1\nvllm:num_requests_running NaN\n<html>{\n"), [None; 3]);
    }

    proptest! {
        #[test]
        fn no_page_breaks_the_reader(page in ".{0,200}") {
            let _ = readings(&page);
        }
    }

    #[test]
    fn readings_are_the_latest_of_the_server() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, asks) = channel();
        let router = Router::new()
            .route(
                "/metrics",
                get(move || {
                    let _gone = asked.send(());
                    async { "tgi_queue_size 2\n" }
                }),
            )
            .route("/none", get(async || StatusCode::NOT_FOUND));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let every = Duration::from_millis(1);
        let watch =
            |path: &str| ServerMetrics::watch_every(every, &format!("http://{address}{path}"));
        let (watched, none) = (watch("/metrics").unwrap(), watch("/none").unwrap());
        // The first page was read when the second one is asked for.
        asks.recv().unwrap();
        asks.recv().unwrap();
        let mut readings = Readings::default();
        watched.read(&mut readings);
        assert_eq!(readings.of(Metric::EndpointWaitingRequests), Some(2.0));
        let mut readings = Readings::default();
        none.read(&mut readings);
        assert_eq!(readings, Readings::default());
    }
}
