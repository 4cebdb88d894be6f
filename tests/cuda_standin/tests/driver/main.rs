//! The driver's functions, called through cudarc by a program of its own with the library on the
//! loader's path.

#![expect(unsafe_code, reason = "cudarc's functions that take addresses and handles are unsafe")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod programs;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The library, which `cargo test` has built.
fn library() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let deps = tests.parent().unwrap();
    let found = [deps, deps.parent().unwrap()].map(|folder| folder.join("libcuda_standin.so"));
    found.into_iter().find(|path| path.exists()).expect("cargo test builds the library")
}

/// Runs a program of `programs.rs`, which finds the library under the driver's names.
fn run(program: &str, variables: &[(&str, &str)]) -> (Output, Value) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::os::unix::fs::symlink(library(), folder.path().join(name)).unwrap();
    }
    let report = folder.path().join("report.json");
    let output = command(program, folder.path())
        .env("CUDA_STANDIN_REPORT", &report)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let report = std::fs::read_to_string(report).unwrap_or_default();
    (output, serde_json::from_str(&report).unwrap_or_default())
}

fn command(program: &str, libraries: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("programs::{program}"), "--ignored", "--nocapture"]);
    command.env("LD_LIBRARY_PATH", libraries);
    command
}

/// Runs a program that must succeed; returns its report.
fn succeed(program: &str, variables: &[(&str, &str)]) -> Value {
    let (output, report) = run(program, variables);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    report
}

#[test]
fn a_device_says_that_it_is_software() {
    succeed("device", &[]);
}

#[test]
fn vectors_are_added() {
    let report = succeed("vector_add", &[]);
    assert_eq!(report["device"], "Fleetmark software GPU");
    let kernel = &report["kernels"]["vector_add"];
    assert_eq!((&kernel["launches"], &kernel["blocks"]), (&1.into(), &8.into()), "{report:#}");
    assert_eq!((&kernel["read_bytes"], &kernel["written_bytes"]), (&8000.into(), &4000.into()));
    assert_eq!(report["peak_bytes"], 3 * 4096 + 256);
    assert_eq!(report["faults"], Value::Array(Vec::new()));
}

#[test]
fn rows_are_summed_and_matrices_multiplied() {
    for seed in ["0", "1", "2"] {
        succeed("sums_and_products", &[("CUDA_STANDIN_SEED", seed), ("CUDA_STANDIN_ERRORS", seed)]);
    }
}

#[test]
fn a_captured_graph_is_replayed() {
    let report = succeed("graph", &[]);
    assert_eq!(report["graph_launches"], 3);
    let graph = &report["graphs"][0];
    assert_eq!((&graph["nodes"], &graph["kernel_nodes"]), (&4.into(), &2.into()), "{report:#}");
    assert_eq!(graph["launches"], 3);
    assert_eq!(graph["last"]["read_bytes"], 2 * 8000);
}

#[test]
fn spoilt_captures_are_reported() {
    succeed("captures", &[]);
}

#[test]
fn faults_stay_with_the_context_and_are_described() {
    let report = succeed("fault", &[]);
    let fault = report["faults"][0].as_str().unwrap();
    assert!(fault.starts_with("access out of bounds in kernel `vector_add`, line "), "{fault}");
}

#[test]
fn memory_runs_out_where_it_is_told_to() {
    succeed("out_of_memory", &[("CUDA_STANDIN_MEMORY", "1048576")]);
}

#[test]
fn old_drivers_refuse_newer_texts() {
    succeed("old_driver", &[("CUDA_STANDIN_DRIVER_VERSION", "10010")]);
}

#[test]
fn machines_without_devices_say_so() {
    succeed("no_device", &[("CUDA_STANDIN_DEVICES", "0")]);
}

#[test]
fn the_call_that_is_told_to_fails() {
    succeed("failing_call", &[("CUDA_STANDIN_FAIL", "cuMemAlloc_v2:2:999")]);
}

#[test]
fn two_devices_are_told_apart() {
    succeed("two_devices", &[("CUDA_STANDIN_DEVICES", "2")]);
}
