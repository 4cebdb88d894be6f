//! Joining over TLS: real handshakes between the real programs. Refused agents learn the reason, are logged once and
//! counted.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use scenarios::{Finished, Running, Workspace, waiting};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// A controller that serves TLS on loopback and waits for agents of `there`.
struct Served {
    workspace: Workspace,
    running: Running,
    port: String,
    metrics: String,
}

/// Refusals as the controller logged them, and its counts by reason.
struct Refused {
    lines: Vec<String>,
    counts: BTreeMap<String, u64>,
}

fn serve() -> Served {
    serve_for(1)
}

fn serve_for(agents: u32) -> Served {
    let workspace = Workspace::default();
    let target = waiting::THERE.replace("usd", &format!("agents = {agents}\nusd"));
    workspace.write("matrix.toml", waiting::matrix("joining", &target));
    let further = "--output results.json --log-level info --metrics 127.0.0.1:0";
    let (mut running, port) = waiting::over_tls(&workspace, further);
    running.until("agent join");
    let line = running.until("serving metrics");
    let metrics = line.trim().rsplit('=').next().expect("the line ends with an address").to_owned();
    Served { workspace, running, port, metrics }
}

impl Served {
    fn join(&self, url: &str, arguments: &[&str]) -> Finished {
        self.start(url, arguments).finish()
    }

    /// Starts an agent.
    fn start(&self, url: &str, arguments: &[&str]) -> Running {
        let url = url.replace("PORT", &self.port);
        let mut all = vec!["join", "--controller", &url, "--target", "there", "--threads", "1"];
        all.extend(arguments);
        self.workspace.start_agent(&all)
    }

    /// Runs an agent with a valid certificate.
    fn join_valid(&self) -> Finished {
        self.join("https://127.0.0.1:PORT", &with("certs/agent"))
    }

