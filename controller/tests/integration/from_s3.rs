//! `controller report s3://...` with a stub of S3 on loopback: what is printed, copied and refused.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use super::campaigns::{Made, controller, said, write};
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

/// Objects by their paths, with the bucket.
type Objects = BTreeMap<String, Vec<u8>>;

async fn answer(State(objects): State<Arc<Objects>>, method: Method, uri: Uri) -> Response {
    let Some(bytes) = objects.get(uri.path()) else {
        // A bucket exists.
        let is_bucket = uri.path().matches('/').count() == 1;
        return if is_bucket { StatusCode::OK } else { StatusCode::NOT_FOUND }.into_response();
    };
    let headers = [
        (header::ETAG, format!("\"{}\"", bytes.len())),
        (header::CONTENT_LENGTH, bytes.len().to_string()),
    ];
    let body = if method == Method::HEAD { Vec::new() } else { bytes.clone() };
    (headers, body).into_response()
}

/// A campaign's results in a bucket, after `change`.
struct Bucket {
    results: Vec<u8>,
    samples: Vec<u8>,
    /// A cache and a working folder.
    folder: TempDir,
    objects: Objects,
}

const RESULTS: &str = "/bucket/runs/results.json";

impl Bucket {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = folder.path().join("made");
        write(&made.join(".fleetmark"), &Made::default());
        let reported = controller(&made, &["report", "--output", "results.json"]);
        assert!(reported.status.success(), "{}", said(&reported));
        let read = |name: &str| std::fs::read(made.join(name)).unwrap();
        let (results, samples) = (read("results.json"), read("results.samples.parquet"));
        let objects = Objects::from([
            (RESULTS.to_owned(), results.clone()),
            ("/bucket/runs/results.samples.parquet".to_owned(), samples.clone()),
        ]);
        std::fs::create_dir(folder.path().join("here")).unwrap();
        Self { results, samples, folder, objects }
    }

    fn here(&self) -> std::path::PathBuf {
        self.folder.path().join("here")
    }

    /// Runs `report s3://bucket/runs/results.json` in [`Self::here`].
    fn report(&self, more: &[&str]) -> Output {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::new(self.objects.clone()));
        runtime.spawn(async move { axum::serve(listener, app).await });
        let mut command = Command::new(env!("CARGO_BIN_EXE_controller"));
        for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"] {
            command.env_remove(name);
        }
        command
            .current_dir(self.here())
            .args(["report", "s3://bucket/runs/results.json"])
            .args(more)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "verysecret")
            .env("AWS_CONFIG_FILE", self.folder.path().join("none"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.folder.path().join("none"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("FLEETMARK_CACHE", self.folder.path().join("cache"))
            .env("NO_PROXY", "*")
            .output()
            .unwrap()
    }

    fn written(&self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in self.here().read_dir().unwrap() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
        names.sort();
        names
    }

    /// Renames the samples in results.json and in the bucket.
    fn rename_samples(&mut self, name: &str) {
        let text = String::from_utf8(self.results.clone()).unwrap();
        let quoted = serde_json::Value::from(name).to_string();
        let text = text.replace("\"results.samples.parquet\"", &quoted);
        assert!(text.contains(&quoted));
        let last = name.rsplit('/').next().unwrap();
        self.objects = Objects::from([
            (RESULTS.to_owned(), text.into_bytes()),
            (format!("/bucket/runs/{last}"), self.samples.clone()),
        ]);
    }
}

#[test]
fn results_are_copied_byte_by_byte_and_other_formats_are_rendered() {
    let bucket = Bucket::new();
    let shown = bucket.report(&[]);
    assert!(said(&shown).contains("USD per 1,000"), "{}", said(&shown));
    assert!(bucket.written().is_empty());

    let copied = bucket.report(&["--output", "copy.json"]);
    assert!(copied.status.success(), "{}", said(&copied));
    assert_eq!(bucket.written(), ["copy.json", "results.samples.parquet"]);
    let read = |name: &str| std::fs::read(bucket.here().join(name)).unwrap();
    assert_eq!(read("copy.json"), bucket.results);
    assert_eq!(read("results.samples.parquet"), bucket.samples);

    let both = bucket.report(&["--output-dir", "out", "--formats", "markdown,csv"]);
    assert!(both.status.success(), "{}", said(&both));
    let out = bucket.here().join("out");
    assert!(std::fs::read_to_string(out.join("report.md")).unwrap().starts_with("# "));
    assert!(out.join("cells.csv").is_file() && !out.join("results.json").exists());

    let logs = bucket.report(&["--output-dir", "logs", "--formats", "mlperf"]);
    assert!(logs.status.success(), "{}", said(&logs));
    let mut cells = bucket.here().join("logs/mlperf").read_dir().unwrap();
    assert!(cells.all(|cell| cell.unwrap().path().join("mlperf_log_summary.txt").is_file()));
}

#[test]
fn standard_output_gets_the_format_that_is_asked_for() {
    let bucket = Bucket::new();
    let json = bucket.report(&["--output", "-"]);
    assert_eq!(json.stdout.trim_ascii_end(), bucket.results.trim_ascii_end());
    let markdown = bucket.report(&["--output", "-", "--formats", "markdown"]);
    assert!(markdown.stdout.starts_with(b"# "), "{}", said(&markdown));
    for (more, words) in [
        (&["--output", "-", "--formats", "pdf"][..], "is not text"),
        (&["--output", "-", "--formats", "json,csv"], "writes one format"),
        (&["--formats", "html"], "expected --output-dir or --output"),
        (&["--prices", "book.toml"], "--prices"),
        (&["--output", "."], "is a folder"),
    ] {
        let refused = said(&bucket.report(more));
        assert!(refused.starts_with("exit 2\n") && refused.contains(words), "{more:?}: {refused}");
    }
    assert!(bucket.written().is_empty());
}

#[test]
fn a_name_in_foreign_results_leads_nowhere() {
    for name in ["../escaped.samples.parquet", "/tmp/../escaped.samples.parquet", "..", ".bashrc"] {
        let mut bucket = Bucket::new();
        bucket.rename_samples(name);
        let refused = said(&bucket.report(&["--output", "copy.json"]));
        assert!(refused.starts_with("exit 2\n"), "{name}: {refused}");
        assert!(refused.contains(name) && refused.contains("expected the name of"), "{refused}");
        assert!(bucket.written().is_empty(), "{name}: {:?}", bucket.written());
        let escaped = |path: &Path| path.join("escaped.samples.parquet").exists();
        assert!(!escaped(bucket.folder.path()) && !escaped(Path::new("/tmp")));
    }
}
