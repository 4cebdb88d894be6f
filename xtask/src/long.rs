//! Checks that take hours, in named parts. `.ci/run` runs a short form of each.

use crate::process::{self, cargo, script};
use anyhow::{Context, bail};

struct Part {
    name: &'static str,
    run: fn() -> anyhow::Result<()>,
}

const PARTS: [Part; 7] = [
    // Simulated campaigns on a network that delays, drops and partitions.
    Part { name: "seeds", run: || seeds("unreliable", "0..1000") },
    Part { name: "network", run: || script("tests/network.sh") },
    // Campaigns whose controller and agents are killed at random times.
    Part { name: "kills", run: || seeds("kills", "0..100") },
    Part { name: "fuzz", run: fuzz },
    // 10, 100 and 1,000 simulated agents, a million samples each. Needs an idle machine.
    Part { name: "load", run: load },
    Part { name: "leak", run: || script("tests/leak.sh") },
    // Endpoints of transformers and llama.cpp: PyTorch is 6 GB, and llama.cpp is compiled.
    Part { name: "llm-servers", run: llm_servers },
];

/// Runs the named parts; all of them if none is named.
pub(crate) fn run(names: &[String]) -> anyhow::Result<()> {
    let known = |name: &&String| PARTS.iter().any(|part| part.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        bail!("unknown part `{unknown}`: expected one of {}", names.join(", "));
    }
    for part in
        PARTS.iter().filter(|part| names.is_empty() || names.iter().any(|name| name == part.name))
    {
        println!("\n== {}", part.name);
        (part.run)().with_context(|| format!("part `{}` failed", part.name))?;
    }
    Ok(())
}

fn seeds(tests: &str, range: &str) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["test", "--release", "--workspace", "--tests", "--", "--nocapture", tests]);
    process::run(command.env("FLEETMARK_SEEDS", range))
}

fn llm_servers() -> anyhow::Result<()> {
    process::run(process::command("bash").args(["tests/services.sh", "transformers", "llama"]))
}

/// All packages are built together, so that nothing is compiled twice.
fn load() -> anyhow::Result<()> {
    process::run(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    process::run(&mut process::command("target/release/load"))
}

const TARGETS: [&str; 11] = [
    "matrix",
    "wire",
    "grpc",
    "adapter",
    "dataset",
    "results",
    "prices",
    "serve_http",
    "bundle",
    "chat",
    "gguf",
];

/// Runs every fuzz target for `FUZZ_SECONDS` (default: 600). Needs cargo-fuzz; findings are written to
/// fuzz/artifacts.
fn fuzz() -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "tasks read the environment where they need it")]
    let seconds = std::env::var("FUZZ_SECONDS").unwrap_or_else(|_| "600".to_owned());
    let folder = crate::root().join("fuzz");
    for target in TARGETS {
        // New inputs are written here, so that the committed corpus stays small.
        let found = format!("corpus-work/{target}");
        std::fs::create_dir_all(folder.join(&found))?;
        let mut fuzz = cargo();
        fuzz.current_dir(&folder).env("RUSTC_BOOTSTRAP", "1");
        fuzz.args(["fuzz", "run", "-s", "none", target, &found, &format!("corpus/{target}"), "--"]);
        fuzz.args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"]);
        process::run(fuzz.arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}
