//! Prompt, limits and settings of decoding.

use super::given;
use crate::wire;
use model::generation::{Decoding, Generation, Sampling, Settings, Stop};
use model::words::Unknown;

impl From<&Generation> for wire::Generation {
    fn from(generation: &Generation) -> Self {
        Self {
            prompt: generation.prompt.clone().unwrap_or_default(),
            max_input_tokens: generation.max_input_tokens,
            max_new_tokens: generation.settings.max_new_tokens.unwrap_or(0),
            stop_at_reference: generation.stop == Stop::Reference,
            settings: Some((&generation.settings).into()),
        }
    }
}

impl TryFrom<wire::Generation> for Generation {
    type Error = Unknown;

    fn try_from(wire: wire::Generation) -> Result<Self, Unknown> {
        let settings = wire.settings.map(Settings::try_from).transpose()?.unwrap_or_default();
        let max_new_tokens = Some(wire.max_new_tokens).filter(|tokens| *tokens > 0);
        Ok(Self {
            prompt: given(wire.prompt),
            max_input_tokens: wire.max_input_tokens,
            stop: if wire.stop_at_reference { Stop::Reference } else { Stop::Eos },
            settings: Settings { max_new_tokens, ..settings },
        })
    }
}

impl From<&Settings> for wire::GenerationSettings {
    fn from(settings: &Settings) -> Self {
        let ids = |ids: &Option<Vec<u32>>| ids.clone().map(|ids| wire::TokenIds { ids });
        Self {
            max_length: settings.max_length,
            min_new_tokens: settings.min_new_tokens,
            min_length: settings.min_length,
            num_beams: settings.num_beams,
            length_penalty: settings.length_penalty,
            early_stopping: settings
                .early_stopping
                .map_or_else(String::new, |when| when.to_string()),
            no_repeat_ngram_size: settings.no_repeat_ngram_size,
            repetition_penalty: settings.repetition_penalty,
            decoder_start_token_id: settings.decoder_start_token_id,
            forced_bos_token_id: settings.forced_bos_token_id,
            forced_eos_token_id: ids(&settings.forced_eos_token_id),
            suppress_tokens: ids(&settings.suppress_tokens),
            do_sample: settings.do_sample,
            temperature: settings.temperature,
            top_k: settings.top_k,
            top_p: settings.top_p,
            seed: settings.seed,
            prompt_lookup_num_tokens: settings.prompt_lookup_num_tokens,
            system: settings.system.clone(),
        }
    }
}

impl TryFrom<wire::GenerationSettings> for Settings {
    type Error = Unknown;

    fn try_from(wire: wire::GenerationSettings) -> Result<Self, Unknown> {
        let ids = |ids: Option<wire::TokenIds>| ids.map(|ids| ids.ids);
        let word = Some(wire.early_stopping).filter(|word| !word.is_empty());
        Ok(Self {
            max_new_tokens: None,
            max_length: wire.max_length,
            min_new_tokens: wire.min_new_tokens,
            min_length: wire.min_length,
            num_beams: wire.num_beams,
            length_penalty: wire.length_penalty,
            early_stopping: word.map(|word| word.parse()).transpose()?,
            no_repeat_ngram_size: wire.no_repeat_ngram_size,
            repetition_penalty: wire.repetition_penalty,
            decoder_start_token_id: wire.decoder_start_token_id,
            forced_bos_token_id: wire.forced_bos_token_id,
            forced_eos_token_id: ids(wire.forced_eos_token_id),
            suppress_tokens: ids(wire.suppress_tokens),
            do_sample: wire.do_sample,
            temperature: wire.temperature,
            top_k: wire.top_k,
            top_p: wire.top_p,
            seed: wire.seed,
            prompt_lookup_num_tokens: wire.prompt_lookup_num_tokens,
            system: wire.system,
        })
    }
}

impl From<Decoding> for wire::Decoding {
    fn from(decoding: Decoding) -> Self {
        Self {
            max_new_tokens: decoding.max_new_tokens,
            min_new_tokens: decoding.min_new_tokens,
            num_beams: decoding.num_beams,
            length_penalty: decoding.length_penalty,
            early_stopping: decoding.early_stopping.to_string(),
            no_repeat_ngram_size: decoding.no_repeat_ngram_size,
            repetition_penalty: decoding.repetition_penalty,
            decoder_start_token_id: decoding.decoder_start_token_id,
            forced_bos_token_id: decoding.forced_bos_token_id,
            forced_eos_token_id: decoding.forced_eos_token_id,
            suppress_tokens: decoding.suppress_tokens,
            sampling: decoding.sampling.map(Into::into),
            prompt_lookup_num_tokens: decoding.prompt_lookup_num_tokens,
        }
    }
}

impl TryFrom<wire::Decoding> for Decoding {
    type Error = Unknown;

    fn try_from(wire: wire::Decoding) -> Result<Self, Unknown> {
        Ok(Self {
            max_new_tokens: wire.max_new_tokens,
            min_new_tokens: wire.min_new_tokens,
            num_beams: wire.num_beams,
            length_penalty: wire.length_penalty,
            early_stopping: wire.early_stopping.parse()?,
            no_repeat_ngram_size: wire.no_repeat_ngram_size,
            repetition_penalty: wire.repetition_penalty,
            decoder_start_token_id: wire.decoder_start_token_id,
            forced_bos_token_id: wire.forced_bos_token_id,
            forced_eos_token_id: wire.forced_eos_token_id,
            suppress_tokens: wire.suppress_tokens,
            sampling: wire.sampling.map(Into::into),
            prompt_lookup_num_tokens: wire.prompt_lookup_num_tokens,
        })
    }
}

impl From<Sampling> for wire::Sampling {
    fn from(Sampling { temperature, top_k, top_p, seed }: Sampling) -> Self {
        Self { temperature, top_k, top_p, seed }
    }
}

impl From<wire::Sampling> for Sampling {
    fn from(wire::Sampling { temperature, top_k, top_p, seed }: wire::Sampling) -> Self {
        Self { temperature, top_k, top_p, seed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::generation::EarlyStopping;

    #[test]
    fn settings_and_what_became_of_them_arrive_as_they_were() {
        let settings = Settings {
            max_new_tokens: Some(64),
            min_length: Some(0),
            num_beams: Some(4),
            length_penalty: Some(-0.5),
            early_stopping: Some(EarlyStopping::Never),
            repetition_penalty: Some(1.2),
            forced_eos_token_id: Some(Vec::new()),
            suppress_tokens: Some(vec![3, 4]),
            do_sample: Some(true),
            temperature: Some(0.7),
            seed: Some(u64::MAX),
            prompt_lookup_num_tokens: Some(8),
            system: Some("Be brief.".to_owned()),
            ..Settings::default()
        };
        let decoding = Decoding::of(&settings, 2);
        let generation =
            Generation { prompt: None, max_input_tokens: 512, stop: Stop::Reference, settings };
        let wire = wire::Generation::from(&generation);
        assert_eq!(Generation::try_from(wire), Ok(generation));
        assert_eq!(Decoding::try_from(wire::Decoding::from(decoding.clone())), Ok(decoding));
        let odd = wire::GenerationSettings {
            early_stopping: "often".to_owned(),
            ..wire::GenerationSettings::default()
        };
        assert!(Settings::try_from(odd).is_err());
    }
}
