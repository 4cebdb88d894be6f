//! `controller launch sagemaker` against a server on loopback: every started job is stopped, whatever happens.

use scenarios::sagemaker::{Fault, SageMaker};
use scenarios::{Finished, Running, Workspace, aws, waiting};
use serde_json::Value;
use std::process::Command;

const TARGETS: &str = r#"
[[target]]
name = "ml.g4dn.xlarge"
dtypes = ["f16"]
usd_per_hour = 0.736
[[target]]
name = "ml.m5.xlarge"
agents = 2
usd_per_hour = 0.23
"#;

/// The arguments of every launch here; `--pace-ms` shortens the waits.
const LAUNCH: &str = "launch sagemaker matrix.toml --controller https://bench.example.com:7437 \
    --identity s3://bucket/fleetmark/identity --role-arn arn:aws:iam::123456789012:role/fleetmark-agent \
    --image-uri 123456789012.dkr.ecr.us-east-1.amazonaws.com/fleetmark-agent:0.1.0 \
    --max-runtime 4h --pace-ms 1";

fn workspace() -> Workspace {
    let workspace = Workspace::default();
    workspace.write("matrix.toml", waiting::matrix("g4dn-vs-m5", TARGETS));
    workspace
}

fn controller(workspace: &Workspace, server: &SageMaker, arguments: &str) -> Command {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = workspace.controller(&arguments);
    aws::at(&mut command, workspace, &server.url()).env("AWS_DEFAULT_REGION", "us-east-1");
    command
}

fn run(workspace: &Workspace, server: &SageMaker, arguments: &str) -> Finished {
    Finished::of(&mut controller(workspace, server, arguments))
}

fn launch(workspace: &Workspace, server: &SageMaker) -> Finished {
    run(workspace, server, &format!("{LAUNCH} --yes"))
}

/// A launch whose jobs are all in progress.
fn launched(workspace: &Workspace, server: &SageMaker) -> Running {
    let mut running = Running::of(&mut controller(workspace, server, &format!("{LAUNCH} --yes")));
    running.until("-3: in progress");
    running
}

/// The number of recorded launches.
fn records(workspace: &Workspace) -> usize {
    let folder = workspace.path(".fleetmark/launches");
    std::fs::read_dir(folder).map_or(0, |entries| entries.flatten().count())
}

/// Replaces the id, which differs between launches.
fn without_id(text: &str) -> String {
    let start = text.find("xlarge-").expect("a job's name") + "xlarge-".len();
    text.replace(&text[start..start + 10], "LAUNCH")
}

#[test]
fn a_dry_run_prints_the_requests_and_sends_none() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let more =
        "--subnets subnet-1,subnet-2 --security-groups sg-1 --tag team=ml --env HF_HUB_OFFLINE=1";
    let finished = run(&workspace, &server, &format!("{LAUNCH} {more} --dry-run")).expect(0);
    let requests: Vec<Value> = serde_json::from_str(&finished.out).expect("it is JSON");
    assert_eq!(requests.len(), 3, "one for each agent");
    insta::assert_snapshot!(
        "dry_run",
        without_id(&serde_json::to_string_pretty(&requests[..2]).expect("JSON"))
    );
    assert!(
        finished.err.contains("3 jobs, each for at most 4 h; nothing was sent"),
        "{}",
        finished.err
    );
    assert_eq!(server.log(), Vec::<String>::new());
}

#[test]
#[ignore = "needs moto: tests/services.sh sagemaker"]
#[expect(clippy::disallowed_methods, reason = "tests/services.sh passes the server's address")]
fn moto_accepts_the_requests() {
    let variable = |name| std::env::var(name).expect("tests/services.sh sets it");
    let server = variable("FLEETMARK_TEST_SAGEMAKER");
    let file = variable("FLEETMARK_TEST_REQUESTS");
    let workspace = workspace();
    let s3 = scenarios::s3::S3::before(&server);
    s3.bucket("bucket");
    for name in ["token", "ca.pem"] {
        s3.put(&format!("/bucket/fleetmark/identity/{name}"), b"x");
    }
    let more = "--subnets subnet-1 --security-groups sg-1 --tag team=ml --env HF_HUB_OFFLINE=1";
    let moto = |arguments: &str| {
        let mut command = controller(&workspace, &SageMaker::start(), arguments);
        Finished::of(command.env("AWS_ENDPOINT_URL", format!("http://{server}"))).expect(0)
    };
    let finished = moto(&format!("{LAUNCH} {more} --yes"));
    // moto's jobs are completed as soon as they are created.
    assert_eq!(finished.out.matches(": completed").count(), 3, "{}", finished.out);
    std::fs::write(file, moto(&format!("{LAUNCH} {more} --dry-run")).out)
        .expect("it can be written");
}

