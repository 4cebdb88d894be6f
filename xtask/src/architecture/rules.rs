//! The rules as data: what may depend on what, and the named places of every exception.

use super::modules;
use super::source::Source;
use super::workspace::{Package, Workspace};

/// A rule of ARCHITECTURE.md.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// What to do about a violation.
    pub(super) way_out: &'static str,
    /// One line for each violation, which begins with its place.
    pub(super) check: fn(&Workspace) -> Vec<String>,
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "dependencies",
        way_out: "move the code to the crate that may depend on both, or pass the value in; a new crate needs a row in \
                  the table of ARCHITECTURE.md",
        check: dependencies,
    },
    Rule {
        name: "two programs",
        way_out: "move what both programs need to model, proto, ops or fetch",
        check: programs,
    },
    Rule {
        name: "pure crates",
        way_out: "move the input or output to an edge crate and pass its values in",
        check: pure,
    },
    Rule {
        name: "wire types",
        way_out: "convert between proto::wire and model in proto, and pass the model's types on",
        check: wire_types,
    },
    Rule {
        name: "unsafe code",
        way_out: "move it to agent/kernels, behind a safe function with a SAFETY comment",
        check: unsafe_code,
    },
    Rule {
        name: "clocks and environment",
        way_out: "take the value as an argument; READS_MACHINE lists the places that read it",
        check: machine,
    },
    Rule {
        name: "printing",
        way_out: "return the text, or print it with ops::terminal",
        check: printing,
    },
    Rule {
        name: "files",
        way_out: "write it with ops::atomic_file, which follows no links and replaces no devices",
        check: files,
    },
    Rule {
        name: "import cycles",
        way_out: "move what both need into a module of its own, or into the parent",
        check: cycles,
    },
    Rule {
        name: "module names",
        way_out: "name the module after what it provides",
        check: module_names,
    },
    Rule {
        name: "words",
        way_out: "use the standard term: STYLE.md has the glossary",
        check: words,
    },
    Rule { name: "file length", way_out: "split the file by subject", check: length },
    Rule {
        name: "images",
        way_out: "add the folder to .dockerignore: images are built from the listed folders only",
        check: images,
    },
];

/// Libraries that do I/O or wait for it.
const EDGE_LIBRARIES: &[&str] = &[
    "aws-config",
    "aws-sdk-s3",
    "aws-sigv4",
    "axum",
    "fetch",
    "hf-hub",
    "hyper",
    "hyper-util",
    "indicatif",
    "lettre",
    "libc",
    "memmap2",
    "nvml-wrapper",
    "object_store",
    "opentelemetry",
    "opentelemetry-otlp",
    "opentelemetry_sdk",
    "ops",
    "procfs",
    "prometheus",
    "reqwest",
    "rustix",
    "rustls",
    "socket2",
    "sqlx",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tokio-stream",
    "tokio-util",
    "tonic",
    "tonic-health",
    "tonic-reflection",
    "tracing",
    "tracing-subscriber",
];

/// Parts of the standard library that a pure crate must not use.
const EDGE_PATHS: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::env::args",
    "std::env::var",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread::sleep",
];

/// The folders of the two programs.
const SIDES: &[&str] = &["agent", "controller"];

/// Where `proto::wire` is used outside tests.
const NAMES_WIRE: &[&str] = &["proto/", "controller/fleet/", "agent/src/controller_client/"];

/// Where `unsafe` is used: the kernels, the GPU's driver, and three tools of the tests.
const HAS_UNSAFE: &[&str] = &[
    "agent/kernels/",
    "agent/gpu/",
    "tests/src/bin/link.rs",
    "tests/nvml_standin/",
    "tests/cuda_standin/",
];

/// Code that reads a clock or the environment, or sleeps. Where it calls the standard library, it
/// needs an exception from clippy.toml.
const MACHINE_READS: &[&str] =
    &["Local::now", "Utc::now", "clippy::disallowed_methods", "clock_gettime"];

/// Where that code is. A paced script and the wait for the machine lock sleep.
const READS_MACHINE: &[&str] = &[
    "agent/engine/src/scripted.rs",
    "agent/src/runner/machine_lock.rs",
    "agent/stopwatch/",
    "ops/src/clock.rs",
    "ops/src/environment.rs",
    "xtask/",
];

/// Code that writes to standard output or standard error.
const PRINTING: &[&str] = &["clippy::print_stderr", "clippy::print_stdout", "stderr()", "stdout()"];

