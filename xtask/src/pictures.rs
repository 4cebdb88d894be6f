//! The README's pictures of one run of the quickstart: its terminal output, its report and a chart.
//!
//! Needs chromium, npm, built programs and an otherwise idle machine.

use crate::{process, root};
use std::fs;

const QUICKSTART: &str = "examples/quickstart.toml";

pub(crate) fn run() -> anyhow::Result<()> {
    let tools = root().join("target/reports");
    fs::create_dir_all(&tools)?;
    fs::copy(root().join("tests/reports/package.json"), tools.join("package.json"))?;
    fs::copy(root().join("tools/pictures.mjs"), tools.join("pictures.mjs"))?;
    let mut npm = process::command("npm");
    process::run(
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&tools),
    )?;

    let work = tools.join("pictures");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let controller = || process::command(process::programs().join("controller"));
    let data = work.join("data");
    let mut campaign = controller();
    campaign.env("COLUMNS", "120");
    let text = process::output(campaign.args(["run", QUICKSTART, "--data-dir"]).arg(&data))?;
    let terminal = work.join("terminal.txt");
    fs::write(&terminal, text)?;
    let mut report = controller();
    report.args(["report", "latest", "--formats", "html", "--data-dir"]).arg(&data);
    process::output(report.arg("--output-dir").arg(&work))?;
    let mut node = process::command("node");
    process::run(node.arg(tools.join("pictures.mjs")).arg(work.join("report.html")).arg(&terminal))
}
