-- Tokens that were drafted, and those of them that were accepted; null where none were drafted.
ALTER TABLE sample ADD COLUMN drafted_tokens BIGINT;
ALTER TABLE sample ADD COLUMN accepted_tokens BIGINT;
