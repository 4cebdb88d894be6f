use super::{Finding, Observations, Status, reach};
use model::telemetry::{Gpu, Metric, ThrottleReasons, Window};

/// Reports mark a cell DEGRADED above this share of CPU time of other processes.
const MAX_OTHER_LOAD: f64 = 0.05;
/// The same for steal time.
const MAX_STEAL: f64 = 0.01;
/// A slower clock is not the CPU's own.
const SLOW_CLOCK_NS: f64 = 500.0;
/// Models and caches do not fit into less.
const MIN_FREE_BYTES: u64 = 2 << 30;
/// Maximum share of one core for the sampler.
const MAX_SAMPLER: f64 = 0.005;

/// Evaluates the observations, in report order.
pub fn findings(observations: &Observations) -> Vec<Finding> {
    let mut all = vec![processor(observations)];
    all.extend(limits(observations));
    all.extend(memory(observations));
    all.extend([clock(observations)]);
    all.extend(speed(observations));
    all.extend(neighbors(observations));
    all.extend(gpus(observations));
    all.extend(throttled(observations));
    all.extend(driver_library(observations));
    all.extend(computed(observations));
    let absent = |absence: &model::telemetry::Absence| Finding {
        what: absence.what.clone(),
        status: Status::NotMeasurable,
        detail: absence.reason.clone(),
        remedy: absence.remedy.clone(),
    };
    all.extend(sampler(observations));
    all.extend(observations.folders.iter().map(folder));
    all.extend(reach::findings(observations));
    all.extend(observations.instruments.absences.iter().map(absent));
    all
}

/// Whether something requested on the command line is impossible: reaching the controller or a
/// model, using a certificate, or computing on a device. A noisy machine does not count.
pub fn is_request_impossible(observations: &Observations) -> bool {
    let requested = reach::findings(observations).into_iter().chain(computed(observations));
    requested.into_iter().any(|finding| finding.status == Status::Trouble)
}

fn check(what: &str, detail: String, is_trouble: bool, remedy: &str) -> Finding {
    if is_trouble { Finding::trouble(what, detail, remedy) } else { Finding::ok(what, detail) }
}

fn processor(observations: &Observations) -> Finding {
    let host = &observations.host;
    let cores = host.facts.physical_cores.map_or(String::new(), |cores| format!(", {cores} cores"));
    let model = host.facts.cpu_model.as_deref().unwrap_or("unknown processor");
    let features = host.facts.cpu_features.join(" ");
    let features = if features.is_empty() { String::new() } else { format!("; {features}") };
    let detail = format!("{model}, {} logical{cores}{features}", host.facts.logical_cpus);
    if host.facts.cpu_features.iter().any(|feature| feature == "avx2") {
        return Finding::ok("processor", detail);
    }
    if !is_x86(observations) {
        let detail = format!(
            "{detail}; computes with portable kernels: none are specific to {}",
            host.architecture
        );
        return Finding::ok("processor", detail);
    }
    let remedy = "use a CPU with AVX2: it is about ten times faster";
    Finding::trouble("processor", format!("{detail}; no AVX2"), remedy)
}

fn is_x86(observations: &Observations) -> bool {
    matches!(observations.host.architecture, "x86_64" | "x86")
}

fn limits(observations: &Observations) -> Option<Finding> {
    let cores = observations.host.facts.cpu_limit_cores?;
    let detail = format!("the control group is limited to {cores} CPUs");
    Some(if cores + 1e-9 < observations.threads as f64 {
        Finding::trouble(
            "cpu_limit",
            format!("{detail}, but {} threads would run", observations.threads),
            "raise the container's CPU limit, or pass fewer --threads",
        )
    } else {
        Finding::ok("cpu_limit", detail)
    })
}

fn memory(observations: &Observations) -> Option<Finding> {
    let available = last(observations, Metric::HostMemoryAvailableBytes)?;
    let limit = observations.host.facts.memory_limit_bytes;
    let gib = |bytes: f64| format!("{:.1} GiB", bytes / f64::from(1 << 30));
    let limit = limit.map_or(String::new(), |bytes| format!(", limit {}", gib(bytes as f64)));
    let total = gib(observations.host.facts.memory_bytes as f64);
    let detail = format!("{} of {total} available{limit}", gib(available));
    let swap = last(observations, Metric::HostSwapUsedBytes).filter(|swap| *swap > 0.0);
    Some(if let Some(swap) = swap {
        Finding::trouble(
            "memory",
            format!("{detail}; {} swapped out", gib(swap)),
            "free memory or run swapoff -a: measurements with swapping are meaningless",
        )
    } else {
        Finding::ok("memory", detail)
    })
}

