//! The commands: the only modules that connect the agent's stages.

pub mod bench;
mod cli;
pub mod doctor;
pub mod generate;
pub mod health;
mod input;
pub mod join;
pub mod serve;

pub use cli::Cli;

use crate::{model_source, visible_gpu};
use anyhow::Context;
use clap::CommandFactory;
use cli::Command;
use ops::{command_line, program::Exit, terminal};
use std::{future::Future, num::NonZeroUsize};

pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    if let Some((device, nvml_library)) = cli.command.device() {
        visible_gpu::make_visible(device, nvml_library)?;
    }
    model_source::report_downloads_to(terminal::note);
    match cli.command {
        Command::Join(options) => join::run(&options),
        Command::Generate(options) => generate::run(&options).map(|()| Exit::Ok),
        Command::Health(options) => health::run(&options).map(|()| Exit::Ok),
        Command::Bench(options) => bench::run(&options).map(|()| Exit::Ok),
        Command::Doctor(options) => doctor::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Completions(options) => {
            command_line::completions(&options, Cli::command()).map(|()| Exit::Ok)
        }
        Command::Man(options) => command_line::man(&options, Cli::command()).map(|()| Exit::Ok),
    }
}

/// All cores by default.
fn threads(given: Option<NonZeroUsize>) -> usize {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    given.unwrap_or_else(all).get()
}

/// One worker thread leaves the cores to inference.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("failed to start the async runtime")?.block_on(future)
}
