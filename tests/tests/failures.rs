//! What breaks, and what is said: a full disk, a port that is taken, a second controller, agents that run out of memory, die of a dialogue or
//! are told to stop. Nothing that was acknowledged is lost.

use scenarios::{Finished, Workspace, kills, program, repository, signal};
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
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"#;

/// A campaign on dialogues `s0`, `s1` ... with this script.
fn workspace(samples: usize, script: &str) -> Workspace {
    let workspace = Workspace::default();
    let line = |n: usize| format!("{{\"id\": \"s{n}\", \"dialogue\": \"A: {n}? B: yes.\"}}\n");
    workspace.write("dialogues.jsonl", (0..samples + 4).map(line).collect::<String>());
    workspace.write("script.json", script);
    workspace.write("matrix.toml", MATRIX.replace("SAMPLES", &samples.to_string()));
    workspace
}

const PACED: &str = r#"{"prompt_ms": 5, "token_ms": 1, "output_tokens": 10, "paced": true}"#;
const RUN: [&str; 6] = ["run", "matrix.toml", "--data-dir", "data", "--output", "results.json"];
const RESUME: [&str; 7] =
    ["run", "--resume", "latest", "--data-dir", "data", "--output", "results.json"];

#[test]
fn a_second_controller_of_a_campaign_is_refused() {
    let workspace = workspace(60, PACED);
    let mut first = workspace.start(&RUN);
    first.until(" joined for ");
    let second = workspace.run(&RESUME).expect(2);
    assert!(second.err.contains("is held by another controller"), "{}", second.err);
    let _ = first.finish().expect(0);
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 120);
}

#[test]
fn a_port_that_is_taken_is_told_and_the_campaign_is_run_on_another() {
    let workspace = workspace(10, "{}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let listen = ["--listen", &address];
    let refused = workspace.run(&[&RUN[..], &listen].concat()).expect(2);
    let told = format!("can't listen on {address}: choose another port with --listen");
    assert!(refused.err.contains(&told), "{}", refused.err);
    let _ = workspace.run(&RESUME).expect(0);
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 20);
}

#[test]
fn an_agent_without_memory_fails_by_name_and_the_rest_is_measured() {
    let script = r#"{"samples": {"s3": {"breaks": "out_of_memory"}}}"#;
    let workspace = workspace(20, script);
    let mut matrix = MATRIX.replace("SAMPLES", "20").replace("[1, 4]", "[1]");
    matrix = matrix.replace("runs = 1", "runs = 2") + "[fleet]\nwait = \"10s\"\n";
    workspace.write("matrix.toml", matrix);
    let finished = workspace.run(&RUN).expect(3);
    assert!(finished.err.contains("out_of_memory: the script breaks here"), "{}", finished.err);
    assert!(finished.err.contains("--resume"), "{}", finished.err);
    let results = workspace.results("results.json");
    let missing = results["campaign"]["missing_samples"].as_u64().expect("a number");
    let there = kills::counted(&workspace.samples("results.json"));
    assert_eq!(there.len() as u64 + missing, 40);
    assert!(there.iter().all(|place| place.2 != "s3"));
}

#[test]
fn a_dialogue_that_agents_die_of_is_set_aside_and_the_rest_is_measured() {
    let workspace = workspace(20, r#"{"samples": {"s7": {"breaks": "abort"}}}"#);
    let finished = workspace.run(&RUN).expect(3);
    assert!(finished.err.contains("agents were lost while they measured it"), "{}", finished.err);
    assert!(finished.err.contains("some shards could not be measured"), "{}", finished.err);
    // Both shards hold it: what was stored before it stays.
    let there = kills::counted(&workspace.samples("results.json"));
    assert!(there.len() < 40 && there.iter().all(|place| place.2 != "s7"), "{there:?}");
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["missing_samples"], 40 - there.len());
}

#[test]
fn an_agent_that_is_told_to_stop_gives_its_shard_back() {
    let workspace = workspace(60, PACED);
    let mut running = workspace.start(&RUN);
    running.until("samples · ");
    for pid in running.children() {
        signal(pid, "TERM");
    }
    let finished = running.finish().expect(0);
    assert!(!finished.err.contains("was lost"), "it is no loss: {}", finished.err);
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 120);
}

/// Runs a script in a mount namespace of its own, where an unprivileged user may mount too.
fn in_own_mounts(workspace: &Workspace, script: &str) -> Finished {
    Finished::of(
        Command::new("unshare")
            .args(["--map-root-user", "--mount", "bash", "-euc", script])
            .current_dir(workspace.path(""))
            .env("CONTROLLER", program("controller")),
    )
}

