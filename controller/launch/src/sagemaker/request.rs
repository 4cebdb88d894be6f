//! A matrix, and where its agents shall run -> one `CreateProcessingJob` request an agent, or every problem at once.
//!
//! A request holds no secret: whoever may describe a job reads its environment and its arguments. The token and the
//! authority lie in S3, and SageMaker puts them into a folder of the container.

use super::address::ControllerUrl;
use fetch::s3::Address;
use matrix::Matrix;
use model::ids::TargetName;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// Names of instance types that SageMaker runs begin so.
const PREFIX: &str = "ml.";
/// Where the token and the authority lie in the container.
const IDENTITY: &str = "/opt/ml/processing/input/identity";
/// The files of `--identity`.
pub const IDENTITY_FILES: [&str; 2] = ["token", "ca.pem"];
/// How long an agent looks for a controller that is gone before it ends, and its bill with it, in minutes.
const PATIENCE_MINUTES: u32 = 30;
/// The longest that SageMaker lets a processing job run, in seconds.
const LONGEST_RUN: u64 = 777_600;
/// The longest name of a job.
const LONGEST_NAME: usize = 63;
/// The longest argument and the longest value of a variable.
const LONGEST_TEXT: usize = 256;
/// The longest address of an image.
const LONGEST_IMAGE: usize = 255;
/// The most subnets, and the most groups, of a job.
const MOST_SUBNETS: usize = 16;
const MOST_GROUPS: usize = 5;
/// Tags of a job: ours and a user's.
const MOST_TAGS: usize = 50;

/// Where the agents of a matrix shall run, as a user asks for it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The agent for CPUs, in a registry.
    pub image: Option<String>,
    /// The agent for GPUs.
    pub gpu_image: Option<String>,
    /// What a job may do.
    pub role: String,
    /// Where agents dial in.
    pub controller: ControllerUrl,
    /// The folder in S3 that holds [`IDENTITY_FILES`].
    pub identity: Address,
    /// Where jobs are in the network; outside of any VPC where there are none.
    pub subnets: Vec<String>,
    /// And who may talk with them.
    pub security_groups: Vec<String>,
    /// SageMaker ends a job after this time, whatever became of us.
    pub max_runtime: Duration,
    /// Room for images and models.
    pub volume_gb: u32,
    /// Variables of the container.
    pub environment: Vec<(String, String)>,
    /// For the bill, beside ours.
    pub tags: Vec<(String, String)>,
}

/// One job that is to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Unique in its account and region.
    pub name: String,
    /// What its agent stands for.
    pub target: TargetName,
    /// As SageMaker takes it.
    pub body: Value,
}

/// What is wrong with what is wanted, all of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Each with its option and the way out. At least one.
    pub problems: Vec<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no agent can be launched so")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The requests, in the order of the matrix. `launch` tells this launch from every other: letters and digits, at
