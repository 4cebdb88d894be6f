//! Findings about the controller, certificates and model sources.

use super::{Certificate, Controller, Finding, Observations, Source};

pub(super) fn findings(observations: &Observations) -> Vec<Finding> {
    let mut all: Vec<Finding> = observations.controller.iter().flat_map(controller).collect();
    all.extend(
        observations.certificates.iter().map(|named| certificate(named, observations.now_s)),
    );
    all.extend(observations.sources.iter().map(source));
    all
}

fn controller(controller: &Controller) -> Vec<Finding> {
    let url = &controller.url;
    let mut all = vec![match &controller.connect {
        Ok(time) => {
            let ms = time.as_secs_f64() * 1e3;
            Finding::ok("controller", format!("{url} responds in {ms:.2} ms"))
        }
        Err(reason) => Finding::trouble(
            "controller",
            format!("{url} is unreachable: {reason}"),
            "start the controller, and open its port in firewalls and security groups",
        ),
    }];
    all.extend(controller.greeting.as_ref().map(|greeting| match greeting {
        Ok(()) if url.starts_with("https://") => {
            Finding::ok("controller_identity", "valid certificate, responds as a controller")
        }
        Ok(()) => Finding::ok("controller_identity", "responds as a controller"),
        Err(reason) => Finding::trouble(
            "controller_identity",
            reason.clone(),
            "use the --controller, --ca, --cert and --key printed by `controller run`; agent join needs the same",
        ),
    }));
    all
}

fn certificate(certificate: &Certificate, now_s: i64) -> Finding {
    let which = &certificate.which;
    match &certificate.lifetime {
        Ok(lifetime) => lifetime.judge(
            which,
            now_s,
            "renew it on the controller (`controller certs agent NAME`) and copy it here",
        ),
        Err(reason) => Finding::trouble(
            "certificate",
            format!("{which}: {reason}"),
            "copy the files from `controller certs` again, readable by the agent's user",
        ),
    }
}

fn source(source: &Source) -> Finding {
    let Source { what, name, found } = source;
    match found {
        Ok(detail) => Finding::ok(what, format!("{name}: {detail}")),
        Err(reason) => Finding::trouble(
            what,
            format!("{name}: {reason}"),
            "check the name, network access and credentials: docs/sources.md",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use model::finding::Lifetime;
    use std::time::Duration;

    fn observations(greeting: Result<(), &str>, found: Result<&str, &str>) -> Observations {
        let controller = Controller {
            url: "https://bench.example:7437".to_owned(),
            connect: Ok(Duration::from_millis(2)),
            greeting: Some(greeting.map_err(str::to_owned)),
        };
        let lifetime = Lifetime { from_s: 0, until_s: if found.is_ok() { 9_000_000 } else { 10 } };
        let found = found.map(str::to_owned).map_err(str::to_owned);
        Observations {
            controller: Some(controller),
            certificates: vec![Certificate {
                which: "--cert a.pem".to_owned(),
                lifetime: Ok(lifetime),
            }],
            now_s: 100,
            sources: vec![Source { what: "model", name: "google/flan-t5-base".to_owned(), found }],
            ..Observations::default()
        }
    }

    #[test]
    fn what_can_be_reached_is_fine() {
        let found = findings(&observations(Ok(()), Ok("3 files")));
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().all(|it| it.status == Status::Ok), "{found:#?}");
    }

    #[test]
    fn what_cannot_says_what_to_do() {
        let found =
            findings(&observations(Err("the certificate of --cert has expired"), Err("no token")));
        let troubles: Vec<&str> =
            found.iter().filter(|it| it.remedy.is_some()).map(|it| it.what.as_str()).collect();
        assert_eq!(troubles, ["controller_identity", "certificate", "model"]);
    }
}