fn clock(observations: &Observations) -> Finding {
    let source = observations.clock.source.as_deref().unwrap_or("unknown");
    let detail = format!("{source}, {:.0} ns per reading", observations.clock.reading_ns);
    let remedy = match observations.host.architecture {
        "aarch64" => "switch the kernel's clock source to arch_sys_counter: this one is slow",
        _ => "switch the kernel's clock source to tsc or kvm-clock: this one is slow",
    };
    check("clock", detail, observations.clock.reading_ns > SLOW_CLOCK_NS, remedy)
}

fn speed(observations: &Observations) -> Vec<Finding> {
    let facts = &observations.host.facts;
    let mut found = Vec::new();
    if let Some(governor) = &facts.governor {
        let turbo = facts.turbo.as_ref().map_or(String::new(), |turbo| format!(", turbo {turbo}"));
        let is_slow = governor != "performance" && governor != "schedutil";
        let remedy =
            "cpupower frequency-set -g performance: this governor lowers clocks between batches";
        found.push(check("governor", format!("{governor}{turbo}"), is_slow, remedy));
    }
    if facts.power_supply.as_deref() == Some("battery") {
        found.push(Finding::trouble(
            "power_supply",
            "on battery".to_owned(),
            "connect the power supply: clocks are limited",
        ));
    }
    let throttles = total(&observations.windows, Metric::HostThermalThrottles);
    if let Some(throttles) = throttles.filter(|throttles| *throttles > 0.0) {
        let detail = format!("{throttles} thermal throttling events while idle");
        found.push(Finding::trouble("heat", detail, "cool the machine before measuring"));
    }
    found
}

fn total(windows: &[Window], metric: Metric) -> Option<f64> {
    windows.iter().filter_map(|window| window.readings.of(metric)).reduce(|sum, value| sum + value)
}

fn neighbors(observations: &Observations) -> Vec<Finding> {
    let sum = |metric| total(&observations.windows, metric);
    let Some(all) = sum(Metric::HostCpuTotalNs).filter(|all| *all > 0.0) else { return Vec::new() };
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let mut found = Vec::new();
    if let Some((busy, ours)) = sum(Metric::HostCpuBusyNs).zip(sum(Metric::ProcessCpuNs)) {
        let share = ((busy - ours) / all).max(0.0);
        let detail = format!("other processes use {} of the CPU", percent(share));
        let remedy = "stop them, or use a dedicated machine: cells become DEGRADED";
        found.push(check("other_load", detail, share > MAX_OTHER_LOAD, remedy));
    }
    if let Some(steal) = sum(Metric::HostCpuStealNs) {
        let share = steal / all;
        let detail = format!("steal time is {} of the CPU", percent(share));
        let remedy = "use an instance that is not shared or burstable, or wait for CPU credits";
        found.push(check("steal", detail, share > MAX_STEAL, remedy));
    }
    found
}

fn gpus(observations: &Observations) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(library) = &observations.instruments.nvml {
        let short: String = library.sha256.chars().take(12).collect();
        let detail = format!("{} (sha256 {short}…)", library.path);
        found.push(if library.is_foreign {
            let remedy = "remove --nvml-library: its readings make cells DEGRADED";
            Finding::trouble("nvml", format!("{detail} is not the system's library"), remedy)
        } else {
            Finding::ok("nvml", detail)
        });
    }
    let gpus = &observations.instruments.gpus;
    found.extend(gpus.iter().map(|gpu| of_gpu(gpu, gpus)));
    found
}

