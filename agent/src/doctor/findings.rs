//! What was seen -> findings.

use super::{Finding, Seen, Status, reach};
use model::telemetry::{Metric, Window};

/// Above this share of the host's processor time others disturb: reports mark the cell DEGRADED.
const MAX_OTHER_LOAD: f64 = 0.05;
/// Likewise for what the hypervisor keeps.
const MAX_STEAL: f64 = 0.01;
/// A clock that takes longer to read is not the processor's own.
const SLOW_CLOCK_NS: f64 = 500.0;
/// Below this, models and their caches don't fit.
const LITTLE_ROOM_BYTES: u64 = 2 << 30;
/// The sampler may take this share of one core at most.
const MAX_SAMPLER: f64 = 0.005;

/// Judges what was seen, in the order of a report.
pub fn findings(seen: &Seen) -> Vec<Finding> {
    let mut all = vec![processor(seen)];
    all.extend(limits(seen));
    all.extend(memory(seen));
    all.extend([clock(seen)]);
    all.extend(speed(seen));
    all.extend(neighbours(seen));
    all.extend(gpus(seen));
    all.extend(computed(seen));
    let absent = |absence: &model::telemetry::Absence| Finding {
        what: absence.what.clone(),
        status: Status::NotMeasurable,
        detail: absence.reason.clone(),
        remedy: absence.remedy.clone(),
    };
    all.extend(sampler(seen));
    all.extend(seen.folders.iter().map(folder));
    all.extend(reach::findings(seen));
    all.extend(seen.instruments.absences.iter().map(absent));
    all
}

/// Whether something that the command line asked for is impossible: to reach the controller or a model, to use a
/// certificate, or to compute on a device. A noisy machine is no such thing.
pub fn is_request_impossible(seen: &Seen) -> bool {
    let requested = reach::findings(seen).into_iter().chain(computed(seen));
    requested.into_iter().any(|finding| finding.status == Status::Trouble)
}

fn processor(seen: &Seen) -> Finding {
    let host = &seen.host;
    let cores =
        host.details.physical_cores.map_or(String::new(), |cores| format!(", {cores} cores"));
    let features = host.cpu_features.join(" ");
    let detail = format!("{}, {} logical{cores}; {features}", host.cpu_model, host.logical_cpus);
    if host.cpu_features.iter().any(|feature| feature == "avx2") {
        Finding::ok("processor", detail)
    } else {
        Finding::trouble(
            "processor",
            format!("{detail}: it has no AVX2"),
            "expect a tenth of the speed, or take a machine of this decade",
        )
    }
}

fn limits(seen: &Seen) -> Option<Finding> {
    let limits = &seen.host.details.limits;
    let cores = limits.cpu_cores?;
    let detail = format!("the control group may use {cores} processors");
    Some(if cores + 1e-9 < seen.threads as f64 {
        Finding::trouble(
            "cpu_limit",
            format!("{detail}, and {} threads would compute", seen.threads),
            "give the container more processors, or the agent fewer --threads",
        )
    } else {
        Finding::ok("cpu_limit", detail)
    })
}

fn memory(seen: &Seen) -> Option<Finding> {
    let last = |metric| seen.windows.iter().rev().find_map(|window| window.readings.of(metric));
    let available = last(Metric::HostMemoryAvailableBytes)?;
    let limit = seen.host.details.limits.memory_bytes;
    let gib = |bytes: f64| format!("{:.1} GiB", bytes / f64::from(1 << 30));
    let limit = limit.map_or(String::new(), |bytes| format!(", limit {}", gib(bytes as f64)));
    let total = gib(seen.host.memory_bytes as f64);
    let detail = format!("{} of {total} available{limit}", gib(available));
    let swap = last(Metric::HostSwapUsedBytes).unwrap_or(0.0);
    Some(if swap > 0.0 {
        Finding::trouble(
            "memory",
            format!("{detail}; {} swapped out", gib(swap)),
            "end what fills the memory, or swapoff -a: times with swapping mean nothing",
        )
    } else {
        Finding::ok("memory", detail)
    })
}

fn clock(seen: &Seen) -> Finding {
    let source = seen.clock.source.as_deref().unwrap_or("unknown");
    let detail = format!("{source}, {:.0} ns a reading", seen.clock.reading_ns);
    if seen.clock.reading_ns > SLOW_CLOCK_NS {
        Finding::trouble("clock", detail, "let the kernel use tsc or kvm-clock: it is slow to read")
    } else {
        Finding::ok("clock", detail)
    }
}

