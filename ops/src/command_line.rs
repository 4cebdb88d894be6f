//! Files that a package installs beside a program: completion scripts and man pages.

use super::{atomic_file, terminal};
use anyhow::Context;
use clap::{Args, Command};
use std::path::{Path, PathBuf};

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// Shell
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for the pages
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Prints the script that completes the command line in a shell.
pub fn completions(options: &Completions, mut command: Command) -> anyhow::Result<()> {
    let (mut script, name) = (Vec::new(), command.get_name().to_owned());
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    terminal::document(&String::from_utf8(script).context("the script is not UTF-8")?)?;
    Ok(())
}

/// Writes a page for the program and one for each of its commands, such as `controller-run.1`.
pub fn man(options: &Man, mut command: Command) -> anyhow::Result<()> {
    let folder = &options.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("can't create the folder {}", folder.display()))?;
    command.build();
    pages(&command, folder)?;
    terminal::note(&format!("wrote the man pages to {}", folder.display()));
    Ok(())
}

fn pages(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).context("can't render a man page")?;
    atomic_file::write(&path, &text).with_context(|| format!("can't write {}", path.display()))?;
    let is_shown = |command: &&Command| command.get_name() != "help" && !command.is_hide_set();
    command.get_subcommands().filter(is_shown).try_for_each(|command| pages(command, folder))
}
