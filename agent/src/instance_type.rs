//! The cloud's name for this machine: from SageMaker's files or EC2's metadata service (`IMDSv2`).

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EC2: &str = "http://169.254.169.254";
/// Machines without the service must not wait for it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Longer responses are not instance types.
const MAX_LENGTH: usize = 64;

#[derive(Debug, Clone)]
pub struct Sources {
    pub root: PathBuf,
    /// Default: EC2's own, on machines that identify as EC2.
    pub metadata_url: Option<String>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), metadata_url: None }
    }
}

impl Sources {
    /// Such as `ml.g4dn.xlarge` in SageMaker jobs and `g4dn.xlarge` on EC2. `None` if unknown.
    pub async fn find(&self) -> Option<String> {
        if let Some(name) = sagemaker(&self.root) {
            return Some(name);
        }
        let url = match &self.metadata_url {
            Some(url) => url.trim_end_matches('/'),
            None if is_ec2(&self.root) => EC2,
            None => return None,
        };
        match imds(url).await {
            Ok(name) => checked(&name),
            Err(error) => {
                tracing::debug!(%error, url, "the metadata service does not respond");
                None
            }
        }
    }
}

/// Training and processing jobs have it in a file.
fn sagemaker(root: &Path) -> Option<String> {
    let read = |path: &str| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(root.join(path)).ok()?).ok()
    };
    let training = || {
        ["opt/ml/input/config/resourceconfig.json", "opt/ml/config/resourceconfig.json"]
            .into_iter()
            .find_map(|path| Some(read(path)?.get("current_instance_type")?.as_str()?.to_owned()))
    };
    let processing = || {
        let config = read("opt/ml/config/processingjobconfig.json")?;
        let name = config.pointer("/ProcessingResources/ClusterConfig/InstanceType")?;
        Some(name.as_str()?.to_owned())
    };
    training().or_else(processing).and_then(|name| checked(&name))
}

fn is_ec2(root: &Path) -> bool {
    let starts = |path: &str, with: &str| {
        std::fs::read_to_string(root.join(path)).is_ok_and(|text| text.trim().starts_with(with))
    };
    starts("sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2")
        || starts("sys/hypervisor/uuid", "ec2")
}

async fn imds(url: &str) -> Result<String, reqwest::Error> {
    // A proxy would respond for its own machine.
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let token = client
        .put(format!("{url}/latest/api/token"))
        .header("X-aws-ec2-metadata-token-ttl-seconds", "60")
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    client
        .get(format!("{url}/latest/meta-data/instance-type"))
        .header("X-aws-ec2-metadata-token", token)
        .send()
        .await?
        .error_for_status()?
        .text()
        .await
}

fn checked(name: &str) -> Option<String> {
    let name = name.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_one = !name.is_empty() && name.len() <= MAX_LENGTH && name.chars().all(is_plain);
    is_one.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, put};

    /// A metadata service that requires a token, like `IMDSv2`.
    async fn serve(instance_type: &'static str) -> String {
        let token = |headers: HeaderMap| async move {
            match headers.get("X-aws-ec2-metadata-token-ttl-seconds") {
                Some(_) => Ok("a-token"),
                None => Err(StatusCode::BAD_REQUEST),
            }
        };
        let name = move |headers: HeaderMap| async move {
            match headers.get("X-aws-ec2-metadata-token") {
                Some(token) if token == "a-token" => Ok(instance_type),
                _ => Err(StatusCode::UNAUTHORIZED),
            }
        };
        let service = Router::new()
            .route("/latest/api/token", put(token))
            .route("/latest/meta-data/instance-type", get(name));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, service).await });
        url
    }

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let sources = Sources { root: root.path().to_owned(), metadata_url: None };
        (root, sources)
    }

    #[tokio::test]
    async fn the_metadata_service_is_asked_with_a_token() {
        let (_root, sources) = machine(&[]);
        let sources = Sources { metadata_url: Some(serve("g4dn.xlarge").await), ..sources };
        assert_eq!(sources.find().await.as_deref(), Some("g4dn.xlarge"));
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_taken() {
        let (_root, sources) = machine(&[]);
        let sources = Sources { metadata_url: Some(serve("<html>sorry</html>").await), ..sources };
        assert_eq!(sources.find().await, None);
    }

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_no_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (_root, sources) = machine(&[]);
        let sources = Sources { metadata_url: Some(format!("http://{free}")), ..sources };
        assert_eq!(sources.find().await, None);
    }

    #[tokio::test]
    async fn sagemakers_jobs_say_what_they_run_on() {
        let training = r#"{"current_host": "algo-1", "current_instance_type": "ml.m5.xlarge"}"#;
        let (_root, sources) = machine(&[("opt/ml/input/config/resourceconfig.json", training)]);
        assert_eq!(sources.find().await.as_deref(), Some("ml.m5.xlarge"));
        let processing = r#"{"ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.g4dn.xlarge"}}}"#;
        let (_root, sources) = machine(&[("opt/ml/config/processingjobconfig.json", processing)]);
        assert_eq!(sources.find().await.as_deref(), Some("ml.g4dn.xlarge"));
    }

    #[tokio::test]
    async fn a_machine_of_another_maker_is_not_asked() {
        let (_root, sources) = machine(&[("sys/devices/virtual/dmi/id/sys_vendor", "QEMU\n")]);
        assert!(!is_ec2(&sources.root));
        assert_eq!(sources.find().await, None);
        let (_root, sources) =
            machine(&[("sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2\n")]);
        assert!(is_ec2(&sources.root));
    }
}
