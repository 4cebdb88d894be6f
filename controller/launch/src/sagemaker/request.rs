//! Matrix + launch options -> one `CreateProcessingJob` request per agent, or all problems at once.
//! Pure.
//!
//! A request contains no secrets, since `DescribeProcessingJob` shows its environment and
//! arguments. SageMaker copies the token and the CA from S3 into a folder of the container.

use super::address::ControllerUrl;
use fetch::s3::Address;
use matrix::Matrix;
use model::ids::TargetName;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt, time::Duration};

/// Of SageMaker's instance types.
const PREFIX: &str = "ml.";
/// The folder of the token and the CA in the container.
const IDENTITY: &str = "/opt/ml/processing/input/identity";
/// The files of `--identity`.
pub const IDENTITY_FILES: [&str; 2] = ["token", "ca.pem"];
/// How long an agent tries to reconnect before it exits, which also ends its bill.
const RECONNECT_MINUTES: u32 = 30;
// Limits of `CreateProcessingJob`.
const MAX_RUNTIME_S: u64 = 777_600;
const MAX_NAME: usize = 63;
/// Of an argument and of the value of a variable.
const MAX_TEXT: usize = 256;
const MAX_IMAGE: usize = 255;
const MAX_SUBNETS: usize = 16;
const MAX_GROUPS: usize = 5;
/// Including the four tags set here.
const MAX_TAGS: usize = 50;

