//! Import cycles between the modules of a crate.
//!
//! Modules with one parent are compared as wholes, with all that is inside them. A module may use its ancestors and
//! they may use it: that is how a folder is composed.

use super::source::Source;
use super::workspace::Package;
use std::collections::{BTreeMap, BTreeSet};

/// The children of `parent` that import one another in a circle, each with one file that imports the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle {
    pub(super) parent: Vec<String>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) module: String,
    pub(super) file: String,
}

/// One for each group of modules that can't be ordered.
pub(super) fn cycles(package: &Package) -> Vec<Cycle> {
    let root = format!("{}/src/", package.folder);
    let files: Vec<(Vec<String>, &Source)> = (package.sources.iter())
        .filter(|source| !source.is_test)
        .filter_map(|source| Some((module(source.path.strip_prefix(&root)?)?, source)))
        .collect();
    let known: BTreeSet<&[String]> = files.iter().map(|(path, _)| path.as_slice()).collect();
    // For each parent: which child imports which, and in which file.
    let mut edges: BTreeMap<Vec<String>, BTreeMap<String, BTreeMap<String, String>>> =
        BTreeMap::new();
    for (from, source) in &files {
        for path in source.paths() {
            let Some(to) = resolve(from, &path, &known) else { continue };
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let (Some(child), Some(other)) = (from.get(common), to.get(common)) else { continue };
            let edges = edges.entry(to[..common].to_vec()).or_default();
            let edges = edges.entry(child.clone()).or_default();
            edges.entry(other.clone()).or_insert_with(|| source.path.clone());
        }
    }
    edges.iter().flat_map(|(parent, edges)| cycles_of(parent, edges)).collect()
}

fn cycles_of(parent: &[String], edges: &BTreeMap<String, BTreeMap<String, String>>) -> Vec<Cycle> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in edges.keys() {
        if seen.contains(start) {
            continue;
        }
        if let Some(modules) = circle(start, edges) {
            seen.extend(modules.iter().cloned());
            let next = modules.iter().skip(1).chain(modules.first());
            let steps = modules.iter().zip(next).map(|(module, next)| Step {
                module: module.clone(),
                file: edges[module][next].clone(),
            });
            found.push(Cycle { parent: parent.to_vec(), steps: steps.collect() });
        }
    }
    found
}

/// The shortest circle through `start`.
fn circle(
    start: &String,
    edges: &BTreeMap<String, BTreeMap<String, String>>,
) -> Option<Vec<String>> {
    let mut queue = std::collections::VecDeque::from([vec![start.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        for next in edges.get(path.last()?).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                return Some(path);
            }
            if seen.insert(next.clone()) {
                queue.push_back([path.as_slice(), std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

/// `a/b.rs` and `a/b/mod.rs` -> `[a, b]`; the root -> `[]`; none for a binary beside the library.
fn module(path: &str) -> Option<Vec<String>> {
    if path == "main.rs" || path.starts_with("bin/") {
        return None;
    }
    let path = path.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    Some(path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect())
}

/// The longest known module that a path names.
fn resolve(from: &[String], path: &[String], known: &BTreeSet<&[String]>) -> Option<Vec<String>> {
    let mut absolute: Vec<String> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" | "self" => from.to_vec(),
        _ => return None,
    };
    for part in path {
        match part.as_str() {
            "super" => drop(absolute.pop()),
            "crate" | "self" | "*" => {}
            name => absolute.push(name.to_owned()),
        }
    }
    while !absolute.is_empty() && !known.contains(absolute.as_slice()) {
        absolute.pop();
    }
    Some(absolute)
}
