//! Models, adapters, datasets and artifacts in S3. They need a server: `bash tests/services.sh s3` starts one.

use scenarios::s3::{Fault, S3};
use scenarios::{Finished, Workspace, repository};
use std::io::Write;
use std::process::Command;

const INPUT: &str =
    "{\"id\": \"a\", \"dialogue\": \"Ann: Lunch at noon?\\nBob: Yes, see you there.\"}\n";
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// The server behind a proxy of this test's own; `None`, said so, where there is none.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests/services.sh says where its server is, and a skip is said"
)]
fn s3() -> Option<S3> {
    if let Ok(server) = std::env::var("FLEETMARK_TEST_S3") {
        return Some(S3::before(&server));
    }
    eprintln!("skipped: no S3 here; bash tests/services.sh s3 starts one");
    None
}

fn tiny(file: &str) -> Vec<u8> {
    std::fs::read(repository("agent/src/model_source/tiny").join(file)).expect("it is there")
}

/// A program whose S3 and caches are the test's own.
fn with_s3<'a>(command: &'a mut Command, workspace: &Workspace, s3: &S3) -> &'a mut Command {
    for name in [
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL_S3",
    ] {
        command.env_remove(name);
    }
    command
        .env("AWS_ENDPOINT_URL", s3.url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "verysecret")
        .env("AWS_CONFIG_FILE", workspace.path("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", workspace.path("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("FLEETMARK_CACHE", workspace.path("cache"))
        .env("NO_PROXY", "*")
}

fn generate(workspace: &Workspace, s3: &S3, model: &[&str]) -> Finished {
    workspace.write("in.jsonl", INPUT);
    let mut arguments = vec!["generate", "--input", "in.jsonl", "--output", "out.jsonl", "--model"];
    arguments.extend(model);
    Finished::of(with_s3(&mut workspace.agent(&arguments), workspace, s3))
}

fn summary(workspace: &Workspace) -> String {
    std::fs::read_to_string(workspace.path("out.jsonl")).expect("it was written")
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
fn a_model_below_a_prefix_and_its_archive_are_the_same_model() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    s3.bucket("models-a");
    for file in FILES {
        s3.put(&format!("/models-a/t5/{file}"), &tiny(file));
    }
    let packed = archive(&workspace, &FILES.map(|file| (file, tiny(file))));
    s3.put("/models-a/job/output/model.tar.gz", &packed);
    let _ = generate(&workspace, &s3, &["builtin:tiny"]).expect(0);
    let builtin = summary(&workspace);
    for model in ["s3://models-a/t5", "s3://models-a/t5/", "s3://models-a/job/output/model.tar.gz"]
    {
        let _ = generate(&workspace, &s3, &[model]).expect(0);
        assert_eq!(summary(&workspace), builtin, "{model}");
    }
    // A second time only what names the content is asked for.
    let before = s3.log().len();
    let _ = generate(&workspace, &s3, &["s3://models-a/t5"]).expect(0);
    let asked = s3.log().split_off(before);
    assert!(asked.iter().all(|line| line.contains("list-type=2")), "{asked:?}");
}

#[test]
fn an_adapter_in_s3_is_the_same_adapter() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    let place = repository("agent/tests/parity/gated-untied");
    let read = |file: &str| std::fs::read(place.join("adapters").join(file)).expect("it is there");
    s3.bucket("models-f");
    s3.put("/models-f/job/model.tar.gz", &read("qv-r8.model.tar.gz"));
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        s3.put(&format!("/models-f/lora/{file}"), &read(&format!("qv-r8/{file}")));
    }
    workspace.write("ids.jsonl", "{\"id\": 1, \"input_ids\": [233, 17, 90, 1]}\n");
    let local = place.join("adapters/qv-r8");
    let mut written = Vec::new();
    for adapter in [
        local.to_str().expect("the path is UTF-8"),
        "s3://models-f/lora",
        "s3://models-f/job/model.tar.gz",
    ] {
        let model = place.to_str().expect("the path is UTF-8");
        let mut command = workspace.agent(&[
            "generate",
            "--model",
            model,
            "--adapter",
            adapter,
            "--input",
            "ids.jsonl",
            "--output",
            "out.jsonl",
        ]);
        let _ = Finished::of(with_s3(&mut command, &workspace, &s3)).expect(0);
        written.push(summary(&workspace));
    }
    assert!(written[0] == written[1] && written[0] == written[2]);
}

