//! Paths that name no file: pipes, folders, devices and links, as inputs and as outputs.

#![expect(clippy::unwrap_used, reason = "what sets a test up fails it where it can't")]

use super::campaigns::{Made, controller, said, write};
use std::fs::read_to_string;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const MATRIX: &str = "name = \"m\"\n[dataset]\nsource = \"DATA\"\nsamples = 4\n[[model]]\nname = \"t\"\nid = \"builtin:tiny\"\n\
                      [[target]]\nname = \"ml.x\"\n[cost]\nprice_book = \"BOOK\"\nservice = \"s\"\nregion = \"r\"\n";

/// A folder with a named pipe that nobody writes to.
fn with_pipe() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe.jsonl");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    (folder, pipe)
}

fn stored() -> TempDir {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join(".fleetmark"), &Made::default());
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_named_pipe_as_an_input_is_refused_and_not_waited_for() {
    let (folder, pipe) = with_pipe();
    symlink(&pipe, folder.path().join("results.json")).unwrap();
    let matrix = |name: &str, data: &str, book: &str| {
        let text = MATRIX.replace("DATA", data).replace("BOOK", book);
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    matrix("data.toml", "pipe.jsonl", "book.toml");
    matrix("book.toml", "builtin:dialogues", "pipe.jsonl");
    for arguments in [
        &["plan", "pipe.jsonl"][..],
        &["plan", "data.toml"],
        &["plan", "book.toml"],
        &["prices", "list", "--book", "pipe.jsonl"],
        &["report", "--prices", "pipe.jsonl"],
    ] {
        let refused = said(&controller(folder.path(), arguments));
        assert!(refused.starts_with("exit 2\n"), "{arguments:?}: {refused}");
        assert!(
            refused.contains("pipe.jsonl") && refused.contains("expected a file, found a pipe")
                || arguments[0] == "report" && refused.contains("no campaign"),
            "{arguments:?}: {refused}"
        );
    }
    let refused = said(&controller(folder.path(), &["compare", "results.json", "results.json"]));
    assert!(refused.starts_with("exit 2\n") && refused.contains("results.json"), "{refused}");
}

#[test]
fn a_matrix_is_read_from_standard_input() {
    let folder = TempDir::new().unwrap();
    let text = MATRIX.replace("DATA", "builtin:dialogues");
    let text = text.split("[cost]").next().unwrap().to_owned() + "usd_per_hour = 1.0\n";
    let mut child = Command::new(env!("CARGO_BIN_EXE_controller"))
        .current_dir(folder.path())
        .args(["plan", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let planned = said(&child.wait_with_output().unwrap());
    assert!(planned.starts_with("exit 0\n"), "{planned}");
}

#[test]
fn a_stream_gets_a_copy_of_the_results_and_stays_what_it_is() {
    let folder = stored();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let null = folder.path().join("null");
    symlink("/dev/null", &null).unwrap();
    let piped = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_to_string(&pipe).unwrap());
        let reported = said(&controller(folder.path(), &["report", "--output", "pipe"]));
        // A report that fails doesn't open the pipe, which would keep its reader waiting. This doesn't wait itself.
        drop(std::fs::File::options().read(true).write(true).open(&pipe));
        assert!(reported.starts_with("exit 0\n"), "{reported}");
        reader.join().unwrap()
    });
    let reported = said(&controller(folder.path(), &["report", "--output", "null"]));
    assert!(reported.starts_with("exit 0\n"), "{reported}");
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    assert_eq!(null.read_link().unwrap(), Path::new("/dev/null"));
    assert_eq!(names(folder.path()), [".fleetmark", "null", "pipe"]);
    let own = folder.path().join(".fleetmark/campaigns").join(Made::default().id);
    assert_eq!(piped, read_to_string(own.join("results.json")).unwrap());
    assert!(own.join("results.samples.parquet").is_file());

    let arguments = ["report", "--output", "null", "--formats", "html"];
    let refused = said(&controller(folder.path(), &arguments));
    assert!(refused.starts_with("exit 2\n") && refused.contains("only json"), "{refused}");
}