/// Where that code is.
/// `/dev/stdout` as a path shares its offset with the terminal.
const PRINTS: &[&str] = &["ops/src/atomic_file.rs", "ops/src/terminal.rs", "xtask/"];

/// Code that creates, replaces or moves files.
const WRITING: &[&str] = &[
    "File::create",
    "File::create_new",
    "File::options",
    "OpenOptions",
    "fs::copy",
    "fs::rename",
    "fs::write",
];

/// Where that code is, beside tools: the cache's downloads and locks, the store's own files, the test of a disk, and a
/// switch of the kernel.
const WRITES: &[&str] = &[
    "agent/host/src/lib.rs",
    "controller/src/commands/doctor/machine.rs",
    "controller/store/src/",
    "fetch/src/transfer.rs",
    "ops/src/atomic_file.rs",
    "xtask/",
];

/// Module names without meaning.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

/// Names that are out, as whole identifiers in any case: ARCHITECTURE.md and STYLE.md have the terms.
/// Not listed, though once metaphors here, because they are terms elsewhere: "letter" (fonts, the
/// stemmer of ROUGE), "marks" (of a chart) and "origin" (of a URL, in url's and tonic's methods).
const OUT_WHOLE: &[&str] = &[
    "admits",
    "begun_before",
    "beside",
    "doors",
    "exchange",
    "goes_on",
    "hall",
    "looks",
    "patience",
    "played",
    "rooms",
    "stamps",
    "together",
    "typeface",
    "view_of",
    "watchers",
    "way_back",
    "whole_file",
];

/// Words that are out in every identifier.
const OUT_PART: &[&str] = &[
    "casualties",
    "desk",
    "door",
    "lament",
    "laments",
    "leash",
    "ledger",
    "seat",
    "seats",
    "teller",
    "trail",
];

/// Longest source file, in lines.
const LONGEST: usize = 700;

/// Sources that do `what` outside `places`, and places where no source does. All of `sources` do it.
fn confined<'w>(
    sources: impl Iterator<Item = (&'w Package, &'w Source)>,
    places: &[&str],
    what: &str,
) -> Vec<String> {
    let paths: Vec<&str> = sources.map(|(_, source)| source.path.as_str()).collect();
    let outside = paths.iter().filter(|path| !places.iter().any(|place| path.starts_with(place)));
    let unused = places.iter().filter(|place| !paths.iter().any(|path| path.starts_with(*place)));
    let outside = outside.map(|path| format!("{path}: {what}"));
    outside
        .chain(unused.map(|place| format!("{place}: no source {what}: delete the exception")))
        .collect()
}

/// Sources of the product and of tools, without tests and build scripts.
fn product(workspace: &Workspace) -> impl Iterator<Item = (&Package, &Source)> {
    workspace.sources().filter(|(_, source)| !source.is_test && !source.path.ends_with("build.rs"))
}

fn dependencies(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        let Some(row) = workspace.row(&package.name) else {
            found.push(format!(
                "{}: `{}` is not in the table of crates",
                package.folder, package.name
            ));
            continue;
        };
        let inner = package.dependencies.iter().filter(|name| workspace.package(name).is_some());
        let forbidden = inner.filter(|name| !row.may_use.contains(name));
        found.extend(forbidden.map(|name| {
            format!("{}/Cargo.toml: `{}` must not depend on `{name}`", package.folder, package.name)
        }));
    }
    let gone = workspace.table.iter().filter(|row| workspace.package(&row.name).is_none());
    found.extend(gone.map(|row| format!("ARCHITECTURE.md: no crate `{}`", row.name)));
    found
}

fn programs(workspace: &Workspace) -> Vec<String> {
    let side = |package: &Package| SIDES.iter().find(|side| package.folder.starts_with(**side));
    let mut found = Vec::new();
    for package in &workspace.packages {
        let used = package.dependencies.iter().filter_map(|name| workspace.package(name));
        let other = used.filter(|used| side(package).zip(side(used)).is_some_and(|(a, b)| a != b));
        found.extend(other.map(|used| {
            format!("{}/Cargo.toml: `{}` belongs to the other program", package.folder, used.name)
        }));
    }
    found
}