#[test]
fn cuts_and_busy_answers_pass() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    s3.bucket("models-b");
    for file in FILES {
        s3.put(&format!("/models-b/t5/{file}"), &tiny(file));
    }
    s3.fail("GET /models-b/t5/model.safetensors", Fault::Cut(1_000_000));
    s3.fail("HEAD /models-b/t5/config.json", Fault::Answer(503, "SlowDown"));
    s3.fail("list-type=2", Fault::Answer(500, "InternalError"));
    let said = generate(&workspace, &s3, &["s3://models-b/t5"]).expect(0);
    for words in ["cut off after", "S3 answers 503", "S3 answers 500"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert!(s3.log().iter().any(|line| line.contains("range: bytes=")), "{:?}", s3.log());
}

#[test]
fn what_is_not_there_is_told_by_its_name() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    s3.bucket("models-c");
    for (model, words) in [
        ("s3://models-none/x/model.tar.gz", "there is no bucket models-none"),
        ("s3://models-none/x", "there is no bucket models-none"),
        ("s3://models-c/x/model.tar.gz", "s3://models-c has no x/model.tar.gz"),
        ("s3://models-c/x", "s3://models-c/x has no config.json"),
    ] {
        let said = generate(&workspace, &s3, &[model]).expect(2);
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[test]
fn credentials_that_are_missing_or_wrong_are_told() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    workspace.write("in.jsonl", INPUT);
    let model = "s3://models-d/model.tar.gz";
    let arguments = ["generate", "--input", "in.jsonl", "--output", "out.jsonl", "--model", model];
    let mut command = workspace.agent(&arguments);
    with_s3(&mut command, &workspace, &s3);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let said = Finished::of(&mut command).expect(2);
    assert!(
        said.err.contains("no AWS credentials") && said.err.contains("AWS_PROFILE"),
        "{}",
        said.err
    );

    s3.fail("/models-d/", Fault::Answer(403, "InvalidAccessKeyId"));
    let said = generate(&workspace, &s3, &[model]).expect(2);
    assert!(said.err.contains("denied") && said.err.contains(model), "{}", said.err);
    assert!(!said.err.contains("verysecret"), "a secret shows nowhere: {}", said.err);
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
    let all = repository("controller/src/dataset/builtin/dialogues.jsonl");
    let text = std::fs::read_to_string(all).expect("it is there");
    let mut lines = Vec::new();
    for line in text.lines().take(6) {
        writeln!(lines, "{line}").expect("memory takes it");
    }
    lines
}

fn run(workspace: &Workspace, s3: &S3, arguments: &[&str]) -> Finished {
    Finished::of(with_s3(&mut workspace.controller(arguments), workspace, s3))
}

#[test]
fn results_go_to_s3_and_come_back_whole() {
    let Some(s3) = s3() else { return };
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

    // Another report of the same campaign: nothing is overwritten, and the same is not sent again.
    let again = run(&workspace, &s3, &["report", "latest", "--output", "results.json"]).expect(0);
    assert!(again.err.contains("unchanged s3://results-a/runs/"), "{}", again.err);

    // Samples that are not those of the results.
    let parquet = samples_at.strip_prefix("s3:/").expect("an address");
    s3.put(parquet, b"PAR1 of another campaign");
    let refused = run(&Workspace::default(), &s3, &["report", results]).expect(2);
    assert!(refused.err.contains("doesn't match its results"), "{}", refused.err);
    // What is there now differs: the report goes beside it.
    let beside = run(&workspace, &s3, &["report", "latest", "--output", "results.json"]).expect(0);
    assert!(beside.err.contains("-2/results.json"), "{}", beside.err);
}

#[test]
fn an_upload_that_fails_is_said_and_fails_nothing() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    let text = matrix("builtin:dialogues", "[artifacts]\ns3 = \"s3://results-none/runs\"\n");
    workspace.write("matrix.toml", text.replace("split = \"test\"\n", ""));
    let said = run(&workspace, &s3, &["run", "matrix.toml", "--output", "results.json"]).expect(0);
    assert!(
        said.err.contains("warning: nothing is complete at s3://results-none/runs"),
        "{}",
        said.err
    );
    assert!(said.err.contains("there is no bucket results-none"), "{}", said.err);
    assert!(workspace.path("results.json").exists());
}

#[test]
fn a_campaign_takes_its_model_from_s3() {
    let Some(s3) = s3() else { return };
    let workspace = Workspace::default();
    s3.bucket("models-e");
    let packed = archive(&workspace, &FILES.map(|file| (file, tiny(file))));
    s3.put("/models-e/model.tar.gz", &packed);
    let text = matrix("builtin:dialogues", "").replace("split = \"test\"\n", "");
    workspace.write("matrix.toml", text.replace("builtin:tiny", "s3://models-e/model.tar.gz"));
    let _ = run(&workspace, &s3, &["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    assert_eq!(results["results"][0]["model_id"], "s3://models-e/model.tar.gz");
}