#[test]
fn a_full_disk_is_told_and_the_campaign_goes_on_when_there_is_room() {
    let workspace = workspace(12_000, "{}");
    std::fs::create_dir(workspace.path("data")).expect("a folder can be made");
    let can_mount = in_own_mounts(&workspace, "mount -t tmpfs none data");
    if can_mount.code != Some(0) {
        println!("skipped: this system lets nobody mount: {}", can_mount.err);
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
    let finished = in_own_mounts(&workspace, script).expect(0);
    assert!(finished.out.contains("first 2"), "{}\n{}", finished.out, finished.err);
    assert!(finished.err.contains("the disk is full: free disk space"), "{}", finished.err);
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 24_000);
}

/// What another program holds that writes into the database and doesn't get on.
async fn locked(workspace: &Workspace) -> Transaction<'static, sqlx::Sqlite> {
    let path = workspace.path("data/fleetmark.db");
    let pool = SqlitePool::connect(&format!("sqlite:{}", path.display())).await.expect("it opens");
    pool.begin_with("BEGIN IMMEDIATE").await.expect("the controller lets others write, too")
}

#[test]
fn a_locked_database_is_told_and_the_campaign_goes_on_when_it_is_free() {
    let workspace = workspace(60, PACED);
    let runtime = tokio::runtime::Runtime::new().expect("the system gives a runtime");
    let mut running = workspace.start(&RUN);
    running.until("samples · ");
    let lock = runtime.block_on(locked(&workspace));
    let stopped = running.finish().expect(2);
    assert!(stopped.err.contains("the database is locked by another process"), "{}", stopped.err);
    assert!(stopped.err.contains("--resume"), "{}", stopped.err);
    runtime.block_on(lock.rollback()).expect("it is given back");
    let _ = workspace.run(&RESUME).expect(0);
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 120);
}

#[test]
fn an_agent_that_runs_out_of_memory_is_told_and_started_again() {
    let workspace = workspace(4, "");
    // The other target's agent comes when the first one's memory is short, and no sooner is anything loaded.
    let matrix =
        MATRIX.replace("SAMPLES", "4").replace("scripted:script.json", "dummy:flan-t5-small");
    let tokenizer = repository("agent/src/model_source/tiny/tokenizer.json");
    let tokenizer = format!("tokenizer = {:?}\n[factors]", tokenizer.display().to_string());
    let other =
        "[[target]]\nname = \"other\"\nusd_per_hour = 0.1\n[generation]\nmax_new_tokens = 4\n";
    let matrix = matrix.replace("[factors]", &tokenizer);
    workspace.write("matrix.toml", matrix.replace("[1, 4]", "[1]") + other);
    let mut running = workspace.start(&RUN);
    let line = running.until("agent join");
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |flag: &str| {
        words.iter().skip_while(|word| **word != flag).nth(1).expect("the line has it").to_string()
    };
    running.until(" joined for here");
    let agents = running.children();
    let [agent] = agents[..] else { panic!("{agents:?}") };
    // As much as it has, and a little more: the weights don't fit.
    let status = std::fs::read_to_string(format!("/proc/{agent}/status")).expect("it runs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it has a size");
    let kib: u64 = size.trim_end_matches("kB").trim().parse().expect("it is a number");
    let limit = format!("--as={}", (kib + (64 << 10)) << 10);
    let limited = Command::new("prlimit").args(["--pid", &agent.to_string(), &limit]).status();
    assert!(limited.expect("prlimit is there").success());
    let arguments =
        ["join", "--controller", &after("--controller"), "--target", "other", "--threads", "1"];
    let token = ["--token-file", &after("--token-file"), "--simulate-host", "m1"];
    let joined = workspace.start_agent(&[&arguments[..], &token].concat());
    let finished = running.finish().expect(0);
    let _ = joined.finish().expect(0);
    assert!(finished.err.contains("the local agent of here ended with signal"), "{}", finished.err);
    assert!(finished.err.contains("is started again: memory allocation of"), "{}", finished.err);
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 8);
}

#[test]
fn a_controller_that_is_started_again_goes_on_with_its_campaign() {
    let workspace = workspace(60, PACED);
    let go_on = [&RUN[..], &["--continue"]].concat();
    let mut killed = workspace.start(&go_on);
    killed.until(" samples · ");
    killed.signal("KILL");
    let _ = killed.finish();

    let _ = workspace.run(&go_on).expect(0);
    let results = workspace.results("results.json");
    assert_eq!(kills::counted(&workspace.samples("results.json")).len(), 120);

    // It has ended, and nothing is measured twice.
    let again = workspace.run(&go_on).expect(0);
    assert!(again.err.contains("is complete: nothing is left to measure"), "{}", again.err);
    assert_eq!(workspace.results("results.json")["campaign"]["id"], results["campaign"]["id"]);

    // Another matrix is another campaign.
    let other = [&go_on[..], &["--runs", "2"]].concat();
    let _ = workspace.run(&other).expect(0);
    assert_ne!(workspace.results("results.json")["campaign"]["id"], results["campaign"]["id"]);
}
