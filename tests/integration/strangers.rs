//! Clients that connect and don't read, or don't send all of it, at the listeners of the real programs.

use scenarios::strangers::{STRANGERS, TARGET, limited, run_amid};
use scenarios::{Workspace, scripted, waiting};
use std::io::Write;
use std::net::TcpStream;

/// Files that the controller may have open: less than there are strangers.
const DESCRIPTORS: usize = 96;

#[test]
fn viewers_that_do_not_read_leave_descriptors_for_agents_and_results() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", waiting::matrix("strangers", waiting::THERE));
    let run = ["run", "matrix.toml", "--web", "127.0.0.1:0", "--output", "results.json"];
    // The soft limit is raised to the hard limit.
    let limits = format!("ulimit -Sn 80 && ulimit -Hn {DESCRIPTORS}");
    let mut running = limited(&workspace.controller(&run), &limits);
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

/// What a sample says, without the host that measured it and the time of that host.
type Said = (String, i32, String, i32, Option<i64>, i64, i32, String, bool);

/// The samples of a campaign whose times come from a script.
fn samples_amid(strangers: usize) -> Vec<Said> {
    let script =
        r#"{"seed": 3, "prompt_ms": 5, "token_ms": 1, "spread": 0.1, "output_tokens": 10}"#;
    let factors = "[factors]\nbatch_sizes = [1, 4]\n[protocol]\nruns = 3\nwarmup = 1\n";
    let matrix = scripted::matrix("strangers", 100, &[factors, TARGET].concat());
    let workspace = scripted::workspace(script, &matrix);
    run_amid(strangers, &workspace);
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["state"], "complete");
    assert_eq!(results["campaign"]["missing_samples"], 0);
    let rows = workspace.samples("results.json").into_iter();
    let mut said: Vec<Said> = rows
        .map(|row| {
            let (cell, sample, outcome) = (row.cell, row.sample_id, row.outcome);
            let (ttft, latency) = (row.ttft_ns, row.latency_ns);
            (
                cell,
                row.run,
                sample,
                row.batch,
                ttft,
                latency,
                row.output_tokens,
                outcome,
                row.counted,
            )
        })
        .collect();
    said.sort();
    said
}

#[test]
fn a_campaign_amid_512_strangers_has_the_samples_of_an_undisturbed_one() {
    let undisturbed = samples_amid(0);
    assert_eq!(undisturbed.len(), 600);
    assert!(samples_amid(STRANGERS) == undisturbed, "the samples differ");
}
