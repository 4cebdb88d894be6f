//! Campaigns whose controller and agents are killed, by seed: what, and when, follows from it.

use crate::{Row, Workspace, program};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// About 12 ms for each batch that is decoded, and as much for each that warms up.
const SCRIPT: &str = r#"{"seed": 5, "prompt_ms": 4, "token_ms": 1, "per_row_ms": 0.5, "spread": 0.4,
    "output_tokens": 8, "paced": PACED}"#;

const MATRIX: &str = r#"
name = "kills"
seed = 11
[dataset]
source = "builtin:dialogues"
samples = 40
[[model]]
name = "script"
id = "scripted:script.json"
[factors]
batch_sizes = [1, 4]
[protocol]
runs = 2
warmup = 1
[[fleet.local]]
target = "local"
threads = 1
usd_per_hour = 0.1
[[target]]
name = "remote"
agents = 2
usd_per_hour = 0.2
[fleet]
wait = "60s"
"#;

/// Kills in one campaign.
const KILLS: u32 = 6;
/// Longest pause before a kill, in milliseconds.
const PAUSE: u64 = 700;
/// A campaign that takes longer hangs.
const LIMIT: Duration = Duration::from_mins(2);

/// Where a sample belongs: cell, round, dialogue, batch.
pub type Place = (String, i32, String, i32);

/// What is counted.
///
/// # Panics
/// Where a sample is counted twice.
pub fn counted(rows: &[Row]) -> BTreeSet<Place> {
    let counted: Vec<&Row> = rows.iter().filter(|row| row.counted).collect();
    let place = |row: &&Row| (row.cell.clone(), row.run, row.sample_id.clone(), row.batch);
    let places: BTreeSet<Place> = counted.iter().map(place).collect();
    let samples: BTreeSet<_> = places.iter().map(|place| (&place.0, place.1, &place.2)).collect();
    assert_eq!(samples.len(), counted.len(), "a sample is counted twice");
    places
}

/// What was killed in a campaign.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Killed {
    /// Controllers.
    pub controllers: u32,
    /// Agents that the controller keeps.
    pub locals: u32,
    /// Agents that somebody else keeps.
    pub remotes: u32,
}

/// The campaign, undisturbed.
///
/// # Panics
/// Where it fails.
pub fn undisturbed() -> BTreeSet<Place> {
    Fleet::start(false).finish().0
}

/// The campaign with [`KILLS`] kills; what it counted, and what was killed.
///
/// # Panics
/// Where it fails or hangs.
pub fn disturbed(seed: u64) -> (BTreeSet<Place>, Killed) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut fleet = Fleet::start(true);
    for _ in 0..KILLS {
        pause(Duration::from_millis(random.random_range(0..PAUSE)));
        if !fleet.is_running() {
            break;
        }
        match random.random_range(0..4) {
            0 => fleet.kill_controller(),
            1 => fleet.kill_local(),
            _ => fleet.kill_remote(random.random_range(0..2)),
        }
    }
    fleet.finish()
}

#[expect(clippy::disallowed_methods, reason = "chance says when something is killed")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A controller, its local agent, and two agents that are kept by this test as an orchestrator would.
struct Fleet {
    workspace: Workspace,
    controller: Child,
    /// None until the controller says where it listens.
    door: (String, PathBuf),
    remotes: Vec<Child>,
    killed: Killed,
}

impl Fleet {
    fn start(is_paced: bool) -> Self {
        let workspace = Workspace::default();
        workspace.write("script.json", SCRIPT.replace("PACED", &is_paced.to_string()));
        workspace.write("matrix.toml", MATRIX);
        let controller = run(&workspace, &["run", "matrix.toml"]);
        let door = wait_for(|| door(&workspace));
        let mut fleet =
            Self { workspace, controller, door, remotes: Vec::new(), killed: Killed::default() };
        fleet.remotes = (0..2).map(|index| fleet.remote(index)).collect();
        fleet
    }

