//! What a campaign must keep, as the matrix says it: the objective of requests.

use super::Slo;
use super::reader::Section;

/// `[slo]`: a request is good within the limit; the percentile must be.
pub(super) fn slo(mut section: Section<'_, '_>) -> Option<Slo> {
    if section.is_absent() {
        return None;
    }
    let limit = section.positive("request_latency_ms");
    let percentile = section.positive("percentile").unwrap_or(95.0);
    if !Slo::PERCENTILES.iter().any(|known| known.to_bits() == percentile.to_bits()) {
        section.problem("percentile", "expected one that is reported: 50, 90, 95, 99 or 99.9");
    }
    if limit.is_none() && !section.has("request_latency_ms") {
        section.problem("request_latency_ms", "is missing, for example: request_latency_ms = 500");
    }
    section.finish();
    Some(Slo { request_latency_ms: limit?, percentile })
}
