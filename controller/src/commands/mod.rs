//! The commands connect the crates of the controller.

mod agents;
mod artifacts;
mod bundle;
mod bundle_file;
mod certs;
mod compare;
mod decide;
mod delete;
mod dialogues;
mod doctor;
mod health;
mod history;
mod init;
mod launch;
mod model_files;
mod notify;
mod plan;
mod power;
mod prices;
mod report;
pub mod run;
mod timing;
mod traces;
use crate::cli::{self, Cli, Command};
use crate::progress::Verbosity;
use anyhow::Context;
use clap::CommandFactory;
use fetch::{Fetcher, Reporter, Settings};
use matrix::{Matrix, Overrides};
use ops::{command_line, environment, input_file, program::Exit, terminal, text_file};
use std::path::Path;
use store::{Place, Store};

pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Plan(options) => runtime()?.block_on(plan::run(&options)).map(|()| Exit::Ok),
        Command::Run(options) => runtime()?.block_on(run::run(&options)),
        Command::Agents(options) => runtime()?.block_on(agents::run(&options)).map(|()| Exit::Ok),
        Command::Bundle(options) => runtime()?.block_on(bundle::run(&options)).map(|()| Exit::Ok),
        Command::Certs(options) => certs::run(&options).map(|()| Exit::Ok),
        Command::Compare(options) => runtime()?.block_on(compare::run(&options)),
        Command::Decide(options) => runtime()?.block_on(decide::run(&options)),
        Command::Completions(options) => {
            command_line::completions(&options, Cli::command()).map(|()| Exit::Ok)
        }
        Command::Schema(cli::Schema { of }) => {
            let schema = match of {
                cli::SchemaOf::Matrix => matrix::SCHEMA.to_owned(),
                cli::SchemaOf::Results => results::json::schema(),
            };
            terminal::json(&schema)?;
            Ok(Exit::Ok)
        }
        Command::Man(options) => command_line::man(&options, Cli::command()).map(|()| Exit::Ok),
        Command::Init(options) => init::run(&options).map(|()| Exit::Ok),
        Command::Delete(options) => runtime()?.block_on(delete::run(&options)),
        Command::Prune(options) => runtime()?.block_on(delete::prune(&options)),
        Command::Doctor(options) => runtime()?.block_on(doctor::run(&options)),
        Command::Launch(cli::Launch { command: cli::LaunchCommand::Sagemaker(options) }) => {
            runtime()?.block_on(launch::run(&options))
        }
        Command::Health(options) => health::run(&options).map(|()| Exit::Ok),
        Command::History(options) => runtime()?.block_on(history::run(&options)).map(|()| Exit::Ok),
        Command::Prices(options) => runtime()?.block_on(prices::run(&options)).map(|()| Exit::Ok),
        Command::Notify(cli::Notify {
            command: cli::NotifyCommand::Test { matrix, notify_env },
        }) => runtime()?.block_on(notify::test(&matrix, &notify_env)),
        Command::Report(options) => runtime()?.block_on(report::run(&options)).map(|()| Exit::Ok),
        Command::Verify(options) => runtime()?.block_on(bundle::verify(&options)),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the async runtime")
}

/// `DATABASE_URL`: a PostgreSQL server instead of the SQLite file; empty counts as unset.
fn database_url() -> Option<String> {
    environment::variable("DATABASE_URL").filter(|url| !url.is_empty())
}

/// Opens the database: SQLite in the data folder, or the server in `DATABASE_URL`.
async fn store(data_dir: &Path) -> anyhow::Result<Store> {
    let place = match database_url() {
        Some(url) => Place::server(url)?,
        None => Place::Folder(data_dir.to_owned()),
    };
    Ok(Store::open(&place).await?)
}

/// A client of the hub and S3, configured by the environment.
fn fetcher(verbosity: Verbosity) -> anyhow::Result<Fetcher> {
    let settings = Settings::read(&environment::variable)?;
    let reporter = match verbosity {
        Verbosity::Quiet => Reporter::silent(),
        Verbosity::Normal | Verbosity::Json => {
            Reporter::new(|event| terminal::note(&event.to_string()))
        }
    };
    Ok(Fetcher::new(settings, reporter)?)
}

/// A matrix and its TOML.
struct MatrixFile {
    text: String,
    matrix: Matrix,
}

fn read_matrix(path: &Path, overrides: &Overrides) -> anyhow::Result<MatrixFile> {
    let bytes = input_file::read(path).with_context(|| {
        format!("can't read the matrix {}: expected the path of a .toml file, such as examples/quickstart.toml", path.display())
    })?;
    let text = text_file::decode(&bytes, path)?;
    let path_of_file = std::path::absolute(path).context("the current folder no longer exists")?;
    let folder = path_of_file.parent().unwrap_or(Path::new("/"));
    let mut matrix = Matrix::check(&text, &path.display().to_string(), folder, overrides)?;
    traces::record(&mut matrix)?;
    Ok(MatrixFile { text, matrix })
}
