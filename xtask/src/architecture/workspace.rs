//! The workspace as the rules see it: packages, their dependencies, and their sources.

use super::source::Source;
use crate::process;
use anyhow::Context;
use serde_json::Value;
use std::fs;
use std::path::Path;

#[derive(Debug, Clone)]
pub(super) struct Workspace {
    pub(super) packages: Vec<Package>,
    /// The table of crates in ARCHITECTURE.md.
    pub(super) table: Vec<Row>,
    pub(super) dockerignore: String,
}

/// A crate as ARCHITECTURE.md has it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    /// The crates of this workspace that it may use outside its tests.
    pub(super) may_use: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    /// Relative to the root of the repository.
    pub(super) folder: String,
    /// Without those of tests.
    pub(super) dependencies: Vec<String>,
    pub(super) sources: Vec<Source>,
}

impl Workspace {
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let root = root.canonicalize()?;
        let mut cargo = process::cargo();
        cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
        let metadata: Value = serde_json::from_str(&process::output(&mut cargo)?)?;
        let packages = metadata["packages"].as_array().context("metadata lists packages")?;
        let mut packages = packages
            .iter()
            .map(|package| Package::of(package, &root))
            .collect::<Result<Vec<_>, _>>()?;
        let folders: Vec<String> = packages.iter().map(|package| package.folder.clone()).collect();
        for package in &mut packages {
            let inner: Vec<&String> = folders
                .iter()
                .filter(|it| it.starts_with(&format!("{}/", package.folder)))
                .collect();
            package.read(&root, &root.join(&package.folder), &inner)?;
        }
        let read =
            |name: &str| fs::read_to_string(root.join(name)).with_context(|| name.to_owned());
        let table = table(&read("ARCHITECTURE.md")?);
        Ok(Self { packages, table, dockerignore: read(".dockerignore")? })
    }

    /// All sources with their packages.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&Package, &Source)> {
        self.packages.iter().flat_map(|package| package.sources.iter().map(move |it| (package, it)))
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.table.iter().find(|row| row.name == name)
    }

    pub(super) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    fn of(metadata: &Value, root: &Path) -> anyhow::Result<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let manifest = text(&metadata["manifest_path"]);
        let folder = Path::new(&manifest).parent().context("a manifest is in a folder")?;
        let dependencies = metadata["dependencies"].as_array().into_iter().flatten();
        Ok(Self {
            name: text(&metadata["name"]),
            folder: folder.strip_prefix(root)?.to_string_lossy().into_owned(),
            dependencies: dependencies
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]))
                .collect(),
            sources: Vec::new(),
        })
    }

    /// Adds the Rust files below `folder`, without those of packages inside it.
    fn read(&mut self, root: &Path, folder: &Path, inner: &[&String]) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
            if path.is_dir() {
                if !inner.iter().any(|it| **it == relative) && !relative.ends_with("target") {
                    self.read(root, &path, inner)?;
                }
            } else if relative.ends_with(".rs") {
                self.sources.push(Source::new(&relative, &fs::read_to_string(&path)?));
            }
        }
        Ok(())
    }
}

/// The rows of the table whose header begins with `crate` and ends with `may depend on`.
fn table(text: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("| crate |"));
    let mut rows: Vec<Row> = Vec::new();
    for line in lines.by_ref().skip(2).take_while(|line| line.starts_with('|')) {
        let [name, kind, .., may_use] = &cells(line)[..] else { continue };
        let may_use = match may_use.as_str() {
            "every crate above" => rows.iter().map(|row| row.name.clone()).collect(),
            listed => names(listed),
        };
        rows.push(Row { name: name.trim_matches('`').to_owned(), kind: kind.clone(), may_use });
    }
    rows
}
