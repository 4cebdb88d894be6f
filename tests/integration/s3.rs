//! Models, adapters, datasets and artifacts in S3. `tests/services.sh s3` starts a server and runs these.

use scenarios::generate::{TINY, output, tiny};
use scenarios::s3::{Fault, S3};
use scenarios::{Finished, Workspace, aws, generate, repository};
use std::io::Write;
use std::process::Command;

/// The server, behind a proxy of this test's own.
#[expect(clippy::disallowed_methods, reason = "tests/services.sh passes the server's address")]
fn s3() -> S3 {
    S3::before(&std::env::var("FLEETMARK_TEST_S3").expect("FLEETMARK_TEST_S3 names a server"))
}

fn generated(workspace: &Workspace, s3: &S3, model: &[&str]) -> Finished {
    let mut command = generate::command(workspace, model);
    Finished::of(aws::at(&mut command, workspace, &s3.url()))
}

/// A `model.tar.gz` of these files, made by the system's own tar.
fn archive(workspace: &Workspace, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    std::fs::create_dir_all(workspace.path("packed")).expect("a folder can be made");
    for (name, bytes) in files {
        workspace.write(&format!("packed/{name}"), bytes);
    }
    let mut tar = Command::new("tar");
    let output = tar.args(["-cz", "-C"]).arg(workspace.path("packed")).arg(".").output();
    output.expect("tar is there").stdout
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn a_model_below_a_prefix_and_its_archive_are_the_same_model() {
    let s3 = s3();
    let workspace = Workspace::default();
    s3.bucket("models-a");
    for file in TINY {
        s3.put(&format!("/models-a/t5/{file}"), &tiny(file));
    }
    let packed = archive(&workspace, &TINY.map(|file| (file, tiny(file))));
    s3.put("/models-a/job/output/model.tar.gz", &packed);
    let _ = generated(&workspace, &s3, &["builtin:tiny"]).expect(0);
    let builtin = output(&workspace);
    for model in ["s3://models-a/t5", "s3://models-a/t5/", "s3://models-a/job/output/model.tar.gz"]
    {
        let _ = generated(&workspace, &s3, &[model]).expect(0);
        assert_eq!(output(&workspace), builtin, "{model}");
    }
    // The second time, only the listing that names the content is requested.
    let before = s3.log().len();
    let _ = generated(&workspace, &s3, &["s3://models-a/t5"]).expect(0);
    let asked = s3.log().split_off(before);
    assert!(asked.iter().all(|line| line.contains("list-type=2")), "{asked:?}");
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn the_model_at_the_root_of_a_prefix_wins_and_pointers_are_named() {
    let (s3, workspace) = (s3(), Workspace::default());
    s3.bucket("models-g");
    for file in TINY {
        s3.put(&format!("/models-g/job/{file}"), &tiny(file));
        s3.put(&format!("/models-g/deep/output/model/{file}"), &tiny(file));
        s3.put(&format!("/models-g/lfs/{file}"), &tiny(file));
        s3.put(&format!("/models-g/job/checkpoint-9/{file}"), b"not read");
    }
    s3.put("/models-g/lfs/model.safetensors", b"version https://git-lfs.github.com/spec/v1\n");
    let _ = Finished::of(&mut generate::command(&workspace, &["builtin:tiny"])).expect(0);
    let builtin = output(&workspace);
    for model in ["s3://models-g/job", "s3://models-g/deep/"] {
        let _ = generated(&workspace, &s3, &[model]).expect(0);
        assert_eq!(output(&workspace), builtin, "{model}");
    }
    let said = generated(&workspace, &s3, &["s3://models-g/lfs"]).expect(2);
    let words = "s3://models-g/lfs/model.safetensors is a Git LFS pointer";
    assert!(said.err.contains(words), "{}", said.err);
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn an_adapter_in_s3_is_the_same_adapter() {
    let s3 = s3();
    let workspace = Workspace::default();
    let place = repository("agent/tests/parity/gated-untied");
    let read = |file: &str| std::fs::read(place.join("adapters").join(file)).expect("it is there");
    s3.bucket("models-f");
    s3.put("/models-f/job/model.tar.gz", &read("qv-r8.model.tar.gz"));
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        s3.put(&format!("/models-f/lora/{file}"), &read(&format!("qv-r8/{file}")));
    }
    let local = place.join("adapters/qv-r8");
    let mut written = Vec::new();
    for adapter in [
        local.to_str().expect("the path is UTF-8"),
        "s3://models-f/lora",
        "s3://models-f/job/model.tar.gz",
    ] {
        let mut command = generate::with_adapter(&workspace, adapter);
        let _ = Finished::of(aws::at(&mut command, &workspace, &s3.url())).expect(0);
        written.push(output(&workspace));
    }
    assert!(written[0] == written[1] && written[0] == written[2]);
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn interrupted_downloads_and_busy_answers_are_retried() {
    let s3 = s3();
    let workspace = Workspace::default();
    s3.bucket("models-b");
    for file in TINY {
        s3.put(&format!("/models-b/t5/{file}"), &tiny(file));
    }
    s3.fail("GET /models-b/t5/model.safetensors", Fault::Cut(1_000_000));
    s3.fail("HEAD /models-b/t5/config.json", Fault::Answer(503, "SlowDown"));
    s3.fail("list-type=2", Fault::Answer(500, "InternalError"));
    let said = generated(&workspace, &s3, &["s3://models-b/t5"]).expect(0);
    for words in ["cut off after", "S3 answered 503", "S3 answered 500"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert!(s3.log().iter().any(|line| line.contains("range: bytes=")), "{:?}", s3.log());
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn missing_objects_are_named() {
    let s3 = s3();
    let workspace = Workspace::default();
    s3.bucket("models-c");
    for (model, words) in [
        ("s3://models-none/x/model.tar.gz", "no bucket models-none"),
        ("s3://models-none/x", "no bucket models-none"),
        ("s3://models-c/x/model.tar.gz", "s3://models-c has no x/model.tar.gz"),
        ("s3://models-c/x", "s3://models-c/x has no config.json"),
    ] {
        let said = generated(&workspace, &s3, &[model]).expect(2);
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn missing_or_wrong_credentials_are_reported() {
    let s3 = s3();
    let workspace = Workspace::default();
    let model = "s3://models-d/model.tar.gz";
    let mut command = generate::command(&workspace, &[model]);
    aws::at(&mut command, &workspace, &s3.url());
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let said = Finished::of(&mut command).expect(2);
    assert!(
        said.err.contains("no AWS credentials") && said.err.contains("AWS_PROFILE"),
        "{}",
        said.err
    );

    s3.fail("/models-d/", Fault::Answer(403, "InvalidAccessKeyId"));
    let said = generated(&workspace, &s3, &[model]).expect(2);
    assert!(said.err.contains("denied") && said.err.contains(model), "{}", said.err);
    assert!(!said.err.contains("verysecret"), "a secret is never printed: {}", said.err);
}

fn matrix(dataset: &str, rest: &str) -> String {
    format!(
        r#"
name = "from-s3"
[dataset]
source = "{dataset}"
samples = 4
split = "test"
[[model]]
name = "tiny"
id = "builtin:tiny"
[protocol]
runs = 1
warmup = 0
[[fleet.local]]
target = "here"
usd_per_hour = 0.1
{rest}"#
    )
}

fn dialogues() -> Vec<u8> {
    let all = repository("controller/dataset/src/builtin/dialogues.jsonl");
    let text = std::fs::read_to_string(all).expect("it is there");
    let mut lines = Vec::new();
    for line in text.lines().take(6) {
        writeln!(lines, "{line}").expect("memory takes it");
    }
    lines
}

fn run(workspace: &Workspace, s3: &S3, arguments: &[&str]) -> Finished {
    Finished::of(aws::at(&mut workspace.controller(arguments), workspace, &s3.url()))
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn results_are_uploaded_to_s3_and_read_back() {
    let s3 = s3();
    let workspace = Workspace::default();
    s3.bucket("results-a");
    s3.put("/results-a/data/test.jsonl", &dialogues());
    let text = matrix("s3://results-a/data", "[artifacts]\ns3 = \"s3://results-a/runs\"\n");
    workspace.write("matrix.toml", text);
    let said = run(&workspace, &s3, &["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let addresses: Vec<&str> =
        said.err.lines().filter_map(|line| line.strip_prefix("uploaded ")).collect();
    let [samples_at, .., results] = addresses[..] else { panic!("{}", said.err) };
    assert!(
        results.starts_with("s3://results-a/runs/from-s3-") && results.ends_with("/results.json")
    );
    let there = s3.get(results.strip_prefix("s3:/").expect("an address"));
    let here = std::fs::read(workspace.path("results.json")).expect("it is there");
    assert_eq!(there, here);

    let other = Workspace::default();
    let read = run(&other, &s3, &["report", results, "--output", "copy.json"]).expect(0);
    assert_eq!(read.out, said.out, "the same table");
    assert_eq!(std::fs::read(other.path("copy.json")).expect("it is there"), here);
    let samples = |workspace: &Workspace| std::fs::read(workspace.path("results.samples.parquet"));
    assert_eq!(samples(&other).expect("it is there"), samples(&workspace).expect("it is there"));

    // A second report of the same campaign overwrites nothing and doesn't upload the same bytes again.
    let again = run(&workspace, &s3, &["report", "latest", "--output", "results.json"]).expect(0);
    assert!(again.err.contains("unchanged s3://results-a/runs/"), "{}", again.err);

    // Samples of another campaign.
    let parquet = samples_at.strip_prefix("s3:/").expect("an address");
    s3.put(parquet, b"PAR1 of another campaign");
    let refused = run(&Workspace::default(), &s3, &["report", results]).expect(2);
    assert!(refused.err.contains("doesn't match its results"), "{}", refused.err);
    // The stored file differs now: the report is uploaded beside it.
    let written = run(&workspace, &s3, &["report", "latest", "--output", "results.json"]).expect(0);
    assert!(written.err.contains("-2/results.json"), "{}", written.err);
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn a_failed_upload_is_reported_and_does_not_fail_the_campaign() {
    let s3 = s3();
    let workspace = Workspace::default();
    let text = matrix("builtin:dialogues", "[artifacts]\ns3 = \"s3://results-none/runs\"\n");
    workspace.write("matrix.toml", text.replace("split = \"test\"\n", ""));
    let said = run(&workspace, &s3, &["run", "matrix.toml", "--output", "results.json"]).expect(0);
    assert!(
        said.err.contains("warning: incomplete upload at s3://results-none/runs"),
        "{}",
        said.err
    );
    assert!(said.err.contains("no bucket results-none"), "{}", said.err);
    assert!(workspace.path("results.json").exists());
}

#[test]
#[ignore = "needs an S3 server: tests/services.sh s3"]
fn a_campaign_takes_its_model_from_s3() {
    let s3 = s3();
    let workspace = Workspace::default();
    s3.bucket("models-e");
    let packed = archive(&workspace, &TINY.map(|file| (file, tiny(file))));
    s3.put("/models-e/model.tar.gz", &packed);
    let text = matrix("builtin:dialogues", "").replace("split = \"test\"\n", "");
    workspace.write("matrix.toml", text.replace("builtin:tiny", "s3://models-e/model.tar.gz"));
    let _ = run(&workspace, &s3, &["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    assert_eq!(results["results"][0]["model_id"], "s3://models-e/model.tar.gz");
}