fn of_gpu(gpu: &Gpu, all: &[Gpu]) -> Finding {
    let known = |label: &str, value: Option<String>| {
        value.map_or(String::new(), |value| format!(", {label}{value}"))
    };
    let memory = known("", gpu.memory_bytes.map(|bytes| format!("{} MiB", bytes >> 20)));
    let device = gpu.device.as_ref().map_or(String::new(), |device| format!("{device}: "));
    let Gpu { name, uuid, .. } = gpu;
    if let Some(parent) = &gpu.parent_uuid {
        let detail = format!(
            "{device}{name}{memory}, {uuid}: an instance of MIG; power, temperature and clocks are those of {parent}"
        );
        return Finding::ok("gpu", detail);
    }
    let watts = gpu.power_limit_watts.map(|watts| format!("{watts} W"));
    let mhz = gpu.sm_max_mhz.map(|mhz| format!("{mhz} MHz"));
    let detail = [
        device,
        name.clone(),
        memory,
        known("driver ", gpu.driver.clone()),
        known("up to CUDA ", gpu.cuda_driver.clone()),
        known("compute ", gpu.compute_capability.clone()),
        known("limit ", watts),
        known("up to ", mhz),
        known("", Some(uuid.clone()).filter(|uuid| !uuid.is_empty())),
    ];
    let detail = detail.concat();
    let is_instance = |other: &&Gpu| other.parent_uuid.as_deref() == Some(uuid);
    let instances: Vec<&Gpu> = all.iter().filter(is_instance).collect();
    if gpu.is_mig_enabled == Some(true) {
        let Some(first) = instances.first() else {
            let remedy = "create an instance with nvidia-smi mig -cgi PROFILE -C, or disable MIG";
            let detail = format!("{detail}; MIG is enabled without an instance");
            return Finding::trouble("gpu", detail, remedy);
        };
        let detail = format!("{detail}; MIG is enabled, instances: {}", instances.len());
        let remedy = format!("choose an instance, such as --device cuda:{}", first.uuid);
        return check("gpu", detail, all.iter().all(|gpu| gpu.device.is_none()), &remedy);
    }
    if gpu.is_persistent == Some(false) {
        let remedy = "nvidia-smi -pm 1: otherwise the driver unloads between runs";
        return Finding::trouble("gpu", format!("{detail}; persistence mode is off"), remedy);
    }
    Finding::ok("gpu", detail)
}

fn last(observations: &Observations, metric: Metric) -> Option<f64> {
    observations.windows.iter().rev().find_map(|window| window.readings.of(metric))
}

/// Why the GPU's clocks were reduced at the last reading. `None` if that can't be read.
pub fn throttle_reasons(observations: &Observations) -> Option<ThrottleReasons> {
    ThrottleReasons::of_reading(last(observations, Metric::GpuThrottleReasons)?)
}

/// Why the GPU's clocks are reduced now, and the clocks against their maxima.
fn throttled(observations: &Observations) -> Option<Finding> {
    let reasons = throttle_reasons(observations)?;
    let names: Vec<&str> = reasons.reasons().map(|reason| reason.name).collect();
    let names = if names.is_empty() { "no reason".to_owned() } else { names.join(", ") };
    let gpus = &observations.instruments.gpus;
    let gpu = gpus.iter().find(|gpu| gpu.device.is_some()).or(gpus.first());
    let clock = |label: &str, metric, most: Option<f64>| {
        last(observations, metric).map_or(String::new(), |mhz| {
            let most = most.map_or(String::new(), |most| format!(" of {most:.0}"));
            format!("; {label} {mhz:.0}{most} MHz")
        })
    };
    let clocks = [
        clock("multiprocessors", Metric::GpuSmMhz, gpu.and_then(|gpu| gpu.sm_max_mhz)),
        clock("memory", Metric::GpuMemoryMhz, gpu.and_then(|gpu| gpu.memory_max_mhz)),
    ]
    .concat();
    if reasons.is_thermal() {
        let celsius = last(observations, Metric::GpuTemperatureCelsius);
        let celsius = celsius.map_or(String::new(), |celsius| format!(" at {celsius:.0} °C"));
        let detail = format!("thermally slowed{celsius}: {names}{clocks}");
        let remedy = "let the GPU cool down before measuring: heat slows it down";
        return Some(Finding::trouble("gpu_throttle", detail, remedy));
    }
    let detail = format!("reduced clocks: {names}{clocks}");
    let remedy = "raise the GPU's power limit and check its power supply before measuring";
    Some(check("gpu_throttle", detail, reasons.is_throttled(), remedy))
}

fn driver_library(observations: &Observations) -> Option<Finding> {
    let library = observations.computed.as_ref()?.library.as_ref()?;
    let path = library.path.display();
    let detail = match &library.sha256 {
        Ok(sha256) => format!("{path} (sha256 {sha256})"),
        Err(reason) => format!("{path} (unreadable: {reason})"),
    };
    // The toolkit's library to link against: every call of it fails.
    let is_stub = library.path.components().any(|part| part.as_os_str() == "stubs");
    let remedy = "remove the CUDA toolkit's stubs folder from LD_LIBRARY_PATH";
    Some(check("libcuda", detail, is_stub, remedy))
}