/// most 10.
///
/// # Errors
/// [`Error`].
pub fn requests(matrix: &Matrix, wanted: &Wanted, launch: &str) -> Result<Vec<Request>, Error> {
    let targets: Vec<_> = matrix
        .targets
        .iter()
        .filter(|target| target.local.is_none() && target.name.as_str().starts_with(PREFIX))
        .collect();
    let mut problems = check(wanted);
    if targets.is_empty() {
        let names: Vec<&str> = matrix.targets.iter().map(|target| target.name.as_str()).collect();
        problems.push(format!(
            "no [[target]] of {} is an instance type of SageMaker, whose names begin with {PREFIX} (it has {}): \
             add one, such as [[target]] name = \"ml.m5.xlarge\"",
            matrix.name,
            names.join(", ")
        ));
    }
    for target in &targets {
        if let Err(problem) = image(&target.name, wanted) {
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return Err(Error { problems });
    }
    let agents = targets.iter().flat_map(|target| (0..target.agents).map(move |_| &target.name));
    let agents = agents.zip(1..);
    let one = |(target, number)| request(matrix, wanted, launch, (target, number));
    Ok(agents.filter_map(one).collect())
}

fn request(
    matrix: &Matrix,
    wanted: &Wanted,
    launch: &str,
    (target, number): (&TargetName, u32),
) -> Option<Request> {
    let name = job_name(&matrix.name, target, launch, number);
    // It was checked that there is one.
    let image = image(target, wanted).ok()?;
    let mut arguments =
        ["join", "--controller", wanted.controller.as_str()].map(str::to_owned).to_vec();
    arguments.extend(["--target".to_owned(), target.to_string()]);
    if has_gpu(target) {
        arguments.extend(["--device", "cuda:0"].map(str::to_owned));
    }
    let [token, authority] = IDENTITY_FILES.map(|file| format!("{IDENTITY}/{file}"));
    arguments.extend(["--token-file".to_owned(), token, "--ca".to_owned(), authority]);
    arguments.extend(["--patience".to_owned(), PATIENCE_MINUTES.to_string()]);
    let ours = [
        ("Project", "fleetmark"),
        ("fleetmark:campaign", &matrix.name),
        ("fleetmark:target", target.as_str()),
        ("fleetmark:launch", launch),
    ];
    let tag = |key: &str, value: &str| json!({ "Key": key, "Value": tag_text(value) });
    let tags = ours.iter().map(|(key, value)| tag(key, value));
    let tags: Vec<Value> =
        tags.chain(wanted.tags.iter().map(|(key, value)| tag(key, value))).collect();
    let environment: serde_json::Map<String, Value> =
        wanted.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut body = json!({
        "ProcessingJobName": name,
        "RoleArn": wanted.role,
        "AppSpecification": { "ImageUri": image, "ContainerArguments": arguments },
        "ProcessingResources": { "ClusterConfig": {
            "InstanceCount": 1,
            "InstanceType": target.as_str(),
            "VolumeSizeInGB": wanted.volume_gb,
        } },
        "ProcessingInputs": [{ "InputName": "identity", "S3Input": {
            "S3Uri": wanted.identity.as_folder().to_string(),
            "LocalPath": IDENTITY,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        } }],
        "StoppingCondition": { "MaxRuntimeInSeconds": wanted.max_runtime.as_secs() },
        "Tags": tags,
    });
    if !environment.is_empty() {
        body["Environment"] = environment.into();
    }
    if !wanted.subnets.is_empty() {
        body["NetworkConfig"] = json!({ "VpcConfig": {
            "SecurityGroupIds": wanted.security_groups, "Subnets": wanted.subnets,
        } });
    }
    Some(Request { name, target: target.clone(), body })
}

/// The image for a target.
fn image<'w>(target: &TargetName, wanted: &'w Wanted) -> Result<&'w str, String> {
    let (image, option, folder) = if has_gpu(target) {
        (&wanted.gpu_image, "--gpu-image-uri", "agent-cuda.Dockerfile")
    } else {
        (&wanted.image, "--image-uri", "agent.Dockerfile")
    };
    image.as_deref().ok_or_else(|| {
        format!("{target} needs an image: build deploy/docker/{folder}, push it to ECR, and give it with {option}")
    })
}