    fn remote(&self, index: usize) -> Child {
        let log = File::options().create(true).append(true).open(self.workspace.path("agents.log"));
        Command::new(program("agent"))
            .current_dir(self.workspace.path(""))
            .args(["join", "--target", "remote", "--threads", "1", "--controller"])
            .arg(format!("http://{}", self.door.0))
            .args(["--simulate-host", &format!("m{index}"), "--token-file"])
            .arg(&self.door.1)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a file can be written"))
            .spawn()
            .expect("agent starts")
    }

    fn is_running(&mut self) -> bool {
        self.controller.try_wait().expect("it can be waited for").is_none()
    }

    fn kill_controller(&mut self) {
        self.controller.kill().expect("it runs");
        self.controller.wait().expect("it can be waited for");
        self.controller = run(&self.workspace, &["run", "--resume", "latest"]);
        self.killed.controllers += 1;
    }

    fn kill_local(&mut self) {
        for pid in crate::children_of(self.controller.id()) {
            // It may have ended by itself at this moment.
            let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            self.killed.locals += u32::from(killed.is_ok_and(|status| status.success()));
        }
    }

    fn kill_remote(&mut self, index: usize) {
        // One that was sent home stays there.
        if self.remotes[index].try_wait().expect("it can be waited for").is_none() {
            self.remotes[index].kill().expect("it runs");
            self.remotes[index].wait().expect("it can be waited for");
            self.remotes[index] = self.remote(index);
            self.killed.remotes += 1;
        }
    }

    /// Waits for the end, and goes on with the campaign as a person would where it ended too early.
    fn finish(mut self) -> (BTreeSet<Place>, Killed) {
        let status = self.wait();
        let said = std::fs::read_to_string(self.workspace.path("log")).unwrap_or_default();
        match status.code() {
            Some(0) => {}
            // It was killed after its last sample, and before its report.
            Some(2) if said.contains("is complete") => {
                let report = ["report", "latest", "--data-dir", "data", "--output", "results.json"];
                let _ = self.workspace.run(&report).expect(0);
            }
            code => panic!("it ended with {code:?}:\n{said}"),
        }
        for mut remote in self.remotes {
            // Sent home, or its controller is gone for good.
            drop(remote.kill());
            remote.wait().expect("it can be waited for");
        }
        let results = self.workspace.results("results.json");
        assert_eq!(results["campaign"]["missing_samples"], 0, "{said}");
        (counted(&self.workspace.samples("results.json")), self.killed)
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = LIMIT.as_millis() / 20;
        for _ in 0..deadline {
            if let Some(status) = self.controller.try_wait().expect("it can be waited for") {
                return status;
            }
            pause(Duration::from_millis(20));
        }
        let said = std::fs::read_to_string(self.workspace.path("log")).unwrap_or_default();
        let agents = std::fs::read_to_string(self.workspace.path("agents.log")).unwrap_or_default();
        drop(self.controller.kill());
        panic!("it hangs:\n{said}\nagents:\n{agents}");
    }
}

fn run(workspace: &Workspace, arguments: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(workspace.path("log"));
    workspace
        .controller(arguments)
        .args(["--output", "results.json", "--data-dir", "data"])
        .stdout(Stdio::null())
        .stderr(log.expect("a file can be written"))
        .spawn()
        .expect("controller starts")
}

/// Where agents dial in and what proves that they may, once the controller says so.
fn door(workspace: &Workspace) -> Option<(String, PathBuf)> {
    let mut campaigns = std::fs::read_dir(workspace.path("data/campaigns")).ok()?;
    let folder = campaigns.find_map(Result::ok)?.path();
    let address = std::fs::read_to_string(folder.join("address")).ok()?;
    address.parse::<std::net::SocketAddr>().ok()?;
    Some((address, folder.join("token")))
}

fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = there() {
            return found;
        }
        pause(Duration::from_millis(10));
    }
    panic!("it didn't come within 10 s");
}
