//! Checks whether a controller accepts this agent, without joining.

use super::{Identity, dial::Dialer};
use ops::error_chain::root_cause;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Connects like an agent and queries the health service. In TLS 1.3 the controller verifies the
/// certificate after the handshake, so only a response shows that it was accepted.
pub async fn check_controller(url: &str, identity: &Identity) -> Result<(), String> {
    let dial = Dialer::new(url, identity).map_err(|error| error.to_string())?;
    let words = |error: &(dyn std::error::Error + 'static)| {
        dial.refusal(error).unwrap_or_else(|| root_cause(error))
    };
    let channel = dial.connect().await.map_err(|error| words(&error))?;
    let request = HealthCheckRequest { service: String::new() };
    match HealthClient::new(channel).check(request).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == tonic::Code::Unimplemented => {
            Err("the server is not a controller".to_owned())
        }
        Err(status) => Err(words(&status)),
    }
}
