//! The database and its faults: its write-ahead log is damaged after a crash, or its file is deleted while it is in use.
//! What was lost is said, what was acknowledged is kept, and the exit code is 3.

use scenarios::scripted::{self, RESUME, RUN};
use scenarios::{Finished, Workspace, counted, generate};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SAMPLES: usize = 120;
const LOG: &str = "data/fleetmark.db-wal";

/// A campaign that takes about two seconds.
fn workspace() -> Workspace {
    let rest = "[protocol]\nruns = 1\nwarmup = 1\n".to_owned() + scripted::HERE;
    scripted::workspace(&scripted::script(true), &scripted::matrix("stored", SAMPLES, &rest))
}

/// A campaign that was killed after some of its samples were acknowledged.
fn killed() -> Workspace {
    let workspace = workspace();
    let mut running = workspace.start(&RUN);
    running.until("samples · ");
    running.signal("KILL");
    let _ = running.finish();
    workspace
}

fn resumes(workspace: &Workspace) {
    let _ = workspace.run(&RESUME).expect(0);
    assert_eq!(counted(&workspace.samples("results.json")).len(), SAMPLES);
}

#[test]
fn a_damaged_log_costs_samples_that_are_named_and_measured_again() {
    let workspace = killed();
    let log = File::options().write(true).open(workspace.path(LOG)).expect("it was left");
    log.write_all_at(&[0xaa; 64], 0).expect("it can be damaged");
    let lost = workspace.run(&RESUME).expect(3);
    assert!(lost.err.contains("acknowledged samples of campaign stored-"), "{}", lost.err);
    assert!(lost.err.contains("fleetmark.db-wal.kept"), "{}", lost.err);
    assert!(workspace.path("data/fleetmark.db-wal.kept").exists());
    resumes(&workspace);
    let results = workspace.results("results.json");
    let events = results["campaign"]["events"].as_array().expect("a list");
    assert!(events.iter().any(|event| event["kind"] == "samples_lost"), "{events:?}");
}

#[test]
fn a_database_that_is_gone_does_not_look_like_one_without_campaigns() {
    let workspace = killed();
    std::fs::remove_file(workspace.path("data/fleetmark.db")).expect("it is there");
    std::fs::remove_file(workspace.path(LOG)).expect("it is there");
    let lost = workspace.run(&RESUME).expect(3);
    assert!(lost.err.contains("of its samples were acknowledged"), "{}", lost.err);
    // A supervisor's campaign starts anew, and says so.
    let supervised = [&RUN[..], &["--continue"]].concat();
    let anew = workspace.run(&supervised).expect(0);
    assert!(anew.err.contains("warning: campaign stored-"), "{}", anew.err);
}

#[test]
fn a_database_that_is_deleted_while_it_is_used_is_saved() {
    let workspace = workspace();
    let mut running = workspace.start(&RUN);
    running.until("samples · ");
    std::fs::remove_file(workspace.path("data/fleetmark.db")).expect("it is there");
    let stopped = running.finish().expect(3);
    assert!(stopped.err.contains("was deleted or replaced while it was in use"), "{}", stopped.err);
    assert!(stopped.err.contains("all samples were saved"), "{}", stopped.err);
    resumes(&workspace);
}

#[test]
fn agents_write_whole_files_or_none() {
    let workspace = Workspace::default();
    let mut command = generate::command(&workspace, &["builtin:tiny"]);
    std::fs::create_dir(workspace.path("out.jsonl")).expect("a folder can be made");
    let refused = Finished::of(&mut command).expect(2);
    assert!(refused.err.contains("`out.jsonl` is a folder"), "{}", refused.err);

    std::fs::remove_dir(workspace.path("out.jsonl")).expect("it is empty");
    let other = workspace.write("other", "kept");
    std::fs::hard_link(&other, workspace.path("out.jsonl")).expect("links are supported");
    let _ = Finished::of(&mut command).expect(0);
    assert_eq!(std::fs::read(&other).expect("it is there"), b"kept");
    assert!(generate::output(&workspace).contains("\"id\":\"a\""));

    // The first line is decoded, the second has an id that the vocabulary lacks.
    let lines = "{\"id\": 1, \"dialogue\": \"A: hi\"}\n{\"id\": 2, \"input_ids\": [99999999, 1]}\n";
    let before = generate::output(&workspace);
    workspace.write("in.jsonl", lines);
    let failed = Finished::of(&mut command);
    assert_ne!(failed.code, Some(0), "{}", failed.err);
    assert_eq!(generate::output(&workspace), before);
}