#[derive(Debug, Clone)]
pub struct Options {
    /// URI of the agent's image.
    pub image: Option<String>,
    /// ARN of the execution role.
    pub role: String,
    pub controller: ControllerUrl,
    /// The S3 folder with [`IDENTITY_FILES`].
    pub identity: Address,
    /// Empty for jobs outside of any VPC.
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// SageMaker stops a job after this time, even if the controller is gone.
    pub max_runtime: Duration,
    /// Disk space for images and models.
    pub volume_gb: u32,
    pub environment: Vec<(String, String)>,
    /// Whether the jobs may call endpoints over plain HTTP on other machines.
    pub allows_plain_http: bool,
    /// Added to the tags set here.
    pub tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Unique in the account and region.
    pub name: String,
    pub target: TargetName,
    pub body: Value,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// At least one, each with its option.
    pub problems: Vec<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid launch options")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The requests, in the order of the matrix. `launch` is a unique id of at most 10 letters and digits.
pub fn requests(matrix: &Matrix, options: &Options, launch: &str) -> Result<Vec<Request>, Error> {
    let targets: Vec<_> = matrix
        .targets
        .iter()
        .filter(|target| target.local.is_none() && target.name.as_str().starts_with(PREFIX))
        .collect();
    let mut problems = check(options);
    if targets.is_empty() {
        let names: Vec<&str> = matrix.targets.iter().map(|target| target.name.as_str()).collect();
        problems.push(format!(
            "no [[target]] of {} is a SageMaker instance type ({PREFIX}*), found: {}: add one, such as \
             [[target]] name = \"ml.m5.xlarge\"",
            matrix.name,
            names.join(", ")
        ));
    }
    for target in &targets {
        if let Err(problem) = image(&target.name, options) {
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return Err(Error { problems });
    }
    let agents = targets.iter().flat_map(|target| (0..target.agents).map(move |_| &target.name));
    let agents = agents.zip(1..);
    let one = |(target, number)| request(&Agent { matrix, options, launch, target, number });
    Ok(agents.filter_map(one).collect())
}

struct Agent<'a> {
    matrix: &'a Matrix,
    options: &'a Options,
    launch: &'a str,
    target: &'a TargetName,
    /// From 1, unique in the launch.
    number: u32,
}

fn request(agent: &Agent<'_>) -> Option<Request> {
    let Agent { matrix, options, launch, target, number } = *agent;
    let name = job_name(&matrix.name, target, launch, number);
    // `requests` has checked that there is one.
    let image = image(target, options).ok()?;
    let mut arguments =
        ["join", "--controller", options.controller.as_str()].map(str::to_owned).to_vec();
    arguments.extend(["--target".to_owned(), target.to_string()]);
    if has_gpu(target) {
        arguments.extend(["--device", "cuda:0"].map(str::to_owned));
    }
    let [token, authority] = IDENTITY_FILES.map(|file| format!("{IDENTITY}/{file}"));
    arguments.extend(["--token-file".to_owned(), token, "--ca".to_owned(), authority]);
    arguments.extend(["--patience".to_owned(), RECONNECT_MINUTES.to_string()]);
    // Of its environment, a job sends to endpoints only what it was given.
    let given = |name: &str| options.environment.iter().any(|(given, _)| given == name);
    let sent: BTreeSet<&str> =
        matrix.endpoint_variables(target).into_iter().map(|sent| sent.name).collect();
    for name in sent.into_iter().filter(|name| given(name)) {
        arguments.extend(["--endpoint-env", name].map(str::to_owned));
    }
    arguments.extend(options.allows_plain_http.then(|| "--allow-plain-http".to_owned()));
    let ours = [
        ("Project", "fleetmark"),
        ("fleetmark:campaign", &matrix.name),
        ("fleetmark:target", target.as_str()),
        ("fleetmark:launch", launch),
    ];
    let tag = |key: &str, value: &str| json!({ "Key": key, "Value": tag_text(value) });
    let tags = ours.iter().map(|(key, value)| tag(key, value));
    let tags: Vec<Value> =
        tags.chain(options.tags.iter().map(|(key, value)| tag(key, value))).collect();
    let environment: serde_json::Map<String, Value> =
        options.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut body = json!({
        "ProcessingJobName": name,
        "RoleArn": options.role,
        "AppSpecification": { "ImageUri": image, "ContainerArguments": arguments },
        "ProcessingResources": { "ClusterConfig": {
            "InstanceCount": 1,
            "InstanceType": target.as_str(),
            "VolumeSizeInGB": options.volume_gb,
        } },
        "ProcessingInputs": [{ "InputName": "identity", "S3Input": {
            "S3Uri": options.identity.as_folder().to_string(),
            "LocalPath": IDENTITY,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        } }],
        "StoppingCondition": { "MaxRuntimeInSeconds": options.max_runtime.as_secs() },
        "Tags": tags,
    });
    if !environment.is_empty() {
        body["Environment"] = environment.into();
    }
    if !options.subnets.is_empty() {
        body["NetworkConfig"] = json!({ "VpcConfig": {
            "SecurityGroupIds": options.security_groups, "Subnets": options.subnets,
        } });
    }
    Some(Request { name, target: target.clone(), body })
}

fn image<'o>(target: &TargetName, options: &'o Options) -> Result<&'o str, String> {
    options.image.as_deref().ok_or_else(|| {
        format!(
            "{target} needs an image: build deploy/docker/agent.Dockerfile, push it to ECR, and set \
             --image-uri"
        )
    })
}