/// Whether the driver accepts this program's kernels. Only a computation shows that.
fn computed(observations: &Observations) -> Option<Finding> {
    let computed = observations.computed.as_ref()?;
    let device = &computed.device;
    let remedy = "install NVIDIA's driver 470 or later: docs/gpu.md";
    Some(match &computed.outcome {
        Ok(detail) => Finding::ok("gpu_kernels", format!("{device} computes: {detail}")),
        // The reason names the device.
        Err(reason) if computed.is_wanted => {
            Finding::trouble("gpu_kernels", reason.clone(), remedy)
        }
        Err(reason) => Finding::not_measurable("gpu_kernels", reason.clone(), remedy),
    })
}

fn sampler(observations: &Observations) -> Option<Finding> {
    let spent = total(&observations.windows, Metric::SamplerCpuNs)?;
    let seconds: f64 = observations.windows.iter().map(Window::seconds).sum();
    if seconds <= 0.0 {
        return None;
    }
    let share = spent / 1e9 / seconds;
    let detail = format!(
        "sampling every {} ms uses {:.3}% of one core",
        observations.period.as_millis(),
        share * 100.0
    );
    let remedy = "raise [telemetry] period_ms in the matrix";
    Some(check("sampler", detail, share > MAX_SAMPLER, remedy))
}

