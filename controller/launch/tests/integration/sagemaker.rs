//! The requests of `controller launch sagemaker`.

#![expect(clippy::unwrap_used, reason = "what sets a test up fails it where it can't")]

use launch::sagemaker::request::{Options, requests};
use matrix::{Matrix, Overrides};
use std::path::Path;
use std::time::Duration;

const MATRIX: &str = r#"
name = "g4dn-vs-m5"
[dataset]
source = "builtin:dialogues"
samples = 4
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [2]
[[target]]
name = "ml.g4dn.xlarge"
dtypes = ["f16"]
usd_per_hour = 0.736
[[target]]
name = "ml.m5.xlarge"
agents = 2
usd_per_hour = 0.23
[[target]]
name = "on-premises"
usd_per_hour = 1
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"#;

fn matrix() -> Matrix {
    Matrix::check(MATRIX, "matrix.toml", Path::new("/"), &Overrides::default()).unwrap()
}

fn options() -> Options {
    Options {
        image: Some("1.dkr.ecr.us-east-1.amazonaws.com/agent:1".to_owned()),
        role: "arn:aws:iam::123456789012:role/fleetmark-agent".to_owned(),
        controller: "https://bench.example.com:7437".parse().unwrap(),
        identity: "s3://bucket/fleetmark/identity".parse().unwrap(),
        subnets: Vec::new(),
        security_groups: Vec::new(),
        max_runtime: Duration::from_hours(4),
        volume_gb: 30,
        environment: Vec::new(),
        allows_plain_http: false,
        tags: Vec::new(),
    }
}

#[test]
fn each_agent_of_an_ml_target_is_a_job_with_a_deadline() {
    let requests = requests(&matrix(), &options(), "0123456789").unwrap();
    let names: Vec<&str> = requests.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "fleetmark-g4dn-vs-m5-g4dn-xlarge-0123456789-1",
            "fleetmark-g4dn-vs-m5-m5-xlarge-0123456789-2",
            "fleetmark-g4dn-vs-m5-m5-xlarge-0123456789-3",
        ]
    );
    for request in &requests {
        let body = &request.body;
        assert_eq!(body["StoppingCondition"]["MaxRuntimeInSeconds"], 4 * 3600);
        assert_eq!(body["ProcessingResources"]["ClusterConfig"]["InstanceCount"], 1);
        let has_gpu = request.target.as_str() == "ml.g4dn.xlarge";
        assert_eq!(body.to_string().contains("cuda:0"), has_gpu);
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let options = Options {
        image: None,
        role: "fleetmark".to_owned(),
        controller: "https://10.0.0.5:7437".parse().unwrap(),
        identity: "s3://bucket".parse().unwrap(),
        max_runtime: Duration::from_secs(5),
        security_groups: vec!["a group".to_owned()],
        environment: vec![("HF_TOKEN".to_owned(), "x".to_owned()), ("1".to_owned(), String::new())],
        tags: vec![("aws:x".to_owned(), String::new())],
        ..options()
    };
    let error = requests(&matrix(), &options, "0").unwrap_err();
    insta::assert_snapshot!("problems", error);
}

#[test]
fn a_matrix_without_sagemaker_targets_lists_its_targets() {
    let mut matrix = matrix();
    matrix.targets.retain(|target| !target.name.as_str().starts_with("ml."));
    let error = requests(&matrix, &options(), "0").unwrap_err();
    insta::assert_snapshot!("no_such_target", error);
}

#[test]
fn a_job_sends_to_endpoints_what_the_matrix_names_and_it_was_given() {
    let text = MATRIX
        .replace("id = \"builtin:tiny\"\n", "id = \"https://h.example/x\"\ntargets = [\"ml.g4dn.xlarge\"]\n[model.endpoint]\nheaders = { x-team = \"TEAM\", x-key = \"AWS_SECRET_ACCESS_KEY\" }\n[[model]]\nname = \"loaded\"\nid = \"builtin:tiny\"\ntargets = [\"ml.m5.xlarge\", \"on-premises\", \"here\"]\n");
    let matrix =
        Matrix::check(&text, "matrix.toml", Path::new("/"), &Overrides::default()).unwrap();
    let environment =
        vec![("TEAM".to_owned(), "a".to_owned()), ("OTHER".to_owned(), "b".to_owned())];
    let options = Options { environment, ..options() };
    let requests = requests(&matrix, &options, "0123456789").unwrap();
    let arguments =
        |place: usize| requests[place].body["AppSpecification"]["ContainerArguments"].to_string();
    assert!(arguments(0).contains(r#""--endpoint-env","TEAM""#), "{}", arguments(0));
    assert!(!arguments(0).contains("AWS_SECRET") && !arguments(0).contains("OTHER"));
    assert!(!arguments(1).contains("--endpoint-env"), "{}", arguments(1));
}
