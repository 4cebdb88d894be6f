//! Failures and their messages: a full disk, a port in use, a second controller, agents that run out of memory, crash
//! on a dialogue or are asked to stop. No acknowledged sample is lost.

use scenarios::scripted::{self, RESUME, RUN};
use scenarios::{Finished, Workspace, counted, program, repository, signal};
use sqlx::{SqlitePool, Transaction};
use std::net::TcpListener;
use std::process::Command;

const MATRIX: &str = r#"
name = "failures"
[dataset]
source = "dialogues.jsonl"
samples = SAMPLES
[[model]]
name = "script"
id = "scripted:script.json"
[factors]
batch_sizes = [1, 4]
[protocol]
runs = 1
warmup = 1
"#;

/// A campaign over dialogues `s0`, `s1`, ... with this script.
fn workspace(samples: usize, script: &str) -> Workspace {
    let matrix = MATRIX.replace("SAMPLES", &samples.to_string()) + scripted::HERE;
    let workspace = scripted::workspace(script, &matrix);
    let line = |n: usize| format!("{{\"id\": \"s{n}\", \"dialogue\": \"A: {n}? B: yes.\"}}\n");
    workspace.write("dialogues.jsonl", (0..samples + 4).map(line).collect::<String>());
    workspace
}

/// Two runs of one cell over 20 dialogues; it waits 10 s for an agent that could measure the rest.
fn two_runs(script: &str) -> Workspace {
    two_runs_with(script, "")
}

/// The same with more keys in `[fleet]`.
fn two_runs_with(script: &str, fleet: &str) -> Workspace {
    let workspace = workspace(20, script);
    let matrix = MATRIX.replace("SAMPLES", "20").replace("[1, 4]", "[1]");
    let matrix = matrix.replace("runs = 1", "runs = 2")
        + scripted::HERE
        + "[fleet]\nwait = \"10s\"\n"
        + fleet;
    workspace.write("matrix.toml", matrix);
    workspace
}

/// A campaign that takes real time.
fn paced(samples: usize) -> Workspace {
    workspace(samples, &scripted::script(true))
}

#[test]
fn a_second_controller_of_a_campaign_is_refused() {
    let workspace = paced(60);
    let mut first = workspace.start(&RUN);
    first.until(" joined for ");
    let second = workspace.run(&RESUME).expect(2);
    assert!(second.err.contains("is held by another controller"), "{}", second.err);
    let _ = first.finish().expect(0);
    assert_eq!(counted(&workspace.samples("results.json")).len(), 120);
}

#[test]
fn a_port_in_use_is_reported_and_the_campaign_runs_on_another() {
    let workspace = workspace(10, "{}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address").to_string();
    let listen = ["--listen", &address];
    let refused = workspace.run(&[&RUN[..], &listen].concat()).expect(2);
    let told = format!("can't listen on `{address}`: choose another port with --listen");
    assert!(refused.err.contains(&told), "{}", refused.err);
    // A campaign that was refused before it measured is neither listed nor `latest`.
    let listed = workspace.run(&["history", "--data-dir", "data"]).expect(0);
    assert!(listed.out.contains("no campaigns yet"), "{}", listed.out);
    let _ = workspace.run(&RESUME).expect(2);
    let _ = workspace.run(&RUN).expect(0);
    assert_eq!(counted(&workspace.samples("results.json")).len(), 20);
}

#[test]
fn a_killed_campaign_is_interrupted_and_can_be_deleted() {
    let workspace = paced(60);
    let mut killed = workspace.start(&RUN);
    killed.until(" joined for ");
    let listed = || {
        let listed = workspace.run(&["history", "--json", "--data-dir", "data"]).expect(0);
        serde_json::from_str::<serde_json::Value>(&listed.out).expect("a list as JSON")
    };
    assert_eq!(listed()[0]["state"], "running");
    let id = listed()[0]["campaign"].as_str().expect("an id").to_owned();
    let refused = workspace.run(&["delete", &id, "--data-dir", "data"]).expect(2);
    assert!(refused.err.contains("is held by another controller"), "{}", refused.err);
    let _ = workspace.run(&["prune", "--keep", "0", "--data-dir", "data"]).expect(0);
    assert_eq!(listed()[0]["state"], "running", "a running campaign is never pruned");
    killed.signal("KILL");
    let _ = killed.finish();
    assert_eq!(listed()[0]["state"], "interrupted");
    let dry = ["prune", "--keep", "0", "--dry-run", "--data-dir", "data"];
    let would = workspace.run(&dry).expect(0);
    assert!(would.out.contains(&format!("would delete {id}")), "{}", would.out);
    let deleted = workspace.run(&["delete", &id, "--data-dir", "data"]).expect(0);
    assert!(deleted.out.contains(&format!("deleted {id}")), "{}", deleted.out);
    assert_eq!(listed(), serde_json::json!([]));
}

