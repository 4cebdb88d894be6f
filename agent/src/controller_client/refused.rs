//! Why a connection failed: what dialling again can't mend is told at once, with the way out.

use rustls::{AlertDescription, CertificateError, Error as Tls};
use std::error::Error;
use std::io;

/// The controller's door answered that this is no place for plain HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the controller speaks TLS on this port: give https:// and --ca")]
pub(super) struct SpeaksTls;

/// Words for a failure that dialling again can't mend. Null for everything else.
pub(super) fn for_good(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(told) = find::<SpeaksTls>(error) {
        return Some(told.to_string());
    }
    let words = match find(error) {
        Some(Tls::InvalidCertificate(problem)) => of_controller(problem),
        Some(Tls::AlertReceived(alert)) => of_agent(*alert),
        Some(Tls::InvalidMessage(_)) => {
            "the controller doesn't speak TLS on this port: give http:// on loopback, or start it with --certs"
        }
        _ => return None,
    };
    Some(words.to_owned())
}

fn of_controller(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the controller's certificate isn't signed by the authority of --ca: give this controller's ca.pem"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the controller's certificate has expired: make it anew with controller certs controller"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the controller's certificate doesn't hold yet: set this machine's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the controller's certificate is for other names than the one in --controller: use one of its own, \
             or make it anew with controller certs controller --host NAME"
        }
        _ => "the controller's certificate can't be accepted",
    }
}

fn of_agent(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            "the certificate of --cert has expired: make it anew with controller certs agent NAME"
        }
        AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            "the controller doesn't accept the certificate of --cert: give one that its own authority signed \
             (controller certs agent NAME)"
        }
        _ => "the controller ended the TLS handshake",
    }
}

/// An error of this kind, wherever in the chain it stands. An `io::Error` hides it: its source is its content's source.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_found_within_errors_of_io() {
        let tls = Tls::AlertReceived(AlertDescription::CertificateExpired);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert!(for_good(&error).unwrap().contains("has expired"));
        assert_eq!(for_good(&io::Error::other("reset")), None);
    }
}
