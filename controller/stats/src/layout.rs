//! Which requests shared a batch, which batches a run, and how long each host was measured.

use super::observation::{Observation, milliseconds};
use super::packed::{Packed, Rows};
use std::ops::Range;

#[derive(Debug, Clone)]
pub struct Batch {
    pub rows: Range<usize>,
    pub host: u32,
    /// When its first request started.
    pub start_ns: u64,
    /// From then to the end of its last request.
    pub span_ns: u64,
    /// How many requests returned a summary.
    pub ok: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTime {
    pub host: u32,
    pub measured_ns: u64,
    /// From the first start to the last end of each segment, with the pauses between batches.
    pub wall_ns: u64,
    pub ok: u64,
}

/// What the hosts of a cell are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Each serves its own requests.
    #[default]
    Serving,
    /// All load one endpoint at the same time, from the same start on. Their requests are those of one host.
    Loading,
}

impl Hosts {
    /// Of a cell that so many agents load together in each run; 1 for all but endpoints.
    pub fn of_agents(agents: u32) -> Self {
        if agents > 1 { Self::Loading } else { Self::Serving }
    }
}

/// One repeat of a cell. Its requests are packed: who needs them unpacks those of one run at a time.
#[derive(Debug, Clone)]
pub struct Run {
    pub run: u32,
    pub hosts: Vec<HostTime>,
    pub(super) role: Hosts,
    packed: Packed,
}

/// Whether batches of a host may overlap, so that their spans don't add up to the measured time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spans {
    Sequential,
    Overlapping,
}

impl Run {
    /// Takes the requests of one run in their order; there is at least one.
    pub(super) fn of(rows: &[Observation], spans: Spans, role: Hosts) -> Self {
        Self { run: rows[0].run, hosts: hosts(rows, spans), role, packed: Packed::of(rows) }
    }

    /// Its requests, one after the other: by host, segment, batch and start.
    pub fn unpacked(&self) -> Rows<'_> {
        self.packed.iter(self.run)
    }

    pub fn rows(&self) -> Vec<Observation> {
        self.unpacked().collect()
    }

    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// A run has at least one request.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn ok(&self) -> u64 {
        self.hosts.iter().map(|host| host.ok).sum()
    }

    pub fn failed(&self) -> u64 {
        self.len() as u64 - self.ok()
    }

    /// Measured time of all hosts. Of those that load one endpoint, the longest: clocks of two hosts can't be compared,
    /// so when the first of them started and the last ended isn't known.
    pub fn host_seconds(&self) -> f64 {
        self.seconds(|host| host.measured_ns)
    }

    /// The same from the first start to the last end of each segment.
    pub fn wall_seconds(&self) -> f64 {
        self.seconds(|host| host.wall_ns)
    }

    fn seconds(&self, of: impl Fn(&HostTime) -> u64) -> f64 {
        let all = self.hosts.iter().map(|host| of(host) as f64);
        let ns: f64 = match self.role {
            Hosts::Serving => all.sum(),
            Hosts::Loading => all.fold(0.0, f64::max),
        };
        ns / 1e9
    }

    /// What is counted of its requests, for each of its hosts in their order.
    pub fn by_host(&self, count: impl Fn(&Observation) -> f64) -> Vec<f64> {
        let mut counts = vec![0.0; self.hosts.len()];
        for row in self.unpacked() {
            if let Some(place) = self.hosts.iter().position(|host| host.host == row.host) {
                counts[place] += count(&row);
            }
        }
        counts
    }

    pub fn spans_ms(&self) -> Vec<f64> {
        batches(&self.rows()).iter().map(|batch| milliseconds(batch.span_ns)).collect()
    }
}

pub fn batches(rows: &[Observation]) -> Vec<Batch> {
    let mut start = 0;
    let key = |row: &Observation| (row.host, row.segment, row.batch);
    let cut = |batch: &[Observation]| {
        let (start_ns, span_ns) = window(batch);
        let rows = start..start + batch.len();
        start += batch.len();
        Batch { rows, host: batch[0].host, start_ns, span_ns, ok: ok(batch) }
    };
    rows.chunk_by(|a, b| key(a) == key(b)).map(cut).collect()
}

