//! The output of `--help`.

use std::process::Command;

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_controller"))
        .args(arguments)
        .arg("--help")
        .output()
        .expect("the binary is built");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

#[test]
fn the_program_lists_its_commands() {
    insta::assert_snapshot!(help(&[]));
}

#[test]
fn every_command_has_an_example() {
    let commands = [
        "run",
        "plan",
        "report",
        "compare",
        "decide",
        "bundle",
        "verify",
        "history",
        "delete",
        "prune",
        "prices",
        "notify",
        "health",
        "certs",
        "agents",
        "launch",
        "doctor",
        "init",
        "completions",
    ];
    for command in commands {
        let text = help(&[command]);
        assert!(text.contains("Example"), "{text}");
        insta::assert_snapshot!(command, text);
    }
    insta::assert_snapshot!("launch_sagemaker", help(&["launch", "sagemaker"]));
}

fn run(arguments: &[&str], folder: &std::path::Path) -> std::process::Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_controller"));
    program.args(arguments).current_dir(folder).output().expect("the binary is built")
}

#[test]
fn init_writes_a_matrix_that_plan_accepts_and_keeps_an_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(&["init"], folder.path()).status.success());
    let planned = run(&["plan", "matrix.toml"], folder.path());
    assert!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));
    // What is commented out is valid as well.
    let path = folder.path().join("matrix.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let key = |line: &str| line.starts_with("# [") || line.contains(" = ");
    let whole: Vec<&str> = (text.lines())
        .map(|line| line.strip_prefix("# ").filter(|_| key(line)).unwrap_or(line))
        .collect();
    std::fs::write(&path, whole.join("\n").replace("path/to/lora", "builtin:tiny-minutes"))
        .unwrap();
    let planned = run(&["plan", "matrix.toml"], folder.path());
    assert!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));
    let again = run(&["init"], folder.path());
    assert_eq!(again.status.code(), Some(2));
    let error = String::from_utf8_lossy(&again.stderr);
    assert!(error.contains("`matrix.toml` exists: choose another name"), "{error}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = run(&["completions", shell], std::path::Path::new("."));
        assert!(printed.status.success());
        let script = String::from_utf8(printed.stdout).unwrap();
        for word in ["compare", "doctor", "max-regression"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
