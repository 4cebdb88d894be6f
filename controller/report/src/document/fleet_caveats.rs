//! What limits a prediction, as a sentence.

use super::shortened;
use crate::sentences::counted;
use decide::Caveat;
use plot::number;

pub(super) fn caveat(caveat: &Caveat) -> String {
    match caveat {
        Caveat::OtherMachine { target, measured_on } if measured_on == "unknown" => format!(
            "{}: the machine that was measured is unknown; it is priced by target name.",
            shortened(target, 80)
        ),
        Caveat::OtherMachine { target, measured_on } => format!(
            "{} was measured on {}, another machine.",
            shortened(target, 80),
            shortened(measured_on, 80)
        ),
        Caveat::OneHost { target } => {
            format!("{} was measured on one host.", shortened(target, 80))
        }
        Caveat::FewRuns { runs } => format!(
            "Batch times of {}: intervals over fewer than {} runs are too narrow.",
            counted(*runs, "run"),
            decide::ENOUGH_RUNS
        ),
        Caveat::Degraded => "Some cells behind it are DEGRADED.".to_owned(),
        Caveat::RandomWeights => "Random weights: the model has no quality.".to_owned(),
        Caveat::IncompleteCampaign => "The campaign is incomplete.".to_owned(),
        Caveat::NotCalibrated => {
            "No `server` cell of its model and target checks the prediction; after a pause, batches can take longer than the measured ones.".to_owned()
        }
        Caveat::MissesItsMeasurements { missed, cells } => format!(
            "The prediction misses {missed} of {} of its model and target.",
            counted(*cells, "measured cell")
        ),
        Caveat::ExtrapolatedBatches { max_batch_size } => format!(
            "Batches of {max_batch_size} were not observed; their time is extrapolated."
        ),
        Caveat::UnknownLoadTime => {
            "The load time was not measured: starts take the provisioning time only.".to_owned()
        }
        Caveat::ShortTrace { hours } => format!(
            "The trace covers {} hours; the month is extrapolated.",
            number::shown(*hours)
        ),
        Caveat::StalePrice { date } => format!("The price is of {date}, over 180 days old."),
        Caveat::AssumedRegion => "The source of the price leaves its region open.".to_owned(),
        Caveat::LengthsNotUsed => {
            "The lengths of the trace are not simulated: batch times are those of the measured dialogues.".to_owned()
        }
        Caveat::ExtrapolatedPrompts { share } => format!(
            "{} of the prompts are longer or shorter than any measured: their batch times are extrapolated.",
            number::percent(*share)
        ),
        Caveat::CutPrompts { share, max_input_tokens } => format!(
            "{} of the prompts are longer than {} tokens and cut, as those of the campaign are.",
            number::percent(*share),
            number::shown(f64::from(*max_input_tokens))
        ),
        Caveat::ServerlessStandIn { target, memory_mb } => format!(
            "Assumed, not measured: a serverless endpoint with {memory_mb} MiB answers a request as fast as {}.",
            shortened(target, 80)
        ),
        Caveat::SpotAtOtherPrice { purchase } => format!(
            "Spot interruptions are simulated, but the price is {}.",
            shortened(purchase, 40)
        ),
    }
}
