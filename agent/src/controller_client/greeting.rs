//! Whether a controller would speak with this agent, without joining it.

use super::Identity;
use super::dial::Dial;
use ops::error_chain::root_cause;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Connects as an agent would, over TLS where the URL says so, and asks the health service. In TLS 1.3 the controller
/// judges a certificate after the handshake, so only an answer shows that it was accepted.
///
/// # Errors
/// Why not, with the way out where there is one.
pub async fn greet(url: &str, identity: &Identity) -> Result<(), String> {
    let dial = Dial::new(url, identity).map_err(|error| error.to_string())?;
    let words = |error: &(dyn std::error::Error + 'static)| {
        dial.refusal(error).unwrap_or_else(|| root_cause(error))
    };
    let channel = dial.connect().await.map_err(|error| words(&error))?;
    let request = HealthCheckRequest { service: String::new() };
    match HealthClient::new(channel).check(request).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == tonic::Code::Unimplemented => {
            Err("what answers there is no controller".to_owned())
        }
        Err(status) => Err(words(&status)),
    }
}