#[test]
fn a_campaign_without_a_summary_fails() {
    let fails = (0..14).map(|n| format!("\"s{n}\": {{\"fails\": \"nothing came\"}}"));
    let script = format!("{{\"samples\": {{{}}}}}", fails.collect::<Vec<_>>().join(", "));
    let workspace = workspace(10, &script);
    let finished = workspace.run(&RUN).expect(1);
    assert!(finished.err.contains("no request returned a summary"), "{}", finished.err);
    assert_eq!(workspace.results("results.json")["campaign"]["state"], "complete");
}

#[test]
fn a_panic_of_the_runner_is_named_and_the_rest_is_measured() {
    let workspace = two_runs(r#"{"samples": {"s3": {"breaks": "panic"}}}"#);
    let finished = workspace.run(&RUN).expect(3);
    let told = "the agent panicked: the script panics";
    assert!(finished.err.contains(told), "{}", finished.err);
    let there = counted(&workspace.samples("results.json")).len() as u64;
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["missing_samples"].as_u64(), Some(40 - there));
}

#[test]
fn a_panic_while_the_model_is_inspected_is_named_and_nothing_is_measured() {
    let workspace = two_runs(r#"{"loading": "panic"}"#);
    let finished = workspace.run(&RUN);
    assert!(matches!(finished.code, Some(2 | 3)), "{}", finished.err);
    let told = "the agent panicked: the script panics";
    assert!(finished.err.contains(told), "{}", finished.err);
}

#[test]
fn an_engine_that_hangs_is_named_and_what_it_measured_is_kept() {
    let script = r#"{"samples": {"s3": {"breaks": "hang"}}}"#;
    let workspace = two_runs_with(script, "progress_timeout = \"2s\"\n");
    let finished = workspace.run(&RUN).expect(3);
    // Longer than the timeout where batches were slow before.
    let waited = finished.err.split_once("delivered no batch for ").expect("it is named").1;
    let (seconds, told) = waited.split_once(" s, ").expect("the time has a unit");
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds >= 2), "{}", finished.err);
    assert!(told.starts_with("although it is connected"), "{}", finished.err);
    assert!(finished.err.contains("its agents are gone"), "{}", finished.err);
    let there = counted(&workspace.samples("results.json")).len() as u64;
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["missing_samples"].as_u64(), Some(40 - there));
}

#[test]
fn an_out_of_memory_failure_is_named_and_the_rest_is_measured() {
    let workspace = two_runs(r#"{"samples": {"s3": {"breaks": "out_of_memory"}}}"#);
    let finished = workspace.run(&RUN).expect(3);
    assert!(
        finished.err.contains("out_of_memory: the script fails this batch"),
        "{}",
        finished.err
    );
    assert!(finished.err.contains("--resume"), "{}", finished.err);
    let results = workspace.results("results.json");
    let missing = results["campaign"]["missing_samples"].as_u64().expect("a number");
    let there = counted(&workspace.samples("results.json"));
    assert_eq!(there.len() as u64 + missing, 40);
    assert!(there.iter().all(|place| place.sample_id != "s3"));
}

#[test]
fn a_dialogue_that_crashes_agents_is_set_aside_and_the_rest_is_measured() {
    let workspace = workspace(20, r#"{"samples": {"s7": {"breaks": "abort"}}}"#);
    let finished = workspace.run(&RUN).expect(3);
    assert!(finished.err.contains("agents were lost while measuring it"), "{}", finished.err);
    assert!(finished.err.contains("some shards could not be measured"), "{}", finished.err);
    // Both shards contain it; samples stored before the crash are kept.
    let there = counted(&workspace.samples("results.json"));
    assert!(there.len() < 40 && there.iter().all(|place| place.sample_id != "s7"), "{there:?}");
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["missing_samples"], 40 - there.len());
}

#[test]
fn an_agent_asked_to_stop_returns_its_shard() {
    let workspace = paced(60);
    let mut running = workspace.start(&RUN);
    running.until("samples · ");
    for pid in running.children() {
        signal(pid, "TERM");
    }
    let finished = running.finish().expect(0);
    assert!(!finished.err.contains("was lost"), "a returned shard is not lost: {}", finished.err);
    assert_eq!(counted(&workspace.samples("results.json")).len(), 120);
}

/// Runs a script in a new mount namespace, where an unprivileged user may mount too.
fn in_mount_namespace(workspace: &Workspace, script: &str) -> Finished {
    Finished::of(
        Command::new("unshare")
            .args(["--map-root-user", "--mount", "bash", "-euc", script])
            .current_dir(workspace.path(""))
            .env("CONTROLLER", program("controller")),
    )
}

#[test]
fn a_full_disk_is_reported_and_the_campaign_resumes_once_there_is_room() {
    let workspace = workspace(12_000, "{}");
    std::fs::create_dir(workspace.path("data")).expect("a folder can be made");
    let can_mount = in_mount_namespace(&workspace, "mount -t tmpfs none data");
    if can_mount.code != Some(0) {
        println!("skipped: mounting is not permitted here: {}", can_mount.err);
        return;
    }
    let script = "
        mount -t tmpfs -o size=2m none data
        code=0
        \"$CONTROLLER\" run matrix.toml --data-dir data --output results.json || code=$?
        echo \"first $code\"
        mount -o remount,size=256m data
        \"$CONTROLLER\" run --resume latest --data-dir data --output results.json
    ";
    let finished = in_mount_namespace(&workspace, script).expect(0);
    assert!(finished.out.contains("first 2"), "{}\n{}", finished.out, finished.err);
    assert!(finished.err.contains("the disk is full: free disk space"), "{}", finished.err);
    assert_eq!(counted(&workspace.samples("results.json")).len(), 24_000);
}

/// The lock of another program that writes to the database.
async fn locked(workspace: &Workspace) -> Transaction<'static, sqlx::Sqlite> {
    let path = workspace.path("data/fleetmark.db");
    let pool = SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .expect("the database opens");
    pool.begin_with("BEGIN IMMEDIATE").await.expect("the controller holds no lock between writes")
}

