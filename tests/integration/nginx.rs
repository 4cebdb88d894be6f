//! An endpoint behind a real reverse proxy: nginx with TLS, a private CA and HTTP/2 on offer.

use scenarios::serving::Serving;
use scenarios::{Finished, Workspace};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// nginx in front of `agent serve`, stopped when dropped.
struct Proxy<'a> {
    workspace: &'a Workspace,
    port: u16,
}

impl<'a> Proxy<'a> {
    fn start(workspace: &'a Workspace, upstream: &str) -> Self {
        let certs = ["certs", "init", "--dir", "certs", "--host", "localhost"];
        let _ = workspace.run(&certs).expect(0);
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let folder = workspace.path(".");
        let folder = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/{name};"))
            .concat();
        let settings = format!(
            r#"
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    {temporary}
    log_format protocols '$request_method $ssl_protocol $server_protocol $status $connection_requests';
    access_log {folder}/access.log protocols;
    upstream served {{ server {upstream}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        server_name localhost;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {folder}/certs/controller.pem;
        ssl_certificate_key {folder}/certs/controller.key;
        location / {{
            proxy_pass http://served;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"#
        );
        workspace.write("nginx.conf", settings);
        let proxy = Self { workspace, port };
        // It returns once it listens.
        let started = proxy.nginx(&[]).output().expect("nginx is installed");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        proxy
    }

    fn nginx(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.workspace.path("nginx.conf")).args(arguments);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        // If it didn't start, there is nothing to stop.
        drop(self.nginx(&["-s", "stop"]).output());
    }
}

fn matrix(port: u16, http_version: &str) -> String {
    format!(
        r#"
name = "behind-nginx"
[dataset]
source = "builtin:dialogues"
samples = 12
[[model]]
name = "served"
id = "https://localhost:{port}/v1/chat/completions"
[model.endpoint]
api = "openai-chat"
model = "fleetmark"
http_version = "{http_version}"
[factors]
scenarios = ["offline", "server"]
batch_sizes = [4]
[generation]
max_new_tokens = 24
[protocol]
runs = 2
warmup = 1
server = {{ request_rates = [20] }}
[[fleet.local]]
target = "behind"
threads = 1
usd_per_hour = 0.36
"#
    )
}

#[test]
#[ignore = "needs nginx: tests/services.sh nginx"]
fn streams_come_through_a_proxy_with_tls_of_a_private_ca() {
    let workspace = Workspace::default();
    let serving = Serving::start(&workspace, "builtin:tiny", &["--batch-size", "8"]);
    let proxy = Proxy::start(&workspace, serving.address());
    workspace.write("matrix.toml", matrix(proxy.port, "1.1"));
    let run = ["run", "matrix.toml", "--output", "results.json"];

    let unknown = Finished::of(&mut workspace.controller(&run)).expect(2);
    assert!(unknown.err.contains("TLS handshake failed"), "{}", unknown.err);

    let authority = workspace.path("certs/ca.pem");
    let _ = Finished::of(workspace.controller(&run).env("SSL_CERT_FILE", &authority)).expect(0);
    let results = workspace.results("results.json");
    for entry in results["results"].as_array().expect("entries") {
        let cell = &entry["cells"][0];
        assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(24), &json!(0)));
        assert!(cell["estimates"]["ttft_ms"]["mean"]["value"].is_f64(), "{cell}");
        assert!(cell["stream"]["gap_ms"]["n"].as_u64().expect("gaps") > 0, "{cell}");
    }
    let scenarios = results["results"].as_array().expect("entries").iter();
    let offline = scenarios.clone().find(|entry| entry["scenario"] == "offline");
    // The warm-up opened the connections, and they were kept.
    let connects = &offline.expect("it is measured")["cells"][0]["http"]["connect_ms"]["n"];
    assert_eq!(*connects, Value::from(0));

    let log = std::fs::read_to_string(workspace.path("access.log")).expect("nginx logs");
    let posts: Vec<&str> = log.lines().filter(|line| line.starts_with("POST")).collect();
    assert!(posts.len() >= 48, "{log}");
    assert!(posts.iter().all(|line| line.starts_with("POST TLSv1.3 HTTP/1.1 200 ")), "{log}");
    let answered = posts.len();

    workspace.write("matrix.toml", matrix(proxy.port, "2"));
    let run = ["run", "matrix.toml", "--output", "second.json"];
    let _ = Finished::of(workspace.controller(&run).env("SSL_CERT_FILE", &authority)).expect(0);
    let results = workspace.results("second.json");
    for entry in results["results"].as_array().expect("entries") {
        let cell = &entry["cells"][0];
        assert_eq!((&cell["counted_samples"], &cell["failed_samples"]), (&json!(24), &json!(0)));
        assert!(cell["stream"]["gap_ms"]["n"].as_u64().expect("gaps") > 0, "{cell}");
        let notes = entry["engine"]["notes"].to_string();
        assert!(notes.contains("streams of one HTTP/2 connection"), "{notes}");
    }
    let log = std::fs::read_to_string(workspace.path("access.log")).expect("nginx logs");
    let posts: Vec<&str> = log.lines().filter(|line| line.starts_with("POST")).collect();
    let posts = &posts[answered..];
    assert!(posts.iter().all(|line| line.starts_with("POST TLSv1.3 HTTP/2.0 200 ")), "{log}");
    // All of them through few connections: one of each process of the agent.
    let first = |line: &&&str| line.ends_with(" 1");
    assert!(posts.len() >= 48 && posts.iter().filter(first).count() <= 3, "{log}");
    drop(proxy);
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}
