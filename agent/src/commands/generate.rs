//! `agent generate`: summarizes a file of dialogues.

use super::bench::drafts_of;
use super::input::{self, Asked, Line};
use crate::engines;
use crate::options::{ModelOptions, SearchOptions};
use anyhow::Context;
use clap::Args;
use engine::{Engine, Row};
use generation::LanguageModel;
use generation::generate::StopRule;
use model::generation::Settings;
use model::sample::Drafts;
use ops::atomic_file::{Output, Unfinished};
use ops::terminal;
use serde::Serialize;
use std::io::{self, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use stopwatch::Stopwatch;

const EXAMPLES: &str = "\
Each line of the input is {\"id\", \"dialogue\"} or {\"id\", \"input_ids\"}. Each line of the
output is {\"id\", \"output_ids\", \"text\", \"input_tokens\", \"finish\"}, in the same order.
A dialogue is put into the prompt of the model's family: \"Summarize: \" and the dialogue for T5
and decoder-only models, the dialogue alone for BART and PEGASUS, or after the prefix of the
model's config.json. A chat model's template is written around it. Longer prompts are truncated; a
note at the end reports how many.

Examples:
  agent generate --model ./flan-t5-small --input in.jsonl --output out.jsonl
  agent generate --model builtin:tiny --batch-size 8 --input in.jsonl --output out.jsonl
  agent generate --model dummy:flan-t5-base --tokenizer tokenizer.json \\
      --max-new-tokens 32 --input in.jsonl --output out.jsonl";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    pub model: ModelOptions,
    /// Dialogues per batch
    #[arg(long, value_name = "N", default_value = "1")]
    batch_size: NonZeroUsize,
    /// Maximum summary length in tokens [default: as the model's files say, or 200]
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<NonZeroU32>,
    /// Maximum prompt length in tokens, including </s>
    #[arg(long, value_name = "N", default_value = "512")]
    max_input_tokens: NonZeroUsize,
    /// Input in JSON Lines format
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Output in JSON Lines format
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    search: SearchOptions,
}

#[derive(Serialize)]
struct Summary<'a> {
    id: &'a serde_json::Value,
    output_ids: &'a [u32],
    text: Option<&'a str>,
    input_tokens: Option<u32>,
    finish: &'static str,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let unwritable = || format!("cannot write {}", options.output.display());
    Output::check(&options.output).with_context(unwritable)?;
    engines::check_batch_size(options.model.engine, options.batch_size.get())?;
    let lines = input::read(&options.input)?;
    let mut engine = input::load(&options.model, &lines)?;
    let max_new_tokens = options.max_new_tokens.map(NonZeroU32::get);
    let settings = Settings { max_new_tokens, ..options.search.settings() };
    let decoding = engine.decoding(&settings)?;
    let stop_rule = StopRule::EosOr(usize::try_from(decoding.max_new_tokens)?);
    let asked = Asked {
        limit: options.max_input_tokens.get(),
        stop_rule,
        system: settings.system.as_deref(),
        decoding: &decoding,
    };
    let inputs =
        lines.iter().map(|line| line.input(&engine, &asked)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut output = Unfinished::create(options.output.clone()).with_context(unwritable)?;
    let stopwatch = Stopwatch::start();
    let mut counts = Counts::default();
    let size = options.batch_size.get();
    for (lines, inputs) in lines.chunks(size).zip(inputs.chunks(size)) {
        let rows = engine.decode(inputs, &stopwatch).context("cannot decode a batch")?;
        for (line, row) in lines.iter().zip(rows) {
            let row = row.with_context(|| line.place.clone())?;
            counts.add(&row);
            write(&mut output, line, &row).with_context(unwritable)?;
        }
    }
    output.finish().with_context(unwritable)?;
    counts.tell(&engine, options);
    Ok(())
}

fn write(output: &mut impl Write, line: &Line, row: &Row) -> io::Result<()> {
    let summary = Summary {
        id: &line.id,
        output_ids: &row.output_ids,
        text: row.text.as_deref(),
        input_tokens: row.input_tokens,
        finish: row.finish.as_str(),
    };
    serde_json::to_writer(&mut *output, &summary)?;
    output.write_all(b"\n")
}

#[derive(Default)]
struct Counts {
    rows: usize,
    cut_rows: usize,
    cut_tokens: u64,
    unknown_tokens: u64,
    drafts: Option<Drafts>,
}

impl Counts {
    fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.cut_rows += usize::from(row.cut_tokens > 0);
        self.cut_tokens += u64::from(row.cut_tokens);
        self.unknown_tokens += u64::from(row.unknown_tokens);
        self.drafts = self.drafts.into_iter().chain(row.drafts).reduce(Drafts::and);
    }

    fn tell(&self, engine: &LanguageModel, options: &Options) {
        for note in &engine.facts().notes {
            terminal::note(&format!("note: {note}"));
        }
        if self.cut_rows > 0 {
            terminal::note(&format!(
                "note: {} of {} prompts were truncated to {} tokens, removing {} tokens in total",
                self.cut_rows, self.rows, options.max_input_tokens, self.cut_tokens
            ));
        }
        if let Some(drafts) = self.drafts {
            terminal::note(&format!("note: {}", drafts_of(drafts)));
        }
        if self.unknown_tokens > 0 {
            terminal::note(&format!(
                "note: {} output tokens are not in the tokenizer's vocabulary and were dropped",
                self.unknown_tokens
            ));
        }
    }
}