fn hosts(rows: &[Observation], spans: Spans) -> Vec<HostTime> {
    let mut hosts: Vec<HostTime> = Vec::new();
    for segment in rows.chunk_by(|a, b| (a.host, a.segment) == (b.host, b.segment)) {
        let measured_ns = match spans {
            Spans::Sequential => {
                let spans = segment.chunk_by(|a, b| a.batch == b.batch).map(|it| window(it).1);
                // Times in foreign results may be anything.
                spans.fold(0, u64::saturating_add)
            }
            Spans::Overlapping => window(segment).1,
        };
        let wall_ns = window(segment).1;
        match hosts.last_mut().filter(|time| time.host == segment[0].host) {
            Some(time) => {
                time.measured_ns = time.measured_ns.saturating_add(measured_ns);
                time.wall_ns = time.wall_ns.saturating_add(wall_ns);
                time.ok += ok(segment);
            }
            None => {
                let (host, ok) = (segment[0].host, ok(segment));
                hosts.push(HostTime { host, measured_ns, wall_ns, ok });
            }
        }
    }
    hosts
}

/// Sorted, each once.
pub(crate) fn distinct(ids: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn ok(rows: &[Observation]) -> u64 {
    rows.iter().filter(|row| row.is_ok()).count() as u64
}

/// From the first start to the last end: the start and the length.
fn window(rows: &[Observation]) -> (u64, u64) {
    let start_ns = rows.iter().map(|row| row.start_ns).min().unwrap_or_default();
    let end_ns = rows.iter().map(Observation::end_ns).max().unwrap_or_default();
    (start_ns, end_ns - start_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Scenario};

    fn row(run: u32, host: u32, batch: u32, start_ns: u64, latency_ns: u64) -> Observation {
        Observation {
            run,
            host,
            batch,
            start_ns,
            sample: batch,
            latency_ns,
            input_tokens: Some(1),
            output_tokens: Some(1),
            is_ok: true,
            ..Observation::default()
        }
    }

    #[test]
    fn idle_time_between_batches_is_not_measured_time() {
        let rows = vec![
            row(0, 0, 0, 0, 10),
            row(0, 0, 0, 0, 30),
            row(0, 0, 1, 100, 20),
            row(0, 1, 2, 5, 7),
        ];
        let cell = Cell::new(Scenario::Offline, rows.clone());
        let run = &cell.runs()[0];
        let time = |host, measured_ns, wall_ns, ok| HostTime { host, measured_ns, wall_ns, ok };
        assert_eq!(run.hosts, [time(0, 50, 120, 3), time(1, 7, 7, 1)]);
        assert_eq!(batches(&run.rows()).len(), 3);

        let cell = Cell::new(Scenario::Server, rows);
        assert_eq!(cell.runs()[0].hosts[0], time(0, 120, 120, 3));
    }

    #[test]
    fn agents_that_load_one_endpoint_are_one_host_for_the_longest_time() {
        let rows = vec![row(0, 0, 0, 7, 50), row(0, 1, 1, 900, 100), row(0, 1, 2, 950, 250)];
        let apart = Cell::new(Scenario::Server, rows);
        assert_eq!((apart.runs()[0].host_seconds(), apart.distinct_hosts()), (350e-9, 2));
        let joint = apart.with_hosts(Hosts::of_agents(2));
        let run = &joint.runs()[0];
        assert_eq!((run.host_seconds(), run.wall_seconds()), (300e-9, 300e-9));
        assert_eq!((joint.distinct_hosts(), run.ok()), (1, 3));
        let rate = crate::throughput::of_samples(&joint);
        assert!((rate.per_host.value.unwrap() * 300e-9 - 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_failed_request_takes_time_and_counts_for_nothing() {
        let failed = Observation { is_ok: false, ..row(0, 0, 1, 10, 40) };
        let cell = Cell::new(Scenario::Offline, vec![row(0, 0, 0, 0, 10), failed]);
        let run = &cell.runs()[0];
        assert_eq!((run.ok(), run.failed()), (1, 1));
        assert!((run.host_seconds() - 50e-9).abs() < 1e-18);
    }

    #[test]
    fn runs_may_come_in_parts_and_in_any_order() {
        let all: Vec<_> = (0..4).map(|i| row(i % 2, 0, i, u64::from(i) * 100, 10)).collect();
        let whole = Cell::new(Scenario::Offline, all.clone());
        let mut parts = Cell::new(Scenario::Offline, Vec::new());
        for one in all.iter().rev() {
            parts.add(vec![*one]);
        }
        let rows = |cell: &Cell| cell.observations().collect::<Vec<_>>();
        assert_eq!(rows(&parts), rows(&whole));
        assert_eq!(parts.runs()[1].hosts, whole.runs()[1].hosts);
    }
}