/// What decides how fast the processor runs.
fn speed(seen: &Seen) -> Vec<Finding> {
    let details = &seen.host.details;
    let mut found = Vec::new();
    if let Some(governor) = &details.governor {
        let turbo =
            details.turbo.as_ref().map_or(String::new(), |turbo| format!(", turbo {turbo}"));
        let detail = format!("{governor}{turbo}");
        found.push(if governor == "performance" || governor == "schedutil" {
            Finding::ok("governor", detail)
        } else {
            Finding::trouble(
                "governor",
                detail,
                "cpupower frequency-set -g performance: this one lets clocks sink between batches",
            )
        });
    }
    if details.power_supply.as_deref() == Some("battery") {
        found.push(Finding::trouble(
            "power_supply",
            "on battery".to_owned(),
            "plug it in: clocks are held down",
        ));
    }
    let throttles: f64 = total(&seen.windows, Metric::HostThermalThrottles).unwrap_or(0.0);
    if throttles > 0.0 {
        let detail = format!("slowed down for heat {throttles} times while nothing of ours ran");
        found.push(Finding::trouble(
            "heat",
            detail,
            "cool the machine before anything is measured",
        ));
    }
    found
}

fn total(windows: &[Window], metric: Metric) -> Option<f64> {
    windows.iter().filter_map(|window| window.readings.of(metric)).reduce(|sum, value| sum + value)
}

fn neighbours(seen: &Seen) -> Vec<Finding> {
    let sum = |metric| total(&seen.windows, metric);
    let Some(all) = sum(Metric::HostCpuTotalNs).filter(|all| *all > 0.0) else { return Vec::new() };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut found = Vec::new();
    if let Some((busy, ours)) = sum(Metric::HostCpuBusyNs).zip(sum(Metric::ProcessCpuNs)) {
        let share = ((busy - ours) / all).max(0.0);
        let detail = format!("other processes take {} of the processor", percent(share));
        found.push(if share > MAX_OTHER_LOAD {
            let remedy = "end them, or measure on a machine of its own: cells become DEGRADED";
            Finding::trouble("other_load", detail, remedy)
        } else {
            Finding::ok("other_load", detail)
        });
    }
    if let Some(steal) = sum(Metric::HostCpuStealNs) {
        let share = steal / all;
        let detail = format!("the hypervisor keeps {} of the processor", percent(share));
        found.push(if share > MAX_STEAL {
            let remedy =
                "take an instance that isn't shared or burstable, or wait for its CPU credits";
            Finding::trouble("steal", detail, remedy)
        } else {
            Finding::ok("steal", detail)
        });
    }
    found
}

fn gpus(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(library) = &seen.instruments.nvml {
        let short: String = library.sha256.chars().take(12).collect();
        let detail = format!("{} (sha256 {short}…)", library.path);
        found.push(if library.is_foreign {
            let remedy = "leave --nvml-library out: what it reads makes cells DEGRADED";
            Finding::trouble("nvml", format!("{detail} is not the system's own"), remedy)
        } else {
            Finding::ok("nvml", detail)
        });
    }
    for gpu in &seen.instruments.gpus {
        let known = |label: &str, value: Option<String>| {
            value.map_or(String::new(), |value| format!(", {label}{value}"))
        };
        let memory = gpu.memory_bytes.map(|bytes| format!("{} MiB", bytes >> 20));
        let watts = gpu.power_limit_watts.map(|watts| format!("{watts} W"));
        let mhz = gpu.sm_max_mhz.map(|mhz| format!("{mhz} MHz"));
        let detail = [
            gpu.name.clone(),
            known("", memory),
            known("driver ", gpu.driver.clone()),
            known("up to CUDA ", gpu.cuda_driver.clone()),
            known("compute ", gpu.compute_capability.clone()),
            known("limit ", watts),
            known("up to ", mhz),
        ];
        let detail = detail.concat();
        found.push(if gpu.is_mig_enabled == Some(true) {
            let remedy = "name one instance in CUDA_VISIBLE_DEVICES: MIG-...";
            Finding::trouble("gpu", format!("{detail}; divided into MIG instances"), remedy)
        } else if gpu.is_persistent == Some(false) {
            let remedy = "nvidia-smi -pm 1: without it the driver unloads between runs";
            Finding::trouble("gpu", format!("{detail}; persistence mode is off"), remedy)
        } else {
            Finding::ok("gpu", detail)
        });
    }
    found
}

/// Whether this build and the driver fit together: only computing something shows it.
fn computed(seen: &Seen) -> Option<Finding> {
    let computed = seen.computed.as_ref()?;
    let device = &computed.device;
    let remedy = "a driver as new as the build's CUDA (R525 for 12.0, R580 for 13.0), or the agent that is built for \
                  NVIDIA GPUs: docs/gpu.md";
    Some(match &computed.outcome {
        Ok(detail) => Finding::ok("gpu_build", format!("{device} computes: {detail}")),
        // The reason names the device.
        Err(reason) if computed.is_wanted => Finding::trouble("gpu_build", reason.clone(), remedy),
        Err(reason) => Finding::not_measurable("gpu_build", reason.clone(), remedy),
    })
}

fn sampler(seen: &Seen) -> Option<Finding> {
    let spent = total(&seen.windows, Metric::SamplerCpuNs)?;
    let seconds: f64 = seen.windows.iter().map(Window::seconds).sum();
    if seconds <= 0.0 {
        return None;
    }
    let share = spent / 1e9 / seconds;
    let detail = format!(
        "reading the instruments every {} ms takes {:.3} % of one core",
        seen.period.as_millis(),
        share * 100.0
    );
    Some(if share > MAX_SAMPLER {
        Finding::trouble("sampler", detail, "give a longer [telemetry] period_ms in the matrix")
    } else {
        Finding::ok("sampler", detail)
    })
}

