//! Connection errors that retrying cannot fix, with a remedy.

use rustls::{AlertDescription, CertificateError, Error as Tls};
use std::{error::Error, io};

#[derive(Debug, thiserror::Error)]
#[error("the controller requires TLS on this port: use https:// and --ca")]
pub(super) struct SpeaksTls;

/// The message for an error that retrying cannot fix. `None` for other errors.
pub(super) fn permanent(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(told) = find::<SpeaksTls>(error) {
        return Some(told.to_string());
    }
    let words = match find(error) {
        Some(Tls::InvalidCertificate(problem)) => of_controller(problem),
        Some(Tls::AlertReceived(alert)) => of_agent(*alert),
        Some(Tls::InvalidMessage(_)) => {
            "the controller does not use TLS on this port: use http:// on loopback, or start it with --certs"
        }
        _ => return None,
    };
    Some(words.to_owned())
}

fn of_controller(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the controller's certificate is not signed by the CA in --ca: use this controller's ca.pem"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the controller's certificate has expired: renew it with `controller certs controller`"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the controller's certificate is not valid yet: check this machine's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the controller's certificate does not cover the host in --controller: use one of its names, \
             or renew it with `controller certs controller --host NAME`"
        }
        _ => "the controller's certificate is invalid",
    }
}

fn of_agent(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            "the certificate in --cert has expired: renew it with `controller certs agent NAME`"
        }
        AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            "the controller rejected the certificate in --cert: use one signed by its CA \
             (`controller certs agent NAME`)"
        }
        _ => "the controller ended the TLS handshake",
    }
}

/// Finds an error of this type in the chain, including the content that `io::Error` hides.
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
        assert!(permanent(&error).unwrap().contains("has expired"));
        assert_eq!(permanent(&io::Error::other("reset")), None);
    }
}