/// Whether an instance type has NVIDIA's GPUs: families `g` and `p`, such as `ml.g4dn.xlarge`.
fn has_gpu(target: &TargetName) -> bool {
    let family = target.as_str().strip_prefix(PREFIX).unwrap_or_default();
    let mut chars = family.chars();
    matches!(chars.next(), Some('g' | 'p')) && chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// What is wrong whatever the targets are.
fn check(wanted: &Wanted) -> Vec<String> {
    let mut problems = Vec::new();
    if wanted.subnets.is_empty()
        && let Err(error) = wanted.controller.check_public()
    {
        problems.push(format!("--controller {}: {error}", wanted.controller.as_str()));
    }
    if !is_role(&wanted.role) {
        problems.push(format!(
            "--role-arn {}: expected arn:aws:iam::ACCOUNT:role/NAME, of a role that SageMaker may take",
            wanted.role
        ));
    }
    for (option, image) in [("--image-uri", &wanted.image), ("--gpu-image-uri", &wanted.gpu_image)]
    {
        if image.as_ref().is_some_and(|uri| uri.is_empty() || uri.len() > LONGEST_IMAGE) {
            problems.push(format!("{option}: expected 1 to {LONGEST_IMAGE} characters"));
        }
    }
    if wanted.controller.as_str().len() > LONGEST_TEXT {
        problems.push(format!("--controller: SageMaker takes {LONGEST_TEXT} characters at most"));
    }
    if wanted.identity.key.trim_matches('/').is_empty() {
        problems.push(format!(
            "--identity {}: give a folder of the bucket: jobs read all that lies below",
            wanted.identity
        ));
    }
    let most = [
        ("--subnets", &wanted.subnets, MOST_SUBNETS),
        ("--security-groups", &wanted.security_groups, MOST_GROUPS),
    ];
    for (option, ids, most) in most {
        if ids.len() > most {
            problems.push(format!("{option}: SageMaker takes {most} at most, not {}", ids.len()));
        }
        let is_plain = |id: &String| {
            (1..=32).contains(&id.len())
                && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if let Some(id) = ids.iter().find(|id| !is_plain(id)) {
            problems
                .push(format!("{option} {id}: expected an id such as subnet-0a1b2c or sg-0a1b2c"));
        }
    }
    if wanted.subnets.is_empty() != wanted.security_groups.is_empty() {
        problems.push("--subnets and --security-groups belong together: give both".to_owned());
    }
    if !(60..=LONGEST_RUN).contains(&wanted.max_runtime.as_secs()) {
        problems
            .push("--max-runtime: expected 1m to 9d, which is the longest of SageMaker".to_owned());
    }
    problems.extend(wanted.environment.iter().filter_map(|(name, value)| variable(name, value)));
    if wanted.tags.len() > MOST_TAGS - 4 {
        problems.push(format!("--tag: {} at most, beside ours", MOST_TAGS - 4));
    }
    for (key, value) in &wanted.tags {
        let is_ours = key.starts_with("fleetmark:") || key == "Project" || key.starts_with("aws:");
        let is_long = key.is_empty() || key.len() > 128 || value.len() > LONGEST_TEXT;
        if is_ours || is_long || tag_text(key) != *key || tag_text(value) != *value {
            problems.push(format!(
                "--tag {key}={value}: expected letters, digits, spaces and _.:/=+-@, and a key that isn't aws:…, \
                 fleetmark:… or Project"
            ));
        }
    }
    problems
}

/// What is wrong with a variable of the container.
fn variable(name: &str, value: &str) -> Option<String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(is_letter) || name.len() > LONGEST_TEXT {
        return Some(format!("--env {name}: no name of a variable"));
    }
    if value.len() > LONGEST_TEXT {
        return Some(format!("--env {name}: SageMaker takes {LONGEST_TEXT} characters at most"));
    }
    let upper = name.to_ascii_uppercase();
    let is_place = ["_PATH", "_FILE", "_ENV"].iter().any(|end| upper.ends_with(end));
    let is_secret = ["TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| upper.contains(word));
    (is_secret && !is_place).then(|| {
        format!(
            "--env {name}: whoever may describe the job would read this secret: put a file with it beside the token in \
             --identity, and name that, such as HF_TOKEN_PATH={IDENTITY}/hub-token"
        )
    })
}

fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, role] = parts[..] else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
    arn == "arn"
        && partition.starts_with("aws")
        && (service, region) == ("iam", "")
        && account.len() == 12
        && account.bytes().all(|digit| digit.is_ascii_digit())
        && role
            .strip_prefix("role/")
            .is_some_and(|name| !name.is_empty() && name.chars().all(is_plain))
        && text.len() <= 2048
}

/// What a tag can hold of a text.
fn tag_text(text: &str) -> String {
    let is_taken = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    text.chars().map(|c| if is_taken(c) { c } else { '-' }).take(LONGEST_TEXT).collect()
}

/// Such as `fleetmark-g4dn-vs-m5-m5-xlarge-0123456789-1`: letters, digits and dashes, at most 63.
fn job_name(matrix: &str, target: &TargetName, launch: &str, number: u32) -> String {
    let plain = |text: &str, most: usize| {
        let dashed = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        let dashed: String = dashed.take(most).collect();
        dashed.trim_matches('-').to_owned()
    };
    let target = plain(target.as_str().strip_prefix(PREFIX).unwrap_or_default(), 16);
    let tail = format!("{target}-{launch}-{number}");
    let room = LONGEST_NAME.saturating_sub("fleetmark--".len() + tail.len());
    format!("fleetmark-{}-{tail}", plain(matrix, room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn where_a_secret_lies_may_be_said() {
        let taken = ["HF_TOKEN_PATH", "HF_ENDPOINT", "AWS_REGION"];
        assert!(taken.iter().all(|name| variable(name, "x").is_none()));
        for name in ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_password"] {
            assert!(variable(name, "x").is_some(), "{name}");
        }
    }

    #[test]
    fn families_with_gpus_are_known() {
        let has = |name: &str| has_gpu(&TargetName::try_from(name).unwrap());
        assert!(["ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.p3.2xlarge"].into_iter().all(has));
        assert!(!["ml.m5.xlarge", "ml.c7g.large", "ml.inf2.xlarge", "g4dn"].into_iter().any(has));
    }

    proptest! {
        #[test]
        fn a_name_is_one_that_sagemaker_takes(
            matrix in "\\PC{1,80}", target in "ml\\.[a-z0-9.]{0,70}", number in 1_u32..1000
        ) {
            let target = TargetName::try_from(target).unwrap();
            let name = job_name(&matrix, &target, "0123456789", number);
            prop_assert!(name.len() <= LONGEST_NAME, "{name}");
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
            let end = format!("-0123456789-{number}");
            prop_assert!(name.starts_with("fleetmark-") && name.ends_with(&end), "{name}");
        }
    }
}