    /// Refusals so far by reason, without zeros.
    fn counts(&self) -> BTreeMap<String, u64> {
        let mut stream = TcpStream::connect(&self.metrics).expect("metrics are served");
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let counts = text.lines().filter_map(|line| {
            let (reason, count) =
                line.strip_prefix("fleetmark_refusals_total{reason=\"")?.split_once("\"} ")?;
            Some((reason.to_owned(), count.parse().ok()?))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Waits for a refusal, then as [`Served::finish`].
    fn refused(mut self) -> Refused {
        // An agent that aborts the handshake may end before the controller notices.
        self.running.until("refused: ");
        self.finish()
    }

    /// Lets a valid agent finish the campaign, and returns the refusals.
    fn finish(self) -> Refused {
        let counts = self.counts();
        let _ = self.join_valid().expect(0);
        let finished = self.running.finish().expect(0);
        let lines = finished.err.lines().filter(|line| line.contains("refused: "));
        Refused { lines: lines.map(str::to_owned).collect(), counts }
    }
}

/// The arguments of an agent with this certificate.
fn with(name: &str) -> [&str; 6] {
    match name {
        "certs/agent" => {
            ["--ca", "certs/ca.pem", "--cert", "certs/agent.pem", "--key", "certs/agent.key"]
        }
        "other/agent" => {
            ["--ca", "certs/ca.pem", "--cert", "other/agent.pem", "--key", "other/agent.key"]
        }
        _ => ["--ca", "certs/ca.pem", "--cert", "expired.pem", "--key", "expired.key"],
    }
}

/// Checks that all refusals have one reason, and were logged once.
fn once(refused: &Refused, reason: &str, times: u64) {
    let Refused { lines, counts } = refused;
    let found = lines.iter().filter(|line| line.contains(reason)).count();
    assert_eq!((found, lines.len()), (1, 1), "{reason} in {lines:#?}");
    assert_eq!(*counts, BTreeMap::from([(reason.to_owned(), times)]));
}

/// Issues a certificate that expired long ago.
fn expired(workspace: &Workspace, folder: &Path, name: &str, usage: ExtendedKeyUsagePurpose) {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("certs init made it");
    let key = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), key).expect("an authority");
    let hosts = ["127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(hosts).expect("an address");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    params.extended_key_usages = vec![usage];
    let own = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&own, &issuer).expect("a certificate");
    workspace.write(&format!("{name}.pem"), certificate.pem());
    workspace.write(&format!("{name}.key"), own.serialize_pem());
}

#[test]
fn listening_off_loopback_requires_certificates() {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", waiting::matrix("joining", waiting::THERE));
    let finished = workspace.run(&["run", "matrix.toml", "--listen", "0.0.0.0:0"]).expect(2);
    assert!(finished.err.contains("controller certs init --host"), "{}", finished.err);
}

#[test]
fn an_agent_with_a_valid_certificate_joins() {
    let served = serve();
    let Refused { lines, counts } = served.finish();
    assert!(lines.is_empty() && counts.is_empty(), "{lines:?} {counts:?}");
}

#[test]
fn an_agent_with_a_certificate_signs_its_samples() {
    let served = serve();
    let _ = served.join_valid().expect(0);
    let Served { workspace, running, .. } = served;
    let _ = running.finish().expect(0);
    let bundle = ["bundle", "latest", "--key", "certs/controller.key", "--output", "made.tar"];
    for texts in [&[][..], &["--texts"]] {
        let _ = workspace.run(&[&bundle, texts].concat()).expect(0);
        let verify = ["verify", "made.tar", "--certificate", "certs/controller.pem"];
        let ca = ["--agent-ca", "certs/ca.pem"];
        let verified = workspace.run(&[&verify[..], &ca].concat()).expect(0);
        let expected = "1 of 1 attempts signed by their agents' certificates; \
            all verify, issued by certs/ca.pem\n";
        assert!(verified.out.contains(expected), "{}", verified.out);
    }
}

#[test]
fn a_foreign_certificate_is_refused() {
    let served = serve();
    let _ = served.workspace.run(&["certs", "init", "--dir", "other"]).expect(0);
    let agent = served.join("https://127.0.0.1:PORT", &with("other/agent")).expect(2);
    assert!(agent.err.contains("rejected the certificate in --cert"), "{}", agent.err);
    once(&served.refused(), "handshake", 1);
}

#[test]
fn an_expired_certificate_is_refused() {
    let served = serve();
    let folder = served.workspace.path("certs");
    expired(&served.workspace, &folder, "expired", ExtendedKeyUsagePurpose::ClientAuth);
    let agent = served.join("https://127.0.0.1:PORT", &with("expired")).expect(2);
    assert!(agent.err.contains("the certificate in --cert has expired"), "{}", agent.err);
    once(&served.refused(), "handshake", 1);
}

#[test]
fn an_agent_without_certificate_and_token_is_refused() {
    let served = serve();
    let agent = served.join("https://127.0.0.1:PORT", &["--ca", "certs/ca.pem"]).expect(2);
    assert!(agent.err.contains("no token and no certificate"), "{}", agent.err);
    once(&served.refused(), "identity", 1);
}

#[test]
fn an_unknown_token_is_refused() {
    let served = serve();
    served.workspace.write("token", "secret-of-nobody");
    let arguments = ["--ca", "certs/ca.pem", "--token-file", "token"];
    let agent = served.join("https://127.0.0.1:PORT", &arguments).expect(2);
    assert!(agent.err.contains("unknown token; start the agent"), "{}", agent.err);
    let refused = served.refused();
    once(&refused, "identity", 1);
    assert!(!refused.lines[0].contains("secret-of-nobody"), "{:?}", refused.lines);
}

#[test]
fn a_controller_of_another_authority_is_not_trusted() {
    let served = serve();
    let _ = served.workspace.run(&["certs", "init", "--dir", "other"]).expect(0);
    let arguments =
        ["--ca", "other/ca.pem", "--cert", "certs/agent.pem", "--key", "certs/agent.key"];
    let agent = served.join("https://127.0.0.1:PORT", &arguments).expect(2);
    assert!(agent.err.contains("is not signed by the CA in --ca"), "{}", agent.err);
    once(&served.refused(), "handshake", 1);
}

#[test]
fn a_controller_under_another_name_is_not_trusted() {
    let served = serve();
    let agent = served.join("https://127.0.0.2:PORT", &with("certs/agent")).expect(2);
    assert!(agent.err.contains("does not cover the host in --controller"), "{}", agent.err);
    once(&served.refused(), "handshake", 1);
}

#[test]
fn plain_http_to_a_tls_port_is_refused() {
    let served = serve();
    let agent = served.join("http://127.0.0.1:PORT", &[]).expect(2);
    assert!(agent.err.contains("https"), "{}", agent.err);
    once(&served.refused(), "not_tls", 1);
}

#[test]
fn a_revoked_token_and_a_revoked_certificate_are_refused() {
    let served = serve();
    let run = |arguments: &[&str]| served.workspace.run(arguments).expect(0);
    let _ = run(&["agents", "add", "a1"]);
    let _ = run(&["certs", "agent", "a2", "--dir", "certs"]);
    let _ = run(&["agents", "revoke", "a1"]);
    let _ = run(&["agents", "revoke", "a2"]);
    let token = ["--ca", "certs/ca.pem", "--token-file", "a1.token"];
    let agent = served.join("https://127.0.0.1:PORT", &token).expect(2);
    assert!(agent.err.contains("the token was revoked"), "{}", agent.err);
    let certificate = ["--ca", "certs/ca.pem", "--cert", "certs/a2.pem", "--key", "certs/a2.key"];
    let agent = served.join("https://127.0.0.1:PORT", &certificate).expect(2);
    assert!(agent.err.contains("the certificate was revoked"), "{}", agent.err);
    // The same peer and reason: logged once, counted twice.
    once(&served.refused(), "revoked", 2);
}

#[test]
fn a_revoked_token_closes_an_open_stream_and_the_campaign_continues() {
    let mut served = serve_for(2);
    let _ = served.workspace.run(&["agents", "add", "a1"]).expect(0);
    let token = ["--ca", "certs/ca.pem", "--token-file", "a1.token"];
    let revoked = served.start("https://127.0.0.1:PORT", &token);
    served.running.until("joined for there");
    let _ = served.workspace.run(&["agents", "revoke", "a1"]).expect(0);
    let revoked = revoked.finish().expect(2);
    assert!(revoked.err.contains("the token was revoked"), "{}", revoked.err);
    let first = served.start("https://127.0.0.1:PORT", &with("certs/agent"));
    let refused = served.refused();
    let _ = first.finish().expect(0);
    once(&refused, "revoked", 1);
}

#[test]
fn a_running_controller_reloads_a_renewed_certificate() {
    let mut served = serve();
    let renew = ["certs", "controller", "--dir", "certs", "--host", "127.0.0.2"];
    let _ = served.workspace.run(&renew).expect(0);
    served.running.until("reloaded the certificates");
    let agent = served.join("https://127.0.0.2:PORT", &with("certs/agent")).expect(0);
    assert!(agent.err.contains("drained by the controller"), "{}", agent.err);
    let finished = served.running.finish().expect(0);
    assert!(!finished.err.contains("refused: "), "{}", finished.err);
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it is a folder").flatten();
    let of = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| of(entry.path())).collect()
}

