//! Campaigns whose controller and agents are killed: the seed determines which of them, and when.

use crate::samples::{Place, counted};
use crate::{Workspace, scripted};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// About 12 ms for each batch, warm-up included.
const SCRIPT: &str = r#"{"seed": 5, "prompt_ms": 4, "token_ms": 1, "per_row_ms": 0.5, "spread": 0.4,
    "output_tokens": 8, "paced": PACED}"#;

const REST: &str = r#"
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

/// The kills of a campaign.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Killed {
    pub controllers: u32,
    /// Agents started by the controller.
    pub locals: u32,
    /// Agents started by the scenario, as an orchestrator would.
    pub remotes: u32,
}

/// The samples of a campaign without kills.
///
/// # Panics
/// If it fails.
pub fn undisturbed() -> BTreeSet<Place> {
    Fleet::start(false).finish().0
}

/// The samples of a campaign with [`KILLS`] kills.
///
/// # Panics
/// If it fails or hangs.
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

#[expect(clippy::disallowed_methods, reason = "kills come at random times")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A controller, its local agent, and two remote agents, which are restarted here.
struct Fleet {
    workspace: Workspace,
    controller: Child,
    listener: Listener,
    remotes: Vec<Child>,
    killed: Killed,
}

/// What agents need to join.
struct Listener {
    address: String,
    token_file: PathBuf,
}

impl Fleet {
    fn start(is_paced: bool) -> Self {
        let script = SCRIPT.replace("PACED", &is_paced.to_string());
        let matrix = format!("seed = 11\n{}", scripted::matrix("kills", 40, REST));
        let workspace = scripted::workspace(&script, &matrix);
        let controller = run(&workspace, &["run", "matrix.toml"]);
        let listener = wait_for(|| listener(&workspace));
        let killed = Killed::default();
        let mut fleet = Self { workspace, controller, listener, remotes: Vec::new(), killed };
        fleet.remotes = (0..2).map(|index| fleet.remote(index)).collect();
        fleet
    }

    fn remote(&self, index: usize) -> Child {
        let file =
            File::options().create(true).append(true).open(self.workspace.path("agents.log"));
        self.workspace
            .agent(&["join", "--target", "remote", "--threads", "1", "--controller"])
            .arg(format!("http://{}", self.listener.address))
            .args(["--simulate-host", &format!("m{index}"), "--token-file"])
            .arg(&self.listener.token_file)
            .stdout(Stdio::null())
            .stderr(file.expect("a file can be written"))
            .spawn()
            .expect("agent starts")
    }

    fn is_running(&mut self) -> bool {
        self.controller.try_wait().expect("a child can be waited for").is_none()
    }

    fn kill_controller(&mut self) {
        self.controller.kill().expect("a running child can be killed");
        self.controller.wait().expect("a child can be waited for");
        // By turns as a user and as a supervisor restart it.
        let arguments: &[&str] = match self.killed.controllers % 2 {
            0 => &["run", "--resume", "latest"],
            _ => &["run", "matrix.toml", "--continue"],
        };
        self.controller = run(&self.workspace, arguments);
        self.killed.controllers += 1;
    }

    fn kill_local(&mut self) {
        for pid in crate::children_of(self.controller.id()) {
            // It may have just ended by itself.
            let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            self.killed.locals += u32::from(killed.is_ok_and(|status| status.success()));
        }
    }

    fn kill_remote(&mut self, index: usize) {
        // A drained agent is not restarted.
        if self.remotes[index].try_wait().expect("a child can be waited for").is_none() {
            self.remotes[index].kill().expect("a running child can be killed");
            self.remotes[index].wait().expect("a child can be waited for");
            self.remotes[index] = self.remote(index);
            self.killed.remotes += 1;
        }
    }

    /// Waits for the end of the campaign.
    fn finish(mut self) -> (BTreeSet<Place>, Killed) {
        let status = self.wait();
        let log = std::fs::read_to_string(self.workspace.path("log")).unwrap_or_default();
        match status.code() {
            Some(0) => {}
            // It was killed between its last sample and its report.
            Some(2) if log.contains("is complete") => {
                let report = ["report", "latest", "--data-dir", "data", "--output", "results.json"];
                let _ = self.workspace.run(&report).expect(0);
            }
            code => panic!("the controller ended with {code:?}:\n{log}"),
        }
        for mut remote in self.remotes {
            // It was drained, or its controller has ended.
            drop(remote.kill());
            remote.wait().expect("a child can be waited for");
        }
        let results = self.workspace.results("results.json");
        assert_eq!(results["campaign"]["missing_samples"], 0, "{log}");
        (counted(&self.workspace.samples("results.json")), self.killed)
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = LIMIT.as_millis() / 20;
        for _ in 0..deadline {
            if let Some(status) = self.controller.try_wait().expect("a child can be waited for") {
                return status;
            }
            pause(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.workspace.path("log")).unwrap_or_default();
        let agents = std::fs::read_to_string(self.workspace.path("agents.log")).unwrap_or_default();
        drop(self.controller.kill());
        panic!("the campaign hangs:\n{log}\nagents:\n{agents}");
    }
}

fn run(workspace: &Workspace, arguments: &[&str]) -> Child {
    let file = File::options().create(true).append(true).open(workspace.path("log"));
    workspace
        .controller(arguments)
        .args(["--output", "results.json", "--data-dir", "data"])
        .stdout(Stdio::null())
        .stderr(file.expect("a file can be written"))
        .spawn()
        .expect("controller starts")
}

/// Where the controller listens, once it does.
fn listener(workspace: &Workspace) -> Option<Listener> {
    let mut campaigns = std::fs::read_dir(workspace.path("data/campaigns")).ok()?;
    let folder = campaigns.find_map(Result::ok)?.path();
    let address = std::fs::read_to_string(folder.join("address")).ok()?;
    address.parse::<std::net::SocketAddr>().ok()?;
    Some(Listener { address, token_file: folder.join("token") })
}

fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = there() {
            return found;
        }
        pause(Duration::from_millis(10));
    }
    panic!("the controller doesn't listen after 10 s");
}
