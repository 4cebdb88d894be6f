//! The documentation as a book: the pages of docs/ and deploy/, and a reference that the programs print themselves.
//!
//! Needs mdbook, python3 and built programs.

use crate::{process, root};
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Builds `target/book`; with `--check` only the links, the keys and the reference are checked.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (root, book) = (root(), root().join("target/book"));
    let sources = book.join("src");
    if book.exists() {
        fs::remove_dir_all(&book)?;
    }
    fs::create_dir_all(sources.join("reference"))?;
    fs::create_dir_all(sources.join("platforms"))?;
    fs::copy(root.join("docs/book.toml"), book.join("book.toml"))?;
    copy(&root.join("docs"), &sources)?;
    for page in files(&sources)?.iter().filter(|page| page.ends_with(".md")) {
        let path = sources.join(page);
        fs::write(&path, in_book(&fs::read_to_string(&path)?, Place::Docs))?;
    }
    for platform in files(&root.join("deploy"))? {
        let page = root.join("deploy").join(&platform).join("README.md");
        if let Ok(text) = fs::read_to_string(page) {
            let path = sources.join("platforms").join(format!("{platform}.md"));
            fs::write(path, in_book(&text, Place::Deploy))?;
        }
    }
    let summary = sources.join("SUMMARY.md");
    fs::write(&summary, fs::read_to_string(&summary)? + &decisions(&sources.join("adr"))?)?;
    let mut reference = process::command("python3");
    reference.arg("tools/reference.py").arg(process::programs()).arg(&sources);
    process::run(&mut reference).context("the reference doesn't match")?;
    if arguments.iter().any(|argument| argument == "--check") {
        return Ok(());
    }
    process::run(process::command("mdbook").arg("build").arg(&book))
}

#[derive(Clone, Copy)]
enum Place {
    Docs,
    Deploy,
}

/// Links between pages follow their new places; links to examples, which are not in the book, become text.
fn in_book(text: &str, place: Place) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("](") {
        let Some(end) = rest[at..].find(')') else { break };
        let target = &rest[at + 2..at + end];
        let platform = |prefix: &str| target.strip_prefix(prefix)?.strip_suffix("/README.md");
        let is_example = match place {
            Place::Docs => target.starts_with("../examples/"),
            Place::Deploy => target == "examples",
        };
        let moved = match place {
            Place::Docs => platform("../deploy/").map(|name| format!("platforms/{name}.md")),
            Place::Deploy => platform("../").map(|name| format!("{name}.md")),
        };
        if let Some(open) = rest[..at].rfind('[').filter(|_| is_example) {
            out += &rest[..open];
            out += &rest[open + 1..at];
        } else {
            out += &rest[..at + 2];
            out += moved.as_deref().unwrap_or(target);
            out.push(')');
        }
        rest = &rest[at + end + 1..];
    }
    out + rest
}

/// The lines of SUMMARY.md for the decision records.
fn decisions(folder: &Path) -> anyhow::Result<String> {
    let mut lines = "\n# Decisions\n\n".to_owned();
    for name in files(folder)? {
        let text = fs::read_to_string(folder.join(&name))?;
        let title = text.lines().next().unwrap_or_default();
        let title = title.split_once(". ").map_or(title, |(_, title)| title);
        lines += &format!("- [{title}](adr/{name})\n");
    }
    Ok(lines)
}

/// The names in a folder, sorted.
fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for name in files(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Place, in_book};

    #[test]
    fn links_follow_pages_into_the_book() {
        let page = "[Slurm](../deploy/slurm/README.md), [all keys](../examples/quickstart.toml), [doctor](doctor.md)";
        let moved = "[Slurm](platforms/slurm.md), all keys, [doctor](doctor.md)";
        assert_eq!(in_book(page, Place::Docs), moved);
        let page = "[Docker](../docker/README.md) and [examples](examples).";
        assert_eq!(in_book(page, Place::Deploy), "[Docker](docker.md) and examples.");
    }
}