/// Whether an instance type has NVIDIA GPUs: families `g` and `p`, such as `ml.g4dn.xlarge`.
fn has_gpu(target: &TargetName) -> bool {
    let family = target.as_str().strip_prefix(PREFIX).unwrap_or_default();
    let mut chars = family.chars();
    matches!(chars.next(), Some('g' | 'p')) && chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// Problems that don't depend on the targets.
fn check(options: &Options) -> Vec<String> {
    let mut problems = Vec::new();
    if options.subnets.is_empty()
        && let Err(error) = options.controller.check_public()
    {
        problems.push(format!("--controller {}: {error}", options.controller.as_str()));
    }
    if !is_role(&options.role) {
        problems.push(format!(
            "--role-arn {}: expected arn:aws:iam::ACCOUNT:role/NAME of a role that SageMaker can assume",
            options.role
        ));
    }
    if options.image.as_ref().is_some_and(|uri| uri.is_empty() || uri.len() > MAX_IMAGE) {
        problems.push(format!("--image-uri: expected 1 to {MAX_IMAGE} characters"));
    }
    if options.controller.as_str().len() > MAX_TEXT {
        problems.push(format!("--controller: expected at most {MAX_TEXT} characters"));
    }
    if options.identity.key.trim_matches('/').is_empty() {
        problems.push(format!(
            "--identity {}: expected a folder in the bucket, since jobs read everything below it",
            options.identity
        ));
    }
    let most = [
        ("--subnets", &options.subnets, MAX_SUBNETS),
        ("--security-groups", &options.security_groups, MAX_GROUPS),
    ];
    for (option, ids, most) in most {
        if ids.len() > most {
            problems.push(format!("{option}: expected at most {most}, found {}", ids.len()));
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
    if options.subnets.is_empty() != options.security_groups.is_empty() {
        problems.push("set both --subnets and --security-groups".to_owned());
    }
    if !(60..=MAX_RUNTIME_S).contains(&options.max_runtime.as_secs()) {
        problems.push("--max-runtime: expected 1m to 9d".to_owned());
    }
    problems.extend(options.environment.iter().filter_map(|(name, value)| variable(name, value)));
    if options.tags.len() > MAX_TAGS - 4 {
        problems.push(format!("--tag: expected at most {}", MAX_TAGS - 4));
    }
    for (key, value) in &options.tags {
        let is_reserved =
            key.starts_with("fleetmark:") || key == "Project" || key.starts_with("aws:");
        let is_long = key.is_empty() || key.len() > 128 || value.len() > MAX_TEXT;
        if is_reserved || is_long || tag_text(key) != *key || tag_text(value) != *value {
            problems.push(format!(
                "--tag {key}={value}: expected letters, digits, spaces and _.:/=+-@; the keys aws:*, fleetmark:* and \
                 Project are reserved"
            ));
        }
    }
    problems
}

/// The problem of a variable of the container, if any.
fn variable(name: &str, value: &str) -> Option<String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(is_letter) || name.len() > MAX_TEXT {
        return Some(format!("--env {name}: invalid variable name"));
    }
    if value.len() > MAX_TEXT {
        return Some(format!("--env {name}: expected at most {MAX_TEXT} characters"));
    }
    let upper = name.to_ascii_uppercase();
    let is_place = ["_PATH", "_FILE", "_ENV"].iter().any(|end| upper.ends_with(end));
    let is_secret = ["TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| upper.contains(word));
    (is_secret && !is_place).then(|| {
        format!(
            "--env {name}: this secret would be visible in the job description: add a file with it to --identity \
             and set its path, such as HF_TOKEN_PATH={IDENTITY}/hub-token"
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

/// Replaces characters that tags don't allow.
fn tag_text(text: &str) -> String {
    let is_allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    text.chars().map(|c| if is_allowed(c) { c } else { '-' }).take(MAX_TEXT).collect()
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
    let length = MAX_NAME.saturating_sub("fleetmark--".len() + tail.len());
    format!("fleetmark-{}-{tail}", plain(matrix, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_secrets_are_allowed_but_not_secrets() {
        let allowed = ["HF_TOKEN_PATH", "HF_ENDPOINT", "AWS_REGION"];
        assert!(allowed.iter().all(|name| variable(name, "x").is_none()));
        for name in ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_password"] {
            assert!(variable(name, "x").is_some(), "{name}");
        }
    }

    #[test]
    fn gpu_families_are_detected() {
        let has = |name: &str| has_gpu(&TargetName::try_from(name).unwrap());
        assert!(["ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.p3.2xlarge"].into_iter().all(has));
        assert!(!["ml.m5.xlarge", "ml.c7g.large", "ml.inf2.xlarge", "g4dn"].into_iter().any(has));
    }

    proptest! {
        #[test]
        fn job_names_are_valid_and_unique(
            matrix in "\\PC{1,80}", target in "ml\\.[a-z0-9.]{0,70}", number in 1_u32..1000
        ) {
            let target = TargetName::try_from(target).unwrap();
            let name = job_name(&matrix, &target, "0123456789", number);
            prop_assert!(name.len() <= MAX_NAME, "{name}");
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
            let end = format!("-0123456789-{number}");
            prop_assert!(name.starts_with("fleetmark-") && name.ends_with(&end), "{name}");
        }
    }
}
