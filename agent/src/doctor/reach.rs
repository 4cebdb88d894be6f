//! What an agent must reach: its controller, over TLS where it is asked for, and what it is to load.

use super::{Certificate, Controller, Finding, Seen, Source};

pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    let mut all: Vec<Finding> = seen.controller.iter().flat_map(controller).collect();
    all.extend(seen.certificates.iter().map(|named| certificate(named, seen.now_s)));
    all.extend(seen.sources.iter().map(source));
    all
}

fn controller(controller: &Controller) -> Vec<Finding> {
    let url = &controller.url;
    let mut all = vec![match &controller.connect {
        Ok(time) => {
            let ms = time.as_secs_f64() * 1e3;
            Finding::ok("controller", format!("{url} answers in {ms:.2} ms"))
        }
        Err(reason) => Finding::trouble(
            "controller",
            format!("{url} can't be reached: {reason}"),
            "start the controller, and open its port in firewalls and security groups",
        ),
    }];
    all.extend(controller.greeting.as_ref().map(|greeting| match greeting {
        Ok(()) if url.starts_with("https://") => {
            Finding::ok("controller_identity", "its certificate holds, and it is a controller")
        }
        Ok(()) => Finding::ok("controller_identity", "it is a controller"),
        Err(reason) => Finding::trouble(
            "controller_identity",
            reason.clone(),
            "give the --controller, --ca, --cert and --key that controller run prints: agent join needs the same",
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
            "make it anew beside the controller (controller certs agent NAME), and copy it here",
        ),
        Err(reason) => Finding::trouble(
            "certificate",
            format!("{which}: {reason}"),
            "copy the files again that controller certs made, and let the agent's user read them",
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
            "mend its name, or open the way to it and give what it asks for: docs/sources.md",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use model::finding::Lifetime;
    use std::time::Duration;

    fn seen(greeting: Result<(), &str>, found: Result<&str, &str>) -> Seen {
        let controller = Controller {
            url: "https://bench.example:7437".to_owned(),
            connect: Ok(Duration::from_millis(2)),
            greeting: Some(greeting.map_err(str::to_owned)),
        };
        let lifetime = Lifetime { from_s: 0, until_s: if found.is_ok() { 9_000_000 } else { 10 } };
        let found = found.map(str::to_owned).map_err(str::to_owned);
        Seen {
            controller: Some(controller),
            certificates: vec![Certificate {
                which: "--cert a.pem".to_owned(),
                lifetime: Ok(lifetime),
            }],
            now_s: 100,
            sources: vec![Source { what: "model", name: "google/flan-t5-base".to_owned(), found }],
            ..Seen::default()
        }
    }

    #[test]
    fn what_can_be_reached_is_fine() {
        let found = findings(&seen(Ok(()), Ok("3 files")));
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().all(|it| it.status == Status::Ok), "{found:#?}");
    }

    #[test]
    fn what_cannot_says_what_to_do() {
        let found = findings(&seen(Err("the certificate of --cert has expired"), Err("no token")));
        let troubles: Vec<&str> =
            found.iter().filter(|it| it.remedy.is_some()).map(|it| it.what.as_str()).collect();
        assert_eq!(troubles, ["controller_identity", "certificate", "model"]);
    }
}
