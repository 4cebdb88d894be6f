//! Clients that connect and don't read, at the listeners of the real programs.

use scenarios::{Running, Workspace, waiting};
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

/// Files that the controller may have open: less than there are strangers.
const DESCRIPTORS: usize = 96;

/// Starts a program with few file descriptors, and a soft limit below.
fn with_few_descriptors(command: &Command) -> Running {
    let script = format!("ulimit -Sn 80 && ulimit -Hn {DESCRIPTORS} && exec \"$0\" \"$@\"");
    let mut limited = Command::new("sh");
    limited.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().expect("it runs in a workspace"));
    Running::of(&mut limited)
}

#[test]
fn viewers_that_do_not_read_leave_descriptors_for_agents_and_results() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", waiting::matrix("strangers", waiting::THERE));
    let run = ["run", "matrix.toml", "--web", "127.0.0.1:0", "--output", "results.json"];
    let mut running = with_few_descriptors(&workspace.controller(&run));
    let join = running.join_command();
    let page = running.until("live page on http://");
    let page = page.trim().rsplit_once("http://").expect("a URL").1.trim_end_matches('/');
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id()));
    let limits = limits.expect("it is running");
    let files = limits.lines().find(|line| line.starts_with("Max open files"));
    let raised: Vec<_> = files.expect("it is listed").split_whitespace().skip(3).take(2).collect();
    assert_eq!(raised, [DESCRIPTORS.to_string(), DESCRIPTORS.to_string()], "soft and hard limit");
    // More answers than the system buffers.
    let requests = "GET /inter.woff2 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let strangers: Vec<_> = (0..DESCRIPTORS + 14)
        .map(|_| {
            let mut stranger = TcpStream::connect(page).expect("the system queues it");
            stranger.write_all(requests.as_bytes()).expect("the system queues it");
            stranger
        })
        .collect();
    let agent = workspace.start_agent(&[
        "join",
        "--controller",
        &join.controller,
        "--token-file",
        &join.token_file,
        "--target",
        "there",
        "--threads",
        "1",
    ]);
    let _ = agent.finish().expect(0);
    let _ = running.finish().expect(0);
    assert_eq!(workspace.samples("results.json").len(), 4);
    drop(strangers);
}
