//! Programs whose AWS is the scenario's own server.

use crate::Workspace;
use std::process::Command;

/// Points a program at an endpoint of AWS, with test credentials and no configuration of this machine.
pub fn at<'a>(command: &'a mut Command, workspace: &Workspace, url: &str) -> &'a mut Command {
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
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "verysecret")
        .env("AWS_CONFIG_FILE", workspace.path("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", workspace.path("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("FLEETMARK_CACHE", workspace.path("cache"))
        .env("NO_PROXY", "*")
}