#[test]
fn invalid_launches_are_refused_before_anything_is_sent() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let targets = TARGETS.replace("ml.g4dn", "g4dn").replace("ml.m5", "m5");
    workspace.write("local.toml", waiting::matrix("g4dn-vs-m5", &targets));
    let public = "https://bench.example.com:7437";
    let image = "--image-uri 123456789012.dkr.ecr.us-east-1.amazonaws.com/fleetmark-agent:0.1.0";
    let said = [
        LAUNCH.replace("matrix.toml", "local.toml"),
        LAUNCH.replace(public, "http://bench.example.com:7437"),
        LAUNCH.replace(public, "https://127.0.0.1:7437"),
        LAUNCH.replace(public, "https://10.1.2.3:7437"),
        LAUNCH.replace(image, ""),
        LAUNCH.replace("s3://bucket/fleetmark/identity", "bucket"),
        LAUNCH.replace(
            "--max-runtime 4h",
            "--max-runtime 10d --subnets subnet-1 --env HF_TOKEN=hf_x",
        ),
    ];
    let said =
        said.map(|arguments| run(&workspace, &server, &format!("{arguments} --yes")).expect(2).err);
    insta::assert_snapshot!("refused", said.join("\n"));
    assert_eq!((server.log(), records(&workspace)), (Vec::new(), 0));
}

#[test]
fn completed_jobs_are_not_stopped() {
    let (workspace, server) = (workspace(), SageMaker::start().completing_after(2));
    let finished = launch(&workspace, &server).expect(0);
    assert_eq!(finished.out.matches(": completed").count(), 3, "{}", finished.out);
    assert_eq!(server.count("Completed"), 3);
    assert!(!server.log().iter().any(|operation| operation == "StopProcessingJob"));
    assert_eq!(records(&workspace), 0);
    let scope = "/us-east-1/sagemaker/aws4_request";
    assert!(server.signatures().iter().all(|signature| signature.contains(scope)));
}

#[test]
fn no_request_holds_a_secret_and_each_has_a_deadline() {
    let (workspace, server) = (workspace(), SageMaker::start().completing_after(0));
    let _ = launch(&workspace, &server).expect(0);
    for (name, job) in server.jobs() {
        assert!(name.len() <= 63, "{name}");
        assert_eq!(job.request["StoppingCondition"]["MaxRuntimeInSeconds"], 4 * 3600);
        let text = job.request.to_string();
        assert!(!text.contains("verysecret"), "{text}");
        // The request names the token, whose content is in S3.
        assert!(text.contains("/opt/ml/processing/input/identity/token"), "{text}");
    }
}

#[test]
fn an_error_halfway_stops_the_started_jobs() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let quota =
        "The account-level service limit 'ml.m5.xlarge for processing job usage' is 1 Instances";
    server.fail("CreateProcessingJob 3", Fault::Answer(400, "ResourceLimitExceeded", quota));
    let finished = launch(&workspace, &server).expect(2);
    assert!(finished.err.contains("\"ml.m5.xlarge for processing job usage\""), "{}", finished.err);
    assert_eq!((server.count("Stopped"), server.count("InProgress")), (2, 0));
    assert_eq!(records(&workspace), 0);
}

#[test]
fn transient_failures_are_retried() {
    let (workspace, server) = (workspace(), SageMaker::start().completing_after(1));
    server.fail("CreateProcessingJob", Fault::Answer(400, "ThrottlingException", "Rate exceeded"));
    server.fail("CreateProcessingJob", Fault::Answer(503, "ServiceUnavailable", ""));
    server.fail("DescribeProcessingJob", Fault::Answer(500, "InternalFailure", ""));
    let _ = launch(&workspace, &server).expect(0);
    assert_eq!(server.count("Completed"), 3);
}