#[test]
fn standard_output_by_its_path_keeps_the_table_and_the_results() {
    let folder = stored();
    let reported = controller(folder.path(), &["report", "--output", "/dev/stdout"]);
    let piped = String::from_utf8(reported.stdout).unwrap();
    let redirected = folder.path().join("redirected");
    let status = Command::new(env!("CARGO_BIN_EXE_controller"))
        .current_dir(folder.path())
        .args(["report", "--output", "/dev/stdout"])
        .stdout(std::fs::File::create(&redirected).unwrap())
        .status();
    assert!(status.unwrap().success());
    assert!(piped.contains("\"schema_version\"") && piped.contains("USD per 1,000"), "{piped}");
    assert_eq!(read_to_string(redirected).unwrap(), piped);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_by_name_and_leave_nothing() {
    let folder = stored();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::create_dir(path("x.samples.parquet")).unwrap();
    std::fs::write(path("file"), "kept").unwrap();
    let before = names(folder.path());
    for (arguments, words) in [
        (&["--output", "folder"][..], "`folder` is a folder"),
        (&["--output", "missing/"], "`missing/` is a folder"),
        (&["--output", "x.json"], "x.samples.parquet` is a folder"),
        (&["--output", "file/x.json"], "can't write file/x"),
        (&["--output-dir", "file"], "can't write file/"),
        (&["--output", "cells.csv", "--formats", "json,csv"], "two files are named cells.csv"),
    ] {
        let refused = said(&controller(folder.path(), &[&["report"], arguments].concat()));
        assert!(refused.starts_with("exit 2\n"), "{arguments:?}: {refused}");
        assert!(refused.contains(words), "{arguments:?}: {refused}");
    }
    assert_eq!(names(folder.path()), before);
    assert_eq!(read_to_string(path("file")).unwrap(), "kept");
}

#[test]
fn logs_in_the_form_of_loadgen_have_a_folder_for_each_cell() {
    let folder = stored();
    let path = |name: &str| folder.path().join(name);
    let report = ["report", "--formats", "mlperf", "--output-dir"];
    let written = said(&controller(folder.path(), &[&report[..], &["out"]].concat()));
    assert!(written.starts_with("exit 0\n") && written.contains("mlperf out/mlperf"), "{written}");
    assert_eq!(names(&path("out")), ["mlperf"]);
    let cells = names(&path("out/mlperf"));
    assert!(!cells.is_empty());
    for cell in &cells {
        let logs = path("out/mlperf").join(cell);
        assert_eq!(names(&logs), ["mlperf_log_detail.txt", "mlperf_log_summary.txt"]);
        let detail = read_to_string(logs.join("mlperf_log_detail.txt")).unwrap();
        assert!(detail.starts_with(":::MLLOG {"), "{detail}");
    }
    let printed = ["report", "--formats", "mlperf", "--output", "-"];
    let printed = said(&controller(folder.path(), &printed));
    assert_eq!(printed.matches("MLPerf Results Summary").count(), cells.len(), "{printed}");

    std::fs::create_dir(path("taken")).unwrap();
    std::fs::write(path("taken/mlperf"), "a file").unwrap();
    let refused = said(&controller(folder.path(), &[&report[..], &["taken"]].concat()));
    assert!(
        refused.starts_with("exit 2\n") && refused.contains("can't write taken/mlperf"),
        "{refused}"
    );
}

#[test]
fn a_run_names_an_unusable_output_before_it_creates_a_campaign() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    // Its agents never join: a run that begins waits for them.
    let text = MATRIX.replace("DATA", "builtin:dialogues");
    let text = text.split("[cost]").next().unwrap().to_owned() + "usd_per_hour = 1.0\n";
    std::fs::write(folder.path().join("matrix.toml"), &text).unwrap();
    for (output, words) in [("folder", "`folder` is a folder"), ("-", "expected a file")] {
        let arguments = ["run", "matrix.toml", "--output", output];
        let refused = said(&controller(folder.path(), &arguments));
        assert!(refused.starts_with("exit 2\n") && refused.contains(words), "{refused}");
    }
    assert_eq!(names(folder.path()), ["folder", "matrix.toml"]);

    // What only the matrix tells is found before the first agent, and the campaign is not kept.
    std::fs::create_dir(folder.path().join("report.html")).unwrap();
    let text = text + "[fleet]\nwait = \"1s\"\n[report]\nformats = [\"html\"]\n";
    std::fs::write(folder.path().join("matrix.toml"), text).unwrap();
    let refused = controller(folder.path(), &["run", "matrix.toml", "--output", "x.json"]);
    let refused = said(&refused);
    assert!(refused.starts_with("exit 2\n"), "{refused}");
    assert!(refused.contains("report.html` is a folder"), "{refused}");
    let listed = said(&controller(folder.path(), &["history"]));
    assert!(listed.contains("no campaigns yet"), "{listed}");
}

#[test]
fn deleting_a_campaign_removes_links_and_not_their_targets() {
    let folder = stored();
    let precious = folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("file"), "kept").unwrap();
    let id = Made::default().id;
    let own = folder.path().join(".fleetmark/campaigns").join(id);
    symlink(&precious, own.join("link")).unwrap();
    let deleted = said(&controller(folder.path(), &["delete", id]));
    assert!(deleted.starts_with("exit 0\n") && !own.exists(), "{deleted}");
    assert_eq!(names(&precious), ["file"]);

    // A folder that was moved to another disk, and linked.
    write(&folder.path().join(".fleetmark"), &Made::default());
    std::fs::remove_dir_all(&own).unwrap();
    symlink(&precious, &own).unwrap();
    let pruned = said(&controller(folder.path(), &["prune", "--keep", "0"]));
    assert!(pruned.starts_with("exit 0\n") && own.symlink_metadata().is_err(), "{pruned}");
    assert_eq!(read_to_string(precious.join("file")).unwrap(), "kept");
}

#[test]
fn files_with_secrets_never_replace_or_follow_what_exists() {
    let folder = stored();
    let (token, other) = (folder.path().join("gpu-1.token"), folder.path().join("other"));
    symlink(&other, &token).unwrap();
    let refused = said(&controller(folder.path(), &["agents", "add", "gpu-1"]));
    assert!(refused.starts_with("exit 2\n") && refused.contains("already exists"), "{refused}");
    assert!(!other.exists());
    let refused = said(&controller(folder.path(), &["init", "gpu-1.token"]));
    assert!(refused.starts_with("exit 2\n") && !other.exists(), "{refused}");
}
