//! What a matrix sends from the environment to endpoints: told before it is sent, and allowed for the local agents.

use crate::cli;
use matrix::Matrix;
use model::ids::TargetName;
use ops::secret::shown_url;
use std::collections::BTreeSet;

/// What the user allows the local agents.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointAccess<'o> {
    /// Empty: the variables that the matrix names.
    variables: &'o [String],
    allows_plain_http: bool,
}

impl<'o> EndpointAccess<'o> {
    pub(super) fn of(options: &'o cli::Run) -> Self {
        Self { variables: &options.endpoint_env, allows_plain_http: options.allow_plain_http }
    }

    fn allows(&self, variable: &str) -> bool {
        self.variables.is_empty() || self.variables.iter().any(|allowed| allowed == variable)
    }

    /// The arguments of the local agent of a target.
    pub(super) fn arguments(&self, matrix: &Matrix, target: &TargetName) -> Vec<String> {
        let names = variables(matrix, target);
        let mut arguments = endpoint_env(names.into_iter().filter(|name| self.allows(name)));
        arguments.extend(self.allows_plain_http.then(|| ALLOW_PLAIN_HTTP.to_owned()));
        arguments
    }

    /// A line for each variable that this machine will send.
    pub(super) fn told(&self, matrix: &Matrix) -> Vec<String> {
        let local = matrix.targets.iter().filter(|target| target.local.is_some());
        let sent = local.flat_map(|target| matrix.endpoint_variables(&target.name));
        let sent = sent.filter(|sent| self.allows(sent.name)).map(|sent| {
            format!(
                "environment variable {} is sent to the endpoint {}",
                sent.name,
                shown_url(sent.endpoint)
            )
        });
        let lines: BTreeSet<String> = sent.collect();
        lines.into_iter().collect()
    }
}

const ALLOW_PLAIN_HTTP: &str = "--allow-plain-http";

/// The arguments that an agent of another machine needs for the endpoints of the matrix.
pub(super) fn needed(matrix: &Matrix, target: &TargetName) -> Vec<String> {
    let mut arguments = endpoint_env(variables(matrix, target).into_iter());
    arguments.extend(matrix.has_plain_endpoint(target).then(|| ALLOW_PLAIN_HTTP.to_owned()));
    arguments
}

fn variables<'m>(matrix: &'m Matrix, target: &TargetName) -> BTreeSet<&'m str> {
    matrix.endpoint_variables(target).into_iter().map(|sent| sent.name).collect()
}

fn endpoint_env<'m>(names: impl Iterator<Item = &'m str>) -> Vec<String> {
    names.flat_map(|name| ["--endpoint-env".to_owned(), name.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use matrix::Overrides;
    use std::path::Path;

    const MATRIX: &str = r#"
name = "endpoints"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "one"
id = "https://one.example/ask?key=of-the-address"
targets = ["here"]
[model.endpoint]
headers = { authorization = "ONE_TOKEN", x-team = "TEAM" }
[[model]]
name = "two"
id = "http://10.0.0.2/ask"
targets = ["there"]
[model.endpoint]
headers = { authorization = "TWO_TOKEN" }
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
[[target]]
name = "there"
usd_per_hour = 0.1
"#;

    fn matrix() -> Matrix {
        Matrix::check(MATRIX, "matrix.toml", Path::new("/"), &Overrides::default()).unwrap()
    }

    fn target(name: &str) -> TargetName {
        TargetName::try_from(name).unwrap()
    }

    #[test]
    fn a_local_agent_may_send_what_the_matrix_names_for_its_target_or_less() {
        let access = EndpointAccess { variables: &[], allows_plain_http: false };
        assert_eq!(
            access.arguments(&matrix(), &target("here")),
            ["--endpoint-env", "ONE_TOKEN", "--endpoint-env", "TEAM"]
        );
        let given = ["TEAM".to_owned(), "HOME".to_owned()];
        let access = EndpointAccess { variables: &given, allows_plain_http: true };
        assert_eq!(
            access.arguments(&matrix(), &target("here")),
            ["--endpoint-env", "TEAM", "--allow-plain-http"]
        );
    }

    #[test]
    fn everything_that_local_agents_send_is_told() {
        let access = EndpointAccess { variables: &[], allows_plain_http: false };
        assert_eq!(
            access.told(&matrix()),
            [
                "environment variable ONE_TOKEN is sent to the endpoint https://one.example/ask",
                "environment variable TEAM is sent to the endpoint https://one.example/ask",
            ]
        );
    }

    #[test]
    fn the_command_for_another_machine_has_what_its_endpoints_need() {
        assert_eq!(
            needed(&matrix(), &target("there")),
            ["--endpoint-env", "TWO_TOKEN", "--allow-plain-http"]
        );
    }
}
