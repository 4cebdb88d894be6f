//! The kernels for GPUs: `agent/gpu/kernels/*.cu` in, `agent/gpu/ptx/*.ptx` out.
//!
//! Compilers come from `PyPI` into `target/nvcc`, pinned: nvcc 13.0, the last that still compiles for
//! Turing and is published there, and the ptxas of CUDA 12.9, which also reads the older version of
//! PTX that the texts declare so that drivers since 2019 accept them.

use crate::process::{self, command, run};
use crate::root;
use anyhow::{Context, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

const PACKAGES: [&str; 6] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-cuda-nvcc-cu12==12.9.86",
];

/// Turing, the T4: the oldest GPU that is supported. Newer ones run the same text.
const COMPILED_FOR: &str = "compute_75";
const ASSEMBLED_FOR: &str = "sm_75";

/// What nvcc declares, and the oldest version that has every instruction of the kernels.
const VERSIONS: [&str; 2] = [".version 9.0\n", ".version 6.5\n"];

/// Three blocks of 256 threads fit into the 65,536 registers of a multiprocessor.
const MOST_REGISTERS: u32 = 80;

/// Regenerates the texts, or with `--check` compares them and what ptxas makes of them.
pub(crate) fn task(arguments: &[String]) -> anyhow::Result<()> {
    let is_check = match arguments {
        [] => false,
        [only] if only == "--check" => true,
        _ => bail!("expected nothing or --check"),
    };
    let packages = packages()?;
    let folder = root().join("agent/gpu");
    let mut sources: Vec<PathBuf> = fs::read_dir(folder.join("kernels"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    ensure!(!sources.is_empty(), "no kernels");
    let mut kernels = 0;
    for source in sources {
        let name = source.file_stem().context("a file has a name")?;
        let committed = folder.join("ptx").join(name).with_extension("ptx");
        let text = compile(&packages, &source)?;
        if is_check {
            let found = fs::read_to_string(&committed).unwrap_or_default();
            let path = committed.display();
            ensure!(found == text, "{path} isn't what its source gives: run `cargo xtask ptx`");
        } else {
            fs::write(&committed, text)?;
        }
        kernels += assemble(&packages, &committed)?;
    }
    println!("{kernels} kernels: no spills, no local memory, at most {MOST_REGISTERS} registers");
    Ok(())
}

/// The `site-packages` with the compilers, installed if need be.
fn packages() -> anyhow::Result<PathBuf> {
    let folder = root().join("target/nvcc");
    let ready = folder.join("ready");
    let wanted = PACKAGES.join(" ");
    if fs::read_to_string(&ready).is_ok_and(|installed| installed == wanted) {
        return site_packages(&folder);
    }
    run(command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = command(folder.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--no-deps"]).args(PACKAGES))?;
    fs::write(&ready, wanted)?;
    site_packages(&folder)
}

fn site_packages(folder: &Path) -> anyhow::Result<PathBuf> {
    let python = fs::read_dir(folder.join("lib"))?.next().context("no Python")??;
    Ok(python.path().join("site-packages/nvidia"))
}

/// The PTX of a file.
fn compile(packages: &Path, source: &Path) -> anyhow::Result<String> {
    let cuda = packages.join("cu13");
    let arch = format!("-arch={COMPILED_FOR}");
    let mut nvcc = command(cuda.join("bin/nvcc"));
    nvcc.env("CUDA_HOME", &cuda).args([&arch, "-ptx", "-Werror", "all-warnings", "-o", "-"]);
    let text = process::output(nvcc.arg(source))?;
    let [declared, oldest] = VERSIONS;
    ensure!(text.contains(declared), "nvcc declares another version of PTX than {declared}");
    Ok(text.replacen(declared, oldest, 1))
}

/// Checks what ptxas makes of a text. Returns the number of kernels.
fn assemble(packages: &Path, text: &Path) -> anyhow::Result<usize> {
    let mut ptxas = command(packages.join("cuda_nvcc/bin/ptxas"));
    ptxas.arg(format!("-arch={ASSEMBLED_FOR}")).args(["-v", "-o", "/dev/null"]).arg(text);
    let outcome = ptxas.output().context("failed to start ptxas")?;
    let told = String::from_utf8_lossy(&outcome.stderr).into_owned();
    ensure!(outcome.status.success(), "ptxas refuses {}: {told}", text.display());
    check(&told).with_context(|| text.display().to_string())
}

/// Checks what `ptxas -v` tells of each kernel. Returns their number.
fn check(told: &str) -> anyhow::Result<usize> {
    let mut kernel = "";
    let (mut memory, mut registers) = (0, 0);
    for line in told.lines() {
        if let Some((_, name)) = line.split_once("Function properties for ") {
            kernel = name;
        } else if line.contains("bytes stack frame") {
            let numbers = line.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
            ensure!(numbers.clone().count() == 3, "unknown line of ptxas: {line}");
            ensure!(numbers.sum::<u32>() == 0, "{kernel} uses local memory: {}", line.trim());
            memory += 1;
        } else if let Some((_, rest)) = line.split_once("Used ") {
            let used = rest.split_whitespace().next().and_then(|word| word.parse::<u32>().ok());
            let used = used.with_context(|| format!("unknown line of ptxas: {line}"))?;
            ensure!(used <= MOST_REGISTERS, "{kernel} uses {used} registers");
            registers += 1;
        }
    }
    ensure!(memory > 0 && memory == registers, "ptxas told of no kernel, or not enough");
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(frame: u32, registers: u32) -> String {
        format!(
            "ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_75'
ptxas info    : Function properties for a
    {frame} bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 472 bytes cmem[0]
ptxas info    : Compile time = 9.2 ms
"
        )
    }

    #[test]
    fn spills_and_too_many_registers_are_found() {
        assert_eq!(check(&told(0, MOST_REGISTERS)).unwrap(), 1);
        let error = |frame, registers| check(&told(frame, registers)).unwrap_err().to_string();
        assert!(error(16, 8).starts_with("a uses local memory: 16 bytes"), "{}", error(16, 8));
        assert_eq!(error(0, MOST_REGISTERS + 1), "a uses 81 registers");
        assert!(check("ptxas info    : 0 bytes gmem").is_err());
    }
}