fn folder(folder: &super::Folder) -> Finding {
    let place = format!("{} ({})", folder.path.display(), folder.purpose);
    let (detail, remedy) = match &folder.free_bytes {
        Ok(bytes) if *bytes >= MIN_FREE_BYTES => {
            return Finding::ok("disk", format!("{place}: {} GiB free", bytes >> 30));
        }
        Ok(bytes) => (format!("{} MiB free", bytes >> 20), "free space: flan-t5-base needs 1 GB"),
        Err(reason) => (reason.clone(), "grant the agent's user write access"),
    };
    Finding::trouble("disk", format!("{place}: {detail}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Clock, Computed, Controller, DriverLibrary, Folder};
    use model::host::HostFacts;
    use model::telemetry::{Absence, NvmlLibrary, Phase, Readings};
    use std::time::Duration;

    fn window(pairs: &[(Metric, f64)]) -> Window {
        let mut readings = Readings::default();
        for (metric, value) in pairs {
            readings.set(*metric, *value);
        }
        let end_ns = 1_000_000_000;
        Window { phase: Phase::Idle, of: None, start_ns: 0, end_ns, readings }
    }

    fn status(observations: &Observations, what: &str) -> Vec<Status> {
        let found = findings(observations).into_iter().filter(|finding| finding.what == what);
        found.map(|finding| finding.status).collect()
    }

    #[test]
    fn whatever_is_wrong_says_what_to_do() {
        let mut observations = Observations { threads: 4, ..Observations::default() };
        observations.host.architecture = "x86_64";
        observations.host.facts = HostFacts {
            governor: Some("powersave".to_owned()),
            power_supply: Some("battery".to_owned()),
            cpu_limit_cores: Some(1.5),
            ..HostFacts::default()
        };
        observations.clock = Clock { source: Some("hpet".to_owned()), reading_ns: 1200.0 };
        observations.windows = vec![window(&[
            (Metric::HostCpuTotalNs, 2e9),
            (Metric::HostCpuBusyNs, 1e9),
            (Metric::ProcessCpuNs, 0.1e9),
            (Metric::HostCpuStealNs, 0.2e9),
            (Metric::HostMemoryAvailableBytes, 1e9),
            (Metric::HostSwapUsedBytes, 1e9),
            (Metric::SamplerCpuNs, 1e8),
            (Metric::HostThermalThrottles, 2.0),
            (Metric::GpuThrottleReasons, 32.0),
            (Metric::GpuSmMhz, 585.0),
        ])];
        let library =
            NvmlLibrary { path: "/x".to_owned(), sha256: String::new(), is_foreign: true };
        observations.instruments.nvml = Some(library);
        observations.instruments.gpus = vec![Gpu { is_persistent: Some(false), ..Gpu::default() }];
        let path = std::path::PathBuf::from("/full");
        observations.folders = vec![Folder { path, purpose: "models", free_bytes: Ok(5) }];
        let connect = Err("connection refused".to_owned());
        observations.controller =
            Some(Controller { url: "http://x:1".to_owned(), connect, greeting: None });
        let outcome = Err("wrong result of a test computation".to_owned());
        let path = "/usr/local/cuda/lib64/stubs/libcuda.so".into();
        let library = Some(DriverLibrary { path, sha256: Err("permission denied".to_owned()) });
        observations.computed =
            Some(Computed { device: "cuda:0".to_owned(), is_wanted: true, outcome, library });
        let found = findings(&observations);
        assert_eq!(found.len(), 17, "{found:#?}");
        for finding in found {
            assert_eq!(finding.status, Status::Trouble, "{finding:?}");
            assert!(finding.remedy.is_some(), "{finding:?}");
        }
        let heat =
            findings(&observations).into_iter().find(|finding| finding.what == "gpu_throttle");
        assert_eq!(
            heat.unwrap().detail,
            "thermally slowed: sw_thermal_slowdown; multiprocessors 585 MHz"
        );
    }

    #[test]
    fn heat_power_and_idling_are_told_apart() {
        let finding = |bits: u32| {
            let gpu =
                Gpu { sm_max_mhz: Some(1590.0), memory_max_mhz: Some(5001.0), ..Gpu::default() };
            let mut observations = Observations::default();
            observations.instruments.gpus = vec![gpu];
            observations.windows = vec![window(&[
                (Metric::GpuThrottleReasons, bits.into()),
                (Metric::GpuTemperatureCelsius, 91.0),
                (Metric::GpuSmMhz, 300.0),
                (Metric::GpuMemoryMhz, 405.0),
            ])];
            let mut all = findings(&observations).into_iter();
            all.find(|finding| finding.what == "gpu_throttle").unwrap()
        };
        let clocks = "multiprocessors 300 of 1590 MHz; memory 405 of 5001 MHz";
        for (bits, status, start) in [
            (0x0, Status::Ok, "reduced clocks: no reason"),
            (0x1, Status::Ok, "reduced clocks: idle"),
            (0x4, Status::Trouble, "reduced clocks: sw_power_cap"),
            (0x41, Status::Trouble, "thermally slowed at 91 °C: idle, hw_thermal_slowdown"),
            (0x24, Status::Trouble, "thermally slowed at 91 °C: sw_power_cap, sw_thermal_slowdown"),
        ] {
            let found = finding(bits);
            assert_eq!((found.status, found.detail), (status, format!("{start}; {clocks}")));
        }
    }

    #[test]
    fn a_quiet_machine_is_fine_and_what_it_lacks_is_told() {
        let mut observations = Observations { threads: 2, ..Observations::default() };
        observations.host.facts.cpu_features = vec!["avx2".to_owned()];
        observations.windows = vec![window(&[
            (Metric::HostCpuTotalNs, 2e9),
            (Metric::HostCpuBusyNs, 0.05e9),
            (Metric::ProcessCpuNs, 0.01e9),
            (Metric::HostCpuStealNs, 0.0),
            (Metric::SamplerCpuNs, 1e6),
        ])];
        let remedy = Some("metal".to_owned());
        let absence = Absence { what: "cpu_energy".to_owned(), reason: "none".to_owned(), remedy };
        observations.instruments.absences = vec![absence];
        assert_eq!(status(&observations, "other_load"), [Status::Ok]);
        assert_eq!(status(&observations, "sampler"), [Status::Ok]);
        assert_eq!(status(&observations, "cpu_energy"), [Status::NotMeasurable]);
        assert!(findings(&observations).iter().all(|finding| finding.status != Status::Trouble));
    }

    #[test]
    fn an_arm_processor_is_not_advised_to_have_the_features_of_another() {
        let mut observations = Observations::default();
        observations.host.architecture = "aarch64";
        observations.host.facts.cpu_model = Some("Neoverse V1".to_owned());
        observations.host.facts.cpu_features = vec!["asimd".to_owned(), "sve".to_owned()];
        observations.clock = Clock { source: Some("jiffies".to_owned()), reading_ns: 1200.0 };
        let found = findings(&observations);
        let of = |what: &str| found.iter().find(|finding| finding.what == what).unwrap();
        let processor = of("processor");
        assert_eq!((processor.status, &processor.remedy), (Status::Ok, &None));
        assert!(processor.detail.starts_with("Neoverse V1, 0 logical; asimd sve; "));
        for finding in &found {
            let text = format!("{} {:?}", finding.detail, finding.remedy).to_lowercase();
            assert!(!text.contains("avx") && !text.contains("tsc"), "{text}");
        }
    }

    #[test]
    fn what_was_not_seen_is_not_judged() {
        let observations =
            Observations { period: Duration::from_millis(250), ..Observations::default() };
        for what in ["memory", "other_load", "steal", "governor", "gpu", "sampler", "controller"] {
            assert_eq!(status(&observations, what), [], "{what}");
        }
    }
}
