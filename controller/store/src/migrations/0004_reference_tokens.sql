-- How long references are in the model's own tokens; counted in the first run.
ALTER TABLE sample ADD COLUMN reference_tokens BIGINT;
