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
        "run", "plan", "report", "compare", "history", "delete", "prune", "prices", "notify",
        "health", "certs", "agents", "launch", "doctor",
    ];
    for command in commands {
        let text = help(&[command]);
        assert!(text.contains("Example"), "{text}");
        insta::assert_snapshot!(command, text);
    }
    insta::assert_snapshot!("launch_sagemaker", help(&["launch", "sagemaker"]));
}
