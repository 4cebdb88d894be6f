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

use crate::model_source;
use cli::Command;
use ops::program::Exit;
use ops::terminal;

/// # Errors
/// Errors with a remedy for the user.
pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    model_source::report_downloads_to(terminal::note);
    match cli.command {
        Command::Join(options) => join::run(&options).map(|()| Exit::Ok),
        Command::Generate(options) => generate::run(&options).map(|()| Exit::Ok),
        Command::Health(options) => health::run(&options).map(|()| Exit::Ok),
        Command::Bench(options) => bench::run(&options).map(|()| Exit::Ok),
        Command::Doctor(options) => doctor::run(&options),
        Command::Serve(options) => serve::run(&options).map(|()| Exit::Ok),
    }
}
