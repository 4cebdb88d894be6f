//! Invalid input exits with code 2 and one message with the value, its place and the way out, without a backtrace.

use scenarios::{Finished, Workspace};
use std::fs::File;

const MATRIX: &str = r#"
name = "bad"
[dataset]
source = "DATA"
samples = SAMPLES
[[model]]
name = "m"
id = "MODEL"
[protocol]
runs = 1
warmup = 0
[[fleet.local]]
target = "here"
usd_per_hour = 0.1
"#;

struct Case {
    data: &'static str,
    samples: &'static str,
    model: &'static str,
}

const GOOD: Case = Case { data: "builtin:dialogues", samples: "4", model: "builtin:tiny" };

/// The message for a matrix with one mistake; this machine's paths are replaced.
fn refused(case: &Case, files: &[(&str, &[u8])]) -> String {
    let workspace = Workspace::default();
    for (name, content) in files {
        workspace.write(name, content);
    }
    let matrix = MATRIX
        .replace("DATA", case.data)
        .replace("SAMPLES", case.samples)
        .replace("MODEL", case.model);
    workspace.write("matrix.toml", matrix);
    let finished = workspace.run(&["run", "matrix.toml", "--quiet"]).expect(2);
    assert!(finished.out.is_empty(), "{}", finished.out);
    assert!(!finished.err.contains("stack backtrace"), "{}", finished.err);
    let folder = workspace.path("");
    finished.err.replace(folder.to_str().expect("the path is UTF-8"), "FOLDER/")
}

#[test]
fn a_missing_matrix() {
    let workspace = Workspace::default();
    let finished = workspace.run(&["run", "nowhere.toml"]).expect(2);
    insta::assert_snapshot!(finished.err);
}

#[test]
fn a_matrix_that_is_not_utf8() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", b"name = \"\xff\"");
    let finished = workspace.run(&["run", "matrix.toml"]).expect(2);
    insta::assert_snapshot!(finished.err);
}

#[test]
fn a_matrix_in_another_encoding_is_read_and_a_pointer_is_named() {
    let workspace = Workspace::default();
    let text =
        MATRIX.replace("DATA", GOOD.data).replace("SAMPLES", "4").replace("MODEL", GOOD.model);
    let text = format!("\u{feff}{text}");
    for bytes in
        [text.clone().into_bytes(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()]
    {
        workspace.write("matrix.toml", bytes);
        let planned = workspace.run(&["plan", "matrix.toml"]).expect(0);
        assert!(planned.out.contains("over the same 4 dialogues"), "{}", planned.out);
    }
    for (bytes, named) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run `git lfs pull`"),
        ("<!DOCTYPE html><title>404</title>", "is an HTML page"),
    ] {
        workspace.write("matrix.toml", bytes);
        let finished = workspace.run(&["run", "matrix.toml"]).expect(2);
        assert!(finished.err.starts_with("error: matrix.toml is "), "{}", finished.err);
        assert!(finished.err.contains(named), "{}", finished.err);
    }
}

#[test]
fn a_matrix_with_two_mistakes_reports_both() {
    insta::assert_snapshot!(refused(&Case { samples: "-1\nsampels = 4", ..GOOD }, &[]));
}

#[test]
fn more_samples_than_dialogues() {
    insta::assert_snapshot!(refused(&Case { samples: "100000", ..GOOD }, &[]));
}

#[test]
fn missing_data() {
    insta::assert_snapshot!(refused(&Case { data: "nowhere.jsonl", ..GOOD }, &[]));
}

#[test]
fn data_with_a_duplicate_id() {
    let data =
        b"{\"id\": \"a\", \"dialogue\": \"A: hi\"}\n{\"id\": \"a\", \"dialogue\": \"B: hi\"}\n";
    insta::assert_snapshot!(refused(
        &Case { data: "twice.jsonl", ..GOOD },
        &[("twice.jsonl", data)]
    ));
}

#[test]
fn data_without_rows() {
    insta::assert_snapshot!(refused(
        &Case { data: "empty.jsonl", ..GOOD },
        &[("empty.jsonl", b"")]
    ));
}

#[test]
fn data_that_is_not_utf8() {
    let data = b"{\"id\": \"a\", \"dialogue\": \"\xff\"}\n";
    insta::assert_snapshot!(refused(
        &Case { data: "latin.jsonl", ..GOOD },
        &[("latin.jsonl", data)]
    ));
}