#[test]
fn a_locked_database_is_reported_and_the_campaign_resumes_once_it_is_free() {
    let workspace = paced(60);
    let runtime = tokio::runtime::Runtime::new().expect("the system gives a runtime");
    let mut running = workspace.start(&RUN);
    running.until("samples · ");
    let lock = runtime.block_on(locked(&workspace));
    let stopped = running.finish().expect(2);
    assert!(stopped.err.contains("the database is locked by another process"), "{}", stopped.err);
    assert!(stopped.err.contains("--resume"), "{}", stopped.err);
    runtime.block_on(lock.rollback()).expect("the lock is released");
    let _ = workspace.run(&RESUME).expect(0);
    assert_eq!(counted(&workspace.samples("results.json")).len(), 120);
}

#[test]
fn an_agent_that_runs_out_of_memory_is_reported_and_restarted() {
    let workspace = workspace(4, "");
    // Nothing is loaded before the second target's agent joins, which is after the first one's memory is limited.
    let matrix =
        MATRIX.replace("SAMPLES", "4").replace("scripted:script.json", "dummy:flan-t5-small");
    let tokenizer = repository("agent/src/model_source/tiny/tokenizer.json");
    let tokenizer = format!("tokenizer = {:?}\n[factors]", tokenizer.display().to_string());
    let other =
        "[[target]]\nname = \"other\"\nusd_per_hour = 0.1\n[generation]\nmax_new_tokens = 4\n";
    let matrix = matrix.replace("[factors]", &tokenizer);
    workspace.write("matrix.toml", matrix.replace("[1, 4]", "[1]") + scripted::HERE + other);
    let mut running = workspace.start(&RUN);
    let join = running.join_command();
    running.until(" joined for here");
    let agents = running.children();
    let [agent] = agents[..] else { panic!("{agents:?}") };
    // What it uses now and 64 MiB more: the weights don't fit.
    let status = std::fs::read_to_string(format!("/proc/{agent}/status")).expect("it runs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it has a size");
    let kib: u64 = size.trim_end_matches("kB").trim().parse().expect("it is a number");
    let limit = format!("--as={}", (kib + (64 << 10)) << 10);
    let limited = Command::new("prlimit").args(["--pid", &agent.to_string(), &limit]).status();
    assert!(limited.expect("prlimit is installed").success());
    let arguments =
        ["join", "--controller", &join.controller, "--target", "other", "--threads", "1"];
    let token = ["--token-file", &join.token_file, "--simulate-host", "m1"];
    let joined = workspace.start_agent(&[&arguments[..], &token].concat());
    let finished = running.finish().expect(0);
    let _ = joined.finish().expect(0);
    assert!(
        finished.err.contains("the local agent of here exited with signal"),
        "{}",
        finished.err
    );
    assert!(finished.err.contains("will be restarted: memory allocation of"), "{}", finished.err);
    assert_eq!(counted(&workspace.samples("results.json")).len(), 8);
}

#[test]
fn a_restarted_controller_resumes_its_campaign() {
    let workspace = paced(60);
    let resume = [&RUN[..], &["--continue"]].concat();
    let mut killed = workspace.start(&resume);
    killed.until(" samples · ");
    killed.signal("KILL");
    let _ = killed.finish();

    let _ = workspace.run(&resume).expect(0);
    let results = workspace.results("results.json");
    assert_eq!(counted(&workspace.samples("results.json")).len(), 120);

    // The campaign is complete: nothing is measured twice.
    let again = workspace.run(&resume).expect(0);
    assert!(again.err.contains("is complete: nothing is left to measure"), "{}", again.err);
    assert_eq!(workspace.results("results.json")["campaign"]["id"], results["campaign"]["id"]);

    // Another matrix is another campaign.
    let other = [&resume[..], &["--runs", "2"]].concat();
    let _ = workspace.run(&other).expect(0);
    assert_ne!(workspace.results("results.json")["campaign"]["id"], results["campaign"]["id"]);
}
