-- Packed gaps between chunks with text, in microseconds (model::chunk_gaps); null unless the response was a stream.
ALTER TABLE sample ADD COLUMN chunk_gaps BYTEA;
