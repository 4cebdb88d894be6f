//! Texts that aren't loaded: the error names the line.

use cuda_standin::machine::{Machine, Options};
use cuda_standin::module::{Error, Module};

const HEAD: &str = ".version 6.5\n.target sm_75\n.address_size 64\n";

fn load(text: &str) -> Result<Module, Error> {
    let machine = Machine::new(1 << 20, Options::default()).unwrap();
    Module::load(text, &machine.memory, (6, 5), 75)
}

fn error_of(body: &str) -> String {
    let text = format!("{HEAD}.visible .entry kernel()\n{{\n{body}\n}}\n");
    load(&text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn unknown_words_are_named_with_their_line() {
    assert_eq!(
        error_of("\tbar.sync 0;\n\ttex.2d.v4.f32 {};"),
        "line 7: unknown instruction `tex.2d.v4.f32`"
    );
    assert_eq!(error_of("\tadd.s32 %r1, 1, 2;"), "line 6: undeclared register `%r1`");
    assert_eq!(error_of("\t.local .b8 x[4];"), "line 6: unknown directive `.local`");
    assert_eq!(error_of("\tbra nowhere;"), "line 6: no label `nowhere`");
    assert_eq!(
        error_of("\t.reg .b32 a;\n\tadd.rz.f32 a, a, a;"),
        "line 7: unknown instruction `add.rz.f32`"
    );
    assert_eq!(
        error_of("\t.reg .b64 a;\n\tadd.f32 a, a, a;").split(", found").next(),
        Some("line 7: expected a register of class Word")
    );
    assert!(error_of("\tret").starts_with("line 7: unexpected operand"));
}

#[test]
fn newer_languages_and_targets_are_refused() {
    let newer = load(&HEAD.replace("6.5", "9.0")).map(|_| ()).unwrap_err();
    assert_eq!(newer, Error::Version(9, 0, 6, 5));
    let target = load(&HEAD.replace("75", "80")).map(|_| ()).unwrap_err();
    assert_eq!(target, Error::Target(80, 7, 5));
    assert!(load("ELF").is_err() && load("").is_err());
}

#[test]
fn registers_of_an_unrolled_kernel_share_rows() {
    let text = include_str!("../../kernels/compute.ptx");
    let module = load(text).unwrap();
    let kernel = &module.kernels["norm_matvec"];
    // The text declares more than 300.
    assert!(kernel.words + kernel.longs < 140, "{} and {}", kernel.words, kernel.longs);
    assert!(kernel.tracked.uses.is_empty());
}
