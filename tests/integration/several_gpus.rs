//! Several GPUs, and instances of MIG: CUDA's driver and NVIDIA's management library number them differently, and the
//! agent computes on one and observes the same.

use crate::gpu::{agent, doctor, findings};
use scenarios::{Finished, Running, Workspace, library, processor};
use serde_json::{Value, json};
use std::process::Command;

const SLOW: &str = "GPU-0a000000-0000-0000-0000-000000000001";
const FAST: &str = "GPU-0a000000-0000-0000-0000-000000000002";
/// Instances of the slow one.
const SMALL: &str = "MIG-0c000000-0000-0000-0000-000000000003";
const LARGE: &str = "MIG-0c000000-0000-0000-0000-000000000004";
const MIB: u64 = 1 << 20;

/// Of the environment.
type Variables<'v> = &'v [(&'v str, &'v str)];

/// For CUDA's driver: the slow GPU is the first on the bus, the fast one the first for CUDA.
fn driver(instances: &Value) -> String {
    let slow = json!({"uuid": SLOW, "multiprocessors": 40, "instances": instances});
    json!([slow, {"uuid": FAST, "multiprocessors": 80}]).to_string()
}

fn instances() -> Value {
    json!([
        {"uuid": SMALL, "memory_bytes": MIB},
        {"uuid": LARGE, "memory_bytes": 256 * MIB},
    ])
}

/// The same for the management library: the slow one is hot.
fn library_script(instances: &Value) -> Value {
    let hot = json!({"at_s": 0, "utilization_pct": 90, "temperature_c": 93, "sm_mhz": 585, "power_w": 65,
                     "memory_used_mb": 9000, "reasons": 0x20});
    let cool = json!({"at_s": 0, "temperature_c": 50, "sm_mhz": 1710, "power_w": 20, "reasons": 0});
    let fast = json!({"name": "NVIDIA A10G", "uuid": FAST, "sm_max_mhz": 1710, "series": [cool]});
    json!({"uuid": SLOW, "series": [hot], "instances": instances, "more": [fast]})
}

fn library_instances() -> Value {
    json!([
        {"uuid": SMALL, "memory_mb": 1, "memory_used_mb": 1},
        {"uuid": LARGE, "memory_mb": 256, "memory_used_mb": 77},
    ])
}

/// Generates with the tiny model.
fn generate(workspace: &Workspace, device: &str) -> Command {
    workspace.write("in.jsonl", "{\"id\": 1, \"input_ids\": [5, 9, 200, 17, 1]}\n");
    let own = ["generate", "--model", "builtin:tiny", "--max-new-tokens", "4", "--device", device];
    let files = ["--input", "in.jsonl", "--output", "out.jsonl"];
    agent(workspace, &[&own[..], &files[..]].concat())
}

