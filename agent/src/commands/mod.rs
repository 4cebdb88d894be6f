//! The commands: the only place where the agent's stages are joined.

pub mod bench;
pub mod doctor;
pub mod generate;
pub mod health;
mod input;
pub mod join;
pub mod serve;

use crate::cli::{Cli, Command};
use crate::{model_source, terminal};

/// Runs one command.
///
/// # Errors
/// What a user can mend, with the file and the way out.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    model_source::tell_news_to(terminal::note);
    match cli.command {
        Command::Join(options) => join::run(&options),
        Command::Generate(options) => generate::run(&options),
        Command::Health(options) => health::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Serve(options) => serve::run(&options),
    }
}