#[test]
fn a_token_is_stored_in_its_file_and_nowhere_else() {
    let served = serve();
    let _ = served.workspace.run(&["agents", "add", "a1"]).expect(0);
    let secret = std::fs::read_to_string(served.workspace.path("a1.token")).expect("it is made");
    let secret = secret.trim().as_bytes().to_owned();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    let token = ["--ca", "certs/ca.pem", "--token-file", "a1.token"];
    let mut agent = served.start("https://127.0.0.1:PORT", &token);
    agent.until("joining https://");
    for process in files_of_processes() {
        assert!(!holds(&process), "a process exposes the token");
    }
    let agent = agent.finish().expect(0);
    let Served { workspace, running, .. } = served;
    let controller = running.finish().expect(0);
    for said in [&agent.out, &agent.err, &controller.out, &controller.err] {
        assert!(!holds(said.as_bytes()), "a program prints the token");
    }
    let hold = |path: &std::path::PathBuf| holds(&std::fs::read(path).expect("it can be read"));
    let found: Vec<_> = files(&workspace.path("")).into_iter().filter(hold).collect();
    assert_eq!(found, [workspace.path("a1.token")]);
}

/// Arguments and environments of all readable processes.
fn files_of_processes() -> Vec<Vec<u8>> {
    let processes = std::fs::read_dir("/proc").expect("it is Linux").flatten();
    let read = |entry: std::fs::DirEntry| {
        ["cmdline", "environ"]
            .map(|name| std::fs::read(entry.path().join(name)).unwrap_or_default())
    };
    processes.flat_map(read).collect()
}
