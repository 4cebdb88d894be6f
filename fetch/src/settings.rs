//! Settings from the environment: the standard variables of the hub and of AWS, and two of our own.

use crate::Error;
use ops::secret::{Secret, shown_url};
use std::path::{Path, PathBuf};

const HUB: &str = "https://huggingface.co";
/// The default limit of the cache, in GiB.
const CACHE_GB: u64 = 50;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Files from S3, and the entries of all fetched files: `FLEETMARK_CACHE`, `$XDG_CACHE_HOME/fleetmark`.
    pub cache: PathBuf,
    /// `FLEETMARK_CACHE_GB`, in bytes.
    pub cache_limit_bytes: u64,
    /// `HF_ENDPOINT`, which may hold a password.
    pub hub_endpoint: Secret,
    /// `HF_TOKEN`, `HF_TOKEN_PATH`, `$HF_HOME/token`.
    pub hub_token: Option<Secret>,
    /// Files from the hub, in the layout of its Python library: `HF_HUB_CACHE`, `$HF_HOME/hub`.
    pub hub_cache: PathBuf,
    /// `HF_HUB_OFFLINE`.
    pub is_offline: bool,
    /// `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`: another server than AWS, with buckets in the path of URLs.
    pub has_s3_endpoint: bool,
}

impl Settings {
    /// Reads the environment through `variable`. An empty variable counts as unset.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let home = variable("HOME").unwrap_or_else(|| "/tmp".to_owned());
        let caches = variable("XDG_CACHE_HOME").unwrap_or_else(|| format!("{home}/.cache"));
        let hub_home = variable("HF_HOME")
            .map_or_else(|| Path::new(&caches).join("huggingface"), PathBuf::from);
        let hub_cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        Ok(Self {
            cache: variable("FLEETMARK_CACHE")
                .map_or_else(|| Path::new(&caches).join("fleetmark"), PathBuf::from),
            cache_limit_bytes: gigabytes("FLEETMARK_CACHE_GB", &variable)?,
            hub_endpoint: endpoint("HF_ENDPOINT", &variable)?,
            hub_token: token(&hub_home, &variable),
            hub_cache: hub_cache.map_or_else(|| hub_home.join("hub"), PathBuf::from),
            // As the hub's Python library reads it.
            is_offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].iter().any(|name| {
                let value = variable(name).unwrap_or_default().to_ascii_uppercase();
                ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
            }),
            has_s3_endpoint: ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
                .iter()
                .any(|name| variable(name).is_some()),
        })
    }
}

fn gigabytes(name: &'static str, variable: &dyn Fn(&str) -> Option<String>) -> Result<u64, Error> {
    let Some(value) = variable(name) else { return Ok(CACHE_GB << 30) };
    let limit = value.trim().parse::<u64>().ok().and_then(|gb| gb.checked_mul(1 << 30));
    limit.ok_or(Error::Setting { name, value, expected: "a whole number of gigabytes" })
}

fn endpoint(
    name: &'static str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret, Error> {
    let value = variable(name).unwrap_or_else(|| HUB.to_owned());
    let value = value.trim().trim_end_matches('/');
    let is_http = value.starts_with("http://") || value.starts_with("https://");
    let is_url = is_http && reqwest::Url::parse(value).is_ok();
    Secret::new(value).filter(|_| is_url).ok_or_else(|| Error::Setting {
        name,
        value: shown_url(value),
        expected: "a URL such as https://huggingface.co",
    })
}

fn token(hub_home: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Option<Secret> {
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let file = |path: &Path| ops::text_file::read_to_string(path).ok();
    variable("HF_TOKEN")
        .or_else(|| variable("HF_TOKEN_PATH").and_then(|path| file(Path::new(&path))))
        .or_else(|| file(&hub_home.join("token")))
        .and_then(|token| Secret::new(&token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Settings::read(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_empty_environment_means_the_hub_and_the_home_folder() {
        let settings = settings(&[("HOME", "/home/x")]).unwrap();
        assert_eq!(settings.hub_endpoint.expose(), "https://huggingface.co");
        assert_eq!(settings.hub_cache, Path::new("/home/x/.cache/huggingface/hub"));
        assert_eq!(settings.cache, Path::new("/home/x/.cache/fleetmark"));
        assert_eq!((settings.is_offline, settings.has_s3_endpoint), (false, false));
        assert_eq!(settings.cache_limit_bytes, 50 << 30);
    }

    #[test]
    fn the_standard_variables_are_read() {
        let settings = settings(&[
            ("HF_ENDPOINT", "http://127.0.0.1:8080/"),
            ("HF_HOME", "/models"),
            ("HF_TOKEN", " secret\n"),
            ("HF_HUB_OFFLINE", "1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("FLEETMARK_CACHE_GB", "2"),
        ])
        .unwrap();
        assert_eq!(settings.hub_endpoint.expose(), "http://127.0.0.1:8080");
        assert_eq!(settings.hub_cache, Path::new("/models/hub"));
        assert_eq!(settings.hub_token, Secret::new("secret"));
        assert!(settings.is_offline && settings.has_s3_endpoint);
        assert_eq!(settings.cache_limit_bytes, 2 << 30);
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_password_in_the_address_of_the_hub_shows_nowhere() {
        let address = "https://me:hunter2@mirror.example/hub";
        let settings = settings(&[("HF_ENDPOINT", address)]).unwrap();
        assert_eq!(settings.hub_endpoint.expose(), address);
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        let error = super::endpoint("HF_ENDPOINT", &|_| Some("ftp://me:hunter2@x".to_owned()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("ftp://x") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_invalid_value_is_reported_with_its_variable() {
        for (name, value) in [("HF_ENDPOINT", "hub.local"), ("FLEETMARK_CACHE_GB", "lots")] {
            let error = settings(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