fn folder(folder: &super::Folder) -> Finding {
    let place = format!("{} ({})", folder.path.display(), folder.purpose);
    match &folder.free_bytes {
        Ok(bytes) if *bytes >= LITTLE_ROOM_BYTES => {
            Finding::ok("disk", format!("{place}: {} GiB free", bytes >> 30))
        }
        Ok(bytes) => Finding::trouble(
            "disk",
            format!("{place}: {} MiB free", bytes >> 20),
            "make room: flan-t5-base takes 1 GB",
        ),
        Err(reason) => Finding::trouble(
            "disk",
            format!("{place}: {reason}"),
            "give the agent's user the right to write",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Clock, Computed, Controller, Folder};
    use host::Details;
    use host::Limits;
    use model::telemetry::{Absence, Gpu, NvmlLibrary, Phase, Readings};
    use std::time::Duration;

    fn window(pairs: &[(Metric, f64)]) -> Window {
        let mut readings = Readings::default();
        for (metric, value) in pairs {
            readings.set(*metric, *value);
        }
        let end_ns = 1_000_000_000;
        Window { phase: Phase::Idle, of: None, start_ns: 0, end_ns, readings }
    }

    fn status(seen: &Seen, what: &str) -> Vec<Status> {
        let found = findings(seen).into_iter().filter(|finding| finding.what == what);
        found.map(|finding| finding.status).collect()
    }

    #[test]
    fn whatever_is_wrong_says_what_to_do() {
        let mut seen = Seen { threads: 4, ..Seen::default() };
        seen.host.details = Details {
            governor: Some("powersave".to_owned()),
            power_supply: Some("battery".to_owned()),
            limits: Limits { cpu_cores: Some(1.5), memory_bytes: None },
            ..Details::default()
        };
        seen.clock = Clock { source: Some("hpet".to_owned()), reading_ns: 1200.0 };
        seen.windows = vec![window(&[
            (Metric::HostCpuTotalNs, 2e9),
            (Metric::HostCpuBusyNs, 1e9),
            (Metric::ProcessCpuNs, 0.1e9),
            (Metric::HostCpuStealNs, 0.2e9),
            (Metric::HostMemoryAvailableBytes, 1e9),
            (Metric::HostSwapUsedBytes, 1e9),
            (Metric::SamplerCpuNs, 1e8),
            (Metric::HostThermalThrottles, 2.0),
        ])];
        let library =
            NvmlLibrary { path: "/x".to_owned(), sha256: String::new(), is_foreign: true };
        seen.instruments.nvml = Some(library);
        seen.instruments.gpus = vec![Gpu { is_persistent: Some(false), ..Gpu::default() }];
        let path = std::path::PathBuf::from("/full");
        seen.folders = vec![Folder { path, purpose: "models", free_bytes: Ok(5) }];
        let connect = Err("connection refused".to_owned());
        seen.controller =
            Some(Controller { url: "http://x:1".to_owned(), connect, greeting: None });
        let outcome = Err("built for the CPU only".to_owned());
        seen.computed = Some(Computed { device: "cuda:0".to_owned(), is_wanted: true, outcome });
        let found = findings(&seen);
        assert_eq!(found.len(), 15, "{found:#?}");
        for finding in found {
            assert_eq!(finding.status, Status::Trouble, "{finding:?}");
            assert!(finding.remedy.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn a_quiet_machine_is_fine_and_what_it_lacks_is_told() {
        let mut seen = Seen { threads: 2, ..Seen::default() };
        seen.host.cpu_features = vec!["avx2".to_owned()];
        seen.windows = vec![window(&[
            (Metric::HostCpuTotalNs, 2e9),
            (Metric::HostCpuBusyNs, 0.05e9),
            (Metric::ProcessCpuNs, 0.01e9),
            (Metric::HostCpuStealNs, 0.0),
            (Metric::SamplerCpuNs, 1e6),
        ])];
        let remedy = Some("metal".to_owned());
        let absence = Absence { what: "cpu_energy".to_owned(), reason: "none".to_owned(), remedy };
        seen.instruments.absences = vec![absence];
        assert_eq!(status(&seen, "other_load"), [Status::Ok]);
        assert_eq!(status(&seen, "sampler"), [Status::Ok]);
        assert_eq!(status(&seen, "cpu_energy"), [Status::NotMeasurable]);
        assert!(findings(&seen).iter().all(|finding| finding.status != Status::Trouble));
    }

    #[test]
    fn what_was_not_seen_is_not_judged() {
        let seen = Seen { period: Duration::from_millis(250), ..Seen::default() };
        for what in ["memory", "other_load", "steal", "governor", "gpu", "sampler", "controller"] {
            assert_eq!(status(&seen, what), [], "{what}");
        }
    }
}