#[test]
fn the_gpu_that_computes_is_the_one_that_is_observed() {
    let hot = "thermally slowed at 93 °C: sw_thermal_slowdown; multiprocessors 585 of 1590 MHz; \
               memory 5000 of 5001 MHz";
    let cool =
        "reduced clocks: no reason; multiprocessors 1710 of 1710 MHz; memory 5000 of 5001 MHz";
    let by_uuid = format!("cuda:{SLOW}");
    let cases: [(&str, Variables<'_>, &str); 5] = [
        ("cuda:0", &[], FAST),
        ("cuda:1", &[], SLOW),
        ("cuda:0", &[("CUDA_DEVICE_ORDER", "PCI_BUS_ID")], SLOW),
        ("cuda:0", &[("CUDA_VISIBLE_DEVICES", "1")], SLOW),
        (&by_uuid, &[], SLOW),
    ];
    // Each observes the machine for four seconds.
    std::thread::scope(|scope| {
        for (device, variables, uuid) in cases {
            scope.spawn(move || {
                let workspace = Workspace::default();
                let mut command = agent(&workspace, &["doctor", "--device", device, "--json"]);
                command.env("CUDA_STANDIN_DEVICES", driver(&json!([])));
                command.envs(variables.iter().copied());
                let seen = doctor(command, &library_script(&json!([])), &workspace, 0);
                let gpus = seen["instruments"]["gpus"].as_array().expect("GPUs");
                let used: Vec<(&Value, &Value)> =
                    gpus.iter().map(|gpu| (&gpu["uuid"], &gpu["device"])).collect();
                let name = |of| if of == uuid { json!(device) } else { Value::Null };
                assert_eq!(
                    used,
                    [(&json!(SLOW), &name(SLOW)), (&json!(FAST), &name(FAST))],
                    "{device} {variables:?}"
                );
                let expected = if uuid == SLOW { ("trouble", hot) } else { ("ok", cool) };
                assert_eq!(findings(&seen, "gpu_throttle"), [expected], "{device} {variables:?}");
                let [(_, kernels)] = findings(&seen, "gpu_kernels")[..] else { panic!("{seen}") };
                assert!(kernels.contains(uuid), "{kernels}");
            });
        }
    });
}

#[test]
fn a_name_that_chooses_no_gpu_says_what_there_is() {
    let workspace = Workspace::default();
    let refused = |device: &str, machine: &Value, script: Option<&Value>| {
        let mut command = generate(&workspace, device);
        command.env("CUDA_STANDIN_DEVICES", driver(machine));
        if let Some(script) = script {
            command.env("FLEETMARK_NVML_LIBRARY", library("nvml_standin"));
            command.env("NVML_STANDIN_SCRIPT", workspace.write("nvml.json", script.to_string()));
        }
        Finished::of(&mut command).expect(2).err
    };
    let whole = json!([]);
    let both = format!("cuda:0 ({FAST}), cuda:1 ({SLOW})");
    for (device, expected) in [
        ("cuda:GPU-0a", format!("cuda:GPU-0a is ambiguous: it is the start of {both}")),
        ("cuda:GPU-0b", format!("no GPU cuda:GPU-0b: expected {both}")),
        ("cuda:2", format!("no GPU cuda:2: expected {both}")),
        ("cuda:MIG-0a", format!("no GPU cuda:MIG-0a: expected {both}")),
    ] {
        for script in [None, Some(&library_script(&whole))] {
            let error = refused(device, &whole, script);
            assert!(error.contains(&expected), "{error}");
        }
    }
    // CUDA's driver shows one instance, the management library all.
    let script = library_script(&library_instances());
    let parts = format!("cuda:{SMALL}, cuda:{LARGE}");
    for (device, expected) in [
        ("cuda:MIG-0c", format!("cuda:MIG-0c is ambiguous: it is the start of {parts}")),
        ("cuda:MIG-0d", format!("no GPU cuda:MIG-0d: expected {parts}, cuda:{FAST}")),
        (&*format!("cuda:{SLOW}"), format!("is divided into instances of MIG: expected {parts}")),
    ] {
        let error = refused(device, &instances(), Some(&script));
        assert!(error.contains(&expected), "{error}");
    }
    let error = refused("cuda:MIG-0d", &instances(), None);
    assert!(error.contains(&format!("no GPU cuda:MIG-0d: expected cuda:0 ({SMALL})")), "{error}");
}

/// The first instance is too small for the model.
#[test]
fn a_named_instance_computes_although_the_driver_would_show_another() {
    let workspace = Workspace::default();
    let run = |device: &str, has_library: bool, visible: Option<&str>| {
        let mut command = generate(&workspace, device);
        command.env("CUDA_STANDIN_DEVICES", driver(&instances()));
        if has_library {
            let script = library_script(&library_instances()).to_string();
            command.env("FLEETMARK_NVML_LIBRARY", library("nvml_standin"));
            command.env("NVML_STANDIN_SCRIPT", workspace.write("nvml.json", script));
        }
        if let Some(visible) = visible {
            command.env("CUDA_VISIBLE_DEVICES", visible);
        }
        Finished::of(&mut command)
    };
    let out = || std::fs::read_to_string(workspace.path("out.jsonl")).expect("the agent wrote it");
    let _ = run("cpu", false, None).expect(0);
    let expected = out();
    let large = format!("cuda:{LARGE}");
    let both = format!("{SMALL},{LARGE}");
    for (device, has_library, visible) in [
        (&*large, true, None),
        (&*large, false, None),
        (&*large, false, Some(&*both)),
        ("cuda:0", false, Some(LARGE)),
        // MIG hides whole GPUs as well.
        (&*format!("cuda:{FAST}"), true, None),
    ] {
        std::fs::remove_file(workspace.path("out.jsonl")).expect("it is there");
        let _ = run(device, has_library, visible).expect(0);
        assert_eq!(out(), expected, "{device} {visible:?}");
    }
    let small = run(&format!("cuda:{SMALL}"), false, None).expect(2).err;
    assert!(small.contains("of GPU memory, and 1048576 bytes are free"), "{small}");
    // What the variable hides stays hidden.
    let hidden = run(&large, true, Some(SMALL)).expect(2).err;
    assert!(hidden.contains(&format!("no GPU {large}: expected cuda:0 ({SMALL})")), "{hidden}");
}

#[test]
fn the_doctor_lists_instances_and_what_they_lack() {
    let workspace = Workspace::default();
    let device = format!("cuda:{LARGE}");
    let mut command = agent(&workspace, &["doctor", "--device", &device, "--json"]);
    command.env("CUDA_STANDIN_DEVICES", driver(&instances()));
    let seen = doctor(command, &library_script(&library_instances()), &workspace, 0);
    let gpus = findings(&seen, "gpu");
    let slow = format!(
        "Tesla T4, 15360 MiB, driver 580.95.05, up to CUDA 13.0, compute 7.5, limit 70 W, up to 1590 MHz, {SLOW}; \
         MIG is enabled, instances: 2"
    );
    let large = format!(
        "{device}: Tesla T4 MIG 1g.5gb, 256 MiB, {LARGE}: an instance of MIG; power, temperature and clocks are \
         those of {SLOW}"
    );
    assert_eq!((gpus.len(), gpus[0], gpus[2]), (4, ("ok", &*slow), ("ok", &*large)));
    for what in ["gpu_utilization_pct", "gpu_memory_utilization_pct"] {
        let expected = ("not_measurable", "not measured for an instance of MIG");
        assert_eq!(findings(&seen, what), [expected], "{what}");
    }
    let measurable = seen["measurable"].as_array().expect("a list");
    for (what, is_measured) in [
        ("gpu_memory_used_bytes", true),
        ("gpu_process_memory_bytes", true),
        ("gpu_power_watts", true),
        ("gpu_utilization_pct", false),
    ] {
        assert_eq!(measurable.contains(&json!(what)), is_measured, "{what}");
    }
    // Of the whole GPU.
    let [(status, heat)] = findings(&seen, "gpu_throttle")[..] else { panic!("{seen}") };
    assert!(status == "trouble" && heat.starts_with("thermally slowed at 93 °C"), "{heat}");

    // A wrong name is a finding, not the end of the doctor.
    let mut command = agent(&workspace, &["doctor", "--device", "cuda:MIG-0d", "--json"]);
    command.env("CUDA_STANDIN_DEVICES", driver(&instances()));
    let seen = doctor(command, &library_script(&library_instances()), &workspace, 1);
    let [(status, unknown)] = findings(&seen, "gpu_kernels")[..] else { panic!("{seen}") };
    assert!(status == "trouble" && unknown.starts_with("no GPU cuda:MIG-0d"), "{unknown}");
    let [(status, slow), ..] = findings(&seen, "gpu")[..] else { panic!("{seen}") };
    assert!(status == "trouble" && slow.contains("MIG is enabled, instances: 2"), "{slow}");
}

#[test]
fn a_campaign_on_an_instance_has_its_memory_and_the_heat_of_its_gpu() {
    let _processor = processor();
    let workspace = Workspace::default();
    let matrix = r#"
name = "instance"
[dataset]
source = "builtin:dialogues"
samples = 2
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [2]
[generation]
max_input_tokens = 16
max_new_tokens = 4
[protocol]
runs = 1
warmup = 1
[[target]]
name = "part-of-a-gpu"
usd_per_hour = 0.5
[telemetry]
period_ms = 25
"#;
    workspace.write("matrix.toml", matrix);
    let mut running = workspace.start(&["run", "matrix.toml", "--output", "results.json"]);
    let join = running.join_command();
    let device = format!("cuda:{LARGE}");
    let own = ["join", "--controller", &join.controller, "--token-file", &join.token_file];
    let more = ["--target", "part-of-a-gpu", "--device", &device, "--threads", "1"];
    let mut command = agent(&workspace, &[&own[..], &more[..]].concat());
    let script = library_script(&library_instances()).to_string();
    command.env("CUDA_STANDIN_DEVICES", driver(&instances()));
    // Other tests look for them, and it takes longer.
    command.env("CUDA_STANDIN_RACES", "off");
    command.env("FLEETMARK_NVML_LIBRARY", library("nvml_standin"));
    command.env("NVML_STANDIN_SCRIPT", workspace.write("nvml.json", script));
    let agent = Running::of(&mut command);
    let finished = running.finish().expect(0);
    let _ = agent.finish().expect(0);

    let results = workspace.results("results.json");
    let entry = &results["results"][0];
    assert_eq!(entry["device"], json!(device));
    assert_eq!(entry["gpu_name"], "Fleetmark software GPU MIG 1g.5gb");
    let cell = &entry["cells"][0];
    let readings = &cell["telemetry"]["readings"];
    assert_eq!(readings["gpu_memory_used_bytes"]["max"], json!((77 * MIB) as f64), "{readings}");
    assert_eq!(readings["gpu_temperature_celsius"]["max"], json!(93.0));
    assert_eq!(readings["gpu_power_watts"]["max"], json!(65.0));
    assert_eq!(cell["telemetry"]["gpu"]["utilization_pct"], Value::Null);
    let missing = cell["telemetry"]["not_measurable"].as_array().expect("a list");
    let is_utilization = |absence: &&Value| absence["what"] == "gpu_utilization_pct";
    let absence = missing.iter().find(is_utilization).expect("it is named");
    assert_eq!(absence["reason"], "not measured for an instance of MIG");
    let reasons = cell["validity"]["reasons"].as_array().expect("reasons");
    let instance = json!({"status": "VALID", "code": "mig_instance", "gpu": SLOW});
    assert!(reasons.contains(&instance), "{reasons:?}");
    let of = |code: &str| reasons.iter().any(|reason| reason["code"] == code);
    assert!(of("software_gpu"), "an instance of a software GPU is one");
    let words = "power, energy, temperature, clocks and throttling are those of the whole GPU";
    assert!(finished.out.contains(words), "{}", finished.out);
    let gpus = results["environment"]["hosts"][0]["gpus"].as_array().expect("GPUs");
    let part = gpus.iter().find(|gpu| gpu["uuid"] == LARGE).expect("it is listed");
    assert_eq!((&part["device"], &part["parent_uuid"]), (&json!(device), &json!(SLOW)));
    assert_eq!((&part["memory_mb"], &gpus[0]["parent_uuid"]), (&json!(256.0), &Value::Null));
}
