//! One agent for CPUs and GPUs: what it needs to start, and what a release holds.

use scenarios::{Finished, Workspace, program, repository};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The libraries that a program names as needed, as the loader reads them.
fn needed(program: &Path) -> Vec<String> {
    let mut command = Command::new("readelf");
    command.args(["--dynamic", "--wide"]).arg(program);
    let out = Finished::of(&mut command).expect(0).out;
    let names = out.lines().filter(|line| line.contains("(NEEDED)"));
    let names = names.filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']')));
    names.map(str::to_owned).collect()
}

/// Those of glibc and of the compiler; NVIDIA's are loaded when a GPU is asked for.
#[test]
fn programs_need_only_libraries_that_every_system_has() {
    const SYSTEM: [&str; 7] = [
        "libc.so.6",
        "libm.so.6",
        "libgcc_s.so.1",
        "libdl.so.2",
        "libpthread.so.0",
        "librt.so.1",
        "ld-linux",
    ];
    for name in ["agent", "controller"] {
        let needed = needed(&program(name));
        assert!(needed.iter().any(|library| library == "libc.so.6"), "{name}: {needed:?}");
        for library in needed {
            let is_system = SYSTEM.iter().any(|known| library.starts_with(known));
            assert!(is_system, "{name} needs {library}");
        }
    }
}

/// A small program, linked to these libraries.
fn compile(workspace: &Workspace, name: &str, libraries: &[&str]) {
    let source = workspace.write("main.c", "int main(void) { return 0; }\n");
    let mut command = Command::new("cc");
    command.arg(source).arg("-o").arg(workspace.path(name)).arg("-Wl,--no-as-needed");
    command.args(libraries.iter().map(|library| workspace.path(library)));
    let _ = Finished::of(&mut command).expect(0);
}

/// What `tools/release.sh` says of an archive of these files.
fn verify(workspace: &Workspace, files: &[&str], code: i32) -> String {
    let archive = workspace.path("release.tar.gz");
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(workspace.path("")).arg("-czf").arg(&archive).args(files);
    let _ = Finished::of(&mut pack).expect(0);
    let mut verify = Command::new("bash");
    verify.arg(repository("tools/release.sh")).arg("verify").arg(archive);
    Finished::of(&mut verify).expect(code).err
}

#[test]
fn a_release_holds_one_agent_that_starts_without_nvidias_libraries() {
    let workspace = Workspace::default();
    let library = workspace.write("cuda.c", "int cuInit(unsigned flags) { return (int)flags; }\n");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]);
    command.arg(workspace.path("libcuda.so.1")).arg(library);
    let _ = Finished::of(&mut command).expect(0);
    compile(&workspace, "controller", &[]);
    compile(&workspace, "agent", &[]);
    workspace.write("README.md", "ELF\n");
    assert_eq!(verify(&workspace, &["controller", "agent", "README.md"], 0), "");

    fs::copy(workspace.path("agent"), workspace.path("agent-cuda")).expect("it can be copied");
    let second = verify(&workspace, &["controller", "agent", "agent-cuda"], 1);
    assert!(second.contains("has the programs agent agent-cuda controller"), "{second}");
    let none = verify(&workspace, &["controller", "README.md"], 1);
    assert!(none.contains("has the programs controller: expected agent controller"), "{none}");

    compile(&workspace, "agent", &["libcuda.so.1"]);
    let linked = verify(&workspace, &["controller", "agent"], 1);
    assert!(linked.contains("agent needs libcuda.so.1: expected no library"), "{linked}");
}
