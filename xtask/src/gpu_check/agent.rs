//! The agent's commands, in a temporary folder.

use crate::process;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug)]
pub(super) struct Agent {
    program: PathBuf,
    pub(super) device: String,
    folder: PathBuf,
}

/// What a model is decoded with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) model: &'a str,
    pub(super) adapter: Option<&'a str>,
    pub(super) dtype: &'a str,
    pub(super) batch_size: usize,
    pub(super) new_tokens: usize,
}

pub(super) struct Gpu {
    pub(super) description: String,
    pub(super) is_software: bool,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // A folder of temporary files: the system removes what stays.
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Agent {
    pub(super) fn new(program: PathBuf, device: String) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("gpu-check-{}", std::process::id()));
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self { program, device, folder })
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(arguments);
        command
    }

    /// A command that runs the agent under another program.
    pub(super) fn under(&self, program: &str, options: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).args(options).arg(&self.program).args(arguments);
        command
    }

    pub(super) fn version(&self) -> anyhow::Result<String> {
        Ok(process::output(&mut self.command(&["--version"]))?.trim().to_owned())
    }

    /// What the driver says of the device, after a test computation.
    pub(super) fn doctor(&self) -> anyhow::Result<Gpu> {
        let text = self.command(&["doctor", "--device", &self.device, "--json"]).output()?.stdout;
        let found: Value =
            serde_json::from_slice(&text).context("`agent doctor` printed no JSON")?;
        let findings = found["findings"].as_array().context("no findings")?;
        let of_gpu = findings.iter().find(|finding| finding["what"] == "gpu_kernels");
        let of_gpu = of_gpu.context("the doctor didn't check a GPU")?;
        let description = of_gpu["detail"].as_str().unwrap_or_default().to_owned();
        ensure!(of_gpu["status"] == "ok", "{description}");
        let is_software = description.contains("software GPU");
        Ok(Gpu { description, is_software })
    }

    /// Prompts of token ids: different lengths, the same in every run.
    pub(super) fn write_prompts(&self, count: usize, vocabulary: usize) -> anyhow::Result<()> {
        let line = |row: usize| {
            let length = 4 + row % 13;
            let ids = (0..length).map(|at| 3 + (row * 37 + at * 101) % (vocabulary - 3));
            format!("{}\n", json!({ "id": row, "input_ids": ids.chain([1]).collect::<Vec<_>>() }))
        };
        let lines: String = (0..count).map(line).collect();
        Ok(fs::write(self.folder.join("in.jsonl"), lines)?)
    }

    /// One prompt of this many tokens, several times.
    pub(super) fn write_long_prompts(&self, count: usize, tokens: usize) -> anyhow::Result<()> {
        let ids: Vec<usize> = (1..tokens).map(|at| 3 + at * 101 % 250).chain([1]).collect();
        let line = |row: usize| format!("{}\n", json!({ "id": row, "input_ids": ids }));
        Ok(fs::write(self.folder.join("in.jsonl"), (0..count).map(line).collect::<String>())?)
    }

    pub(super) fn generation(device: &str, run: Run<'_>) -> Vec<String> {
        let mut arguments: Vec<String> = ["generate", "--model", run.model, "--device", device]
            .iter()
            .map(|word| (*word).to_owned())
            .collect();
        for (name, value) in [
            ("--dtype", run.dtype.to_owned()),
            ("--batch-size", run.batch_size.to_string()),
            ("--max-new-tokens", run.new_tokens.to_string()),
            ("--input", "in.jsonl".to_owned()),
            ("--output", "out.jsonl".to_owned()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        if let Some(adapter) = run.adapter {
            arguments.extend(["--adapter".to_owned(), adapter.to_owned()]);
        }
        arguments
    }

    /// The tokens of each prompt.
    pub(super) fn generate(&self, device: &str, run: Run<'_>) -> anyhow::Result<Vec<Value>> {
        let arguments = Self::generation(device, run);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.command(&arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`agent {}` failed: {errors}", arguments.join(" "));
        let text = fs::read_to_string(self.folder.join("out.jsonl"))?;
        text.lines()
            .map(|line| Ok(serde_json::from_str::<Value>(line)?["output_ids"].take()))
            .collect()
    }

    /// What `agent bench` prints, one object for each batch size.
    pub(super) fn bench(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let text = process::output(&mut self.command(&[&["bench", "--json"], arguments].concat()))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}