#[test]
fn a_job_whose_creation_was_not_acknowledged_is_adopted() {
    let (workspace, server) = (workspace(), SageMaker::start().completing_after(1));
    server.fail("CreateProcessingJob 2", Fault::Lost);
    let _ = launch(&workspace, &server).expect(0);
    assert_eq!(server.count("Completed"), 3);
    let created = server.log().iter().filter(|it| *it == "CreateProcessingJob").count();
    assert_eq!(created, 4, "the second was requested twice");
}

#[test]
fn signals_stop_all_jobs() {
    for signal in ["INT", "TERM", "HUP"] {
        let (workspace, server) = (workspace(), SageMaker::start());
        let running = launched(&workspace, &server);
        running.signal(signal);
        let finished = running.finish().expect(3);
        assert_eq!((server.count("Stopped"), server.count("InProgress")), (3, 0), "{signal}");
        assert!(finished.err.contains("stopping all jobs"), "{}", finished.err);
        assert_eq!(records(&workspace), 0);
    }
}

#[test]
fn stopping_is_retried() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let running = launched(&workspace, &server);
    server.fail("StopProcessingJob", Fault::Answer(400, "ThrottlingException", "Rate exceeded"));
    server.fail("StopProcessingJob", Fault::Answer(500, "InternalFailure", ""));
    server.fail("StopProcessingJob", Fault::Lost);
    running.signal("TERM");
    let _ = running.finish().expect(3);
    assert_eq!((server.count("Stopped"), server.count("InProgress")), (3, 0));
}

#[test]
fn jobs_of_a_killed_launch_have_a_deadline_and_are_stopped_later() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let running = launched(&workspace, &server);
    running.signal("KILL");
    assert_eq!(running.finish().code, None, "it was killed");
    assert_eq!(server.count("InProgress"), 3);
    for job in server.jobs().values() {
        assert_eq!(job.request["StoppingCondition"]["MaxRuntimeInSeconds"], 4 * 3600);
    }
    assert_eq!(records(&workspace), 1);

    let stopped = run(&workspace, &server, "launch sagemaker --stop --pace-ms 1").expect(0);
    assert!(stopped.out.contains("stopped 3 of 3"), "{}", stopped.out);
    assert_eq!((server.count("Stopped"), server.count("InProgress")), (3, 0));
    let again = run(&workspace, &server, "launch sagemaker --stop").expect(0);
    assert!(again.out.contains("nothing to stop"), "{}", again.out);
}

#[test]
fn a_job_that_cannot_be_stopped_stays_recorded() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let running = launched(&workspace, &server);
    for _ in 0..3 {
        server.fail(
            "StopProcessingJob",
            Fault::Answer(400, "AccessDeniedException", "not authorized"),
        );
    }
    running.signal("TERM");
    let finished = running.finish().expect(2);
    assert!(
        finished.err.contains("may still be running") && finished.err.contains("--stop"),
        "{}",
        finished.err
    );
    assert!(finished.err.contains("ends each 4 h after its start"), "{}", finished.err);
    assert_eq!((server.count("InProgress"), records(&workspace)), (3, 1));
    let _ = run(&workspace, &server, "launch sagemaker --stop").expect(0);
    assert_eq!((server.count("Stopped"), records(&workspace)), (3, 0));
}

#[test]
fn an_agent_that_fails_makes_the_launch_incomplete() {
    let (workspace, server) = (workspace(), SageMaker::start());
    let running = launched(&workspace, &server);
    for (status, name) in ["Failed", "Completed", "Completed"].iter().zip(server.jobs().keys()) {
        server.end(name, status);
    }
    let finished = running.finish().expect(3);
    assert!(finished.out.contains(": failed"), "{}", finished.out);
    assert!(finished.err.contains("/aws/sagemaker/ProcessingJobs"), "{}", finished.err);
}

#[test]
fn agents_without_an_identity_are_not_started() {
    let (workspace, server) = (workspace(), SageMaker::start().without_objects());
    let finished = launch(&workspace, &server).expect(2);
    assert!(finished.err.contains("controller agents add"), "{}", finished.err);
    assert_eq!((server.jobs().len(), records(&workspace)), (0, 0));
}
