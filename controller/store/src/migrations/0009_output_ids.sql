-- The tokens of a summary, packed as proto/src/output_ids.rs has them; null where the agent didn't tell them. SQLite keeps
-- bytes in a column of any type.
ALTER TABLE sample ADD COLUMN output_ids BYTEA;