/// `plan` over three rows, one of which has neither a dialogue nor a summary.
fn plan_of_three_rows(rows: &str, generation: &str) -> std::process::Output {
    let workspace = Workspace::default();
    workspace.write("data.csv", format!("id;dialogue;summary\n1;A: x;s\n2;A: y;s\n{rows}"));
    let matrix = MATRIX.replace("DATA", "data.csv").replace("SAMPLES", "0");
    workspace.write("matrix.toml", matrix.replace("MODEL", "builtin:tiny") + generation);
    workspace.controller(&["plan", "matrix.toml"]).output().expect("the controller starts")
}

#[test]
fn a_row_without_dialogue_is_listed_and_the_others_are_planned() {
    let planned = plan_of_three_rows("3;;s\n", "");
    let (out, err) =
        (String::from_utf8_lossy(&planned.stdout), String::from_utf8_lossy(&planned.stderr));
    assert!(out.contains("over the same 2 dialogues"), "{out}{err}");
    for words in ["1 of 3 rows", "(id 3)", "the dialogue is empty", "separated by semicolons"] {
        assert!(err.contains(words), "{err}");
    }
}

#[test]
fn lengths_of_references_require_a_reference_of_each_dialogue() {
    let planned = plan_of_three_rows("3;A: z;\n", "[generation]\nstop = \"reference\"\n");
    let err = String::from_utf8_lossy(&planned.stderr);
    assert_eq!(planned.status.code(), Some(2), "{err}");
    assert!(err.contains("dialogue `3` has no reference summary"), "{err}");
}

#[test]
fn a_model_folder_without_files() {
    insta::assert_snapshot!(refused(&Case { model: "./model", ..GOOD }, &[]));
}

#[test]
fn a_dummy_without_a_tokenizer() {
    insta::assert_snapshot!(refused(&Case { model: "dummy:flan-t5-small", ..GOOD }, &[]));
}

#[test]
fn a_port_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has one").to_string();
    let workspace = Workspace::default();
    let matrix =
        MATRIX.replace("DATA", GOOD.data).replace("SAMPLES", "4").replace("MODEL", GOOD.model);
    workspace.write("matrix.toml", matrix);
    let finished =
        workspace.run(&["run", "matrix.toml", "--quiet", "--listen", &address]).expect(2);
    let said = finished.err.replace(&address, "ADDRESS");
    insta::assert_snapshot!(said);
}

#[test]
fn a_port_off_loopback() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", MATRIX);
    let finished = workspace.run(&["run", "matrix.toml", "--listen", "0.0.0.0:7437"]).expect(2);
    insta::assert_snapshot!(finished.err);
}

#[test]
fn a_data_folder_that_cannot_be_written() {
    let workspace = Workspace::default();
    let matrix =
        MATRIX.replace("DATA", GOOD.data).replace("SAMPLES", "4").replace("MODEL", GOOD.model);
    workspace.write("matrix.toml", matrix);
    workspace.write("file", "x");
    let finished =
        workspace.run(&["run", "matrix.toml", "--quiet", "--data-dir", "file"]).expect(2);
    insta::assert_snapshot!(finished.err);
}

#[test]
fn a_result_that_cannot_be_written_ends_with_2() {
    let workspace = Workspace::default();
    workspace.write("in.jsonl", "{\"id\": \"a\", \"dialogue\": \"Ann: Lunch?\\nBob: Yes.\"}\n");
    let bench =
        "bench --model builtin:tiny --input in.jsonl --samples 1 --batch-size 1 --new-tokens 1";
    let bench: Vec<&str> = bench.split(' ').collect();
    for mut command in [
        workspace.controller(&["--help"]),
        workspace.controller(&["history"]),
        workspace.controller(&["certs", "init", "--dir", "certs"]),
        workspace.agent(&["--version"]),
        workspace.agent(&bench),
    ] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has this device");
        let finished = Finished::of(command.stdout(full)).expect(2);
        let message = "error: can't write to standard output\n  caused by: No space left on device";
        assert!(finished.err.contains(message), "{command:?}: {}", finished.err);
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let workspace = Workspace::default();
    for mut command in [workspace.controller(&["--help"]), workspace.agent(&["--help"])] {
        let (reader, writer) = std::io::pipe().expect("the system has pipes");
        drop(reader);
        let finished = Finished::of(command.stdout(writer)).expect(0);
        assert_eq!(finished.err, "", "{command:?}");
    }
}