fn pure(workspace: &Workspace) -> Vec<String> {
    let is_pure =
        |package: &&Package| workspace.row(&package.name).is_some_and(|row| row.kind == "pure");
    let mut found = Vec::new();
    for package in workspace.packages.iter().filter(is_pure) {
        let edges =
            package.dependencies.iter().filter(|name| EDGE_LIBRARIES.contains(&name.as_str()));
        found.extend(edges.map(|name| {
            format!("{}/Cargo.toml: a pure crate must not depend on `{name}`", package.folder)
        }));
        for source in package.sources.iter().filter(|source| !source.is_test) {
            let used = EDGE_PATHS.iter().filter(|path| source.mentions(path));
            found.extend(
                used.map(|path| format!("{}: a pure crate must not use `{path}`", source.path)),
            );
        }
    }
    found
}

fn wire_types(workspace: &Workspace) -> Vec<String> {
    let sources =
        product(workspace).filter(|(_, source)| source.words().any(|word| word == "wire"));
    confined(sources, NAMES_WIRE, "uses `proto::wire`")
}

fn unsafe_code(workspace: &Workspace) -> Vec<String> {
    let sources =
        workspace.sources().filter(|(_, source)| source.words().any(|word| word == "unsafe"));
    confined(sources, HAS_UNSAFE, "has unsafe code")
}

fn machine(workspace: &Workspace) -> Vec<String> {
    let sources = product(workspace)
        .filter(|(_, source)| MACHINE_READS.iter().any(|path| source.mentions(path)));
    confined(sources, READS_MACHINE, "reads a clock or the environment, or sleeps")
}

fn printing(workspace: &Workspace) -> Vec<String> {
    let sources =
        product(workspace).filter(|(_, source)| PRINTING.iter().any(|path| source.mentions(path)));
    confined(sources, PRINTS, "writes to the terminal")
}

fn files(workspace: &Workspace) -> Vec<String> {
    let is_ours = |path: &str| !path.starts_with("tests/") && !path.starts_with("fuzz/");
    let sources = product(workspace)
        .filter(|(_, source)| is_ours(&source.path))
        .filter(|(_, source)| WRITING.iter().any(|path| source.mentions(path)));
    confined(sources, WRITES, "writes files")
}

fn cycles(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        for cycle in modules::cycles(package) {
            let parent = [&[package.name.clone()][..], &cycle.parent].concat().join("::");
            let steps: Vec<String> =
                cycle.steps.iter().map(|step| format!("{} ({})", step.module, step.file)).collect();
            found.push(format!(
                "{}/src: cycle in {parent}: {}",
                package.folder,
                steps.join(" -> ")
            ));
        }
    }
    found
}

fn module_names(workspace: &Workspace) -> Vec<String> {
    let is_empty = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    let sources = workspace.sources().filter(|(_, source)| source.path.split('/').any(is_empty));
    let packages = workspace.packages.iter().filter(|package| is_empty(&package.name));
    let names = sources.map(|(_, source)| source.path.clone());
    names
        .chain(packages.map(|package| package.folder.clone()))
        .map(|place| format!("{place}: a name without meaning"))
        .collect()
}

fn words(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for (_, source) in workspace.sources() {
        let file =
            source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next();
        let names = source.words().chain(file);
        let mut out: Vec<&str> = names.filter(|name| is_out(name)).collect();
        out.sort_unstable();
        out.dedup();
        found.extend(out.iter().map(|name| format!("{}: `{name}`", source.path)));
    }
    found
}

fn is_out(name: &str) -> bool {
    let parts = parts(name);
    OUT_WHOLE.contains(&parts.join("_").as_str())
        || parts.iter().any(|part| OUT_PART.contains(&part.as_str()))
}

/// `LeaseTable`, `lease_table` and `LEASE_TABLE` -> `lease`, `table`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && before.is_lowercase() {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut().filter(|_| c != '_') {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn length(workspace: &Workspace) -> Vec<String> {
    workspace
        .sources()
        .filter(|(_, source)| source.lines > LONGEST)
        .map(|(_, source)| format!("{}: {} lines, at most {LONGEST}", source.path, source.lines))
        .collect()
}

fn images(workspace: &Workspace) -> Vec<String> {
    let is_listed = |folder: &str| {
        let listed =
            |path: &str| workspace.dockerignore.lines().any(|line| line == format!("!{path}"));
        let mut ancestors = folder.match_indices('/').map(|(at, _)| &folder[..at]);
        listed(folder) || listed(&format!("{folder}/Cargo.toml")) || ancestors.any(listed)
    };
    let missing = workspace.packages.iter().filter(|package| !is_listed(&package.folder));
    missing.map(|package| format!("{}: not in .dockerignore", package.folder)).collect()
}
