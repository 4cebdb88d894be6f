-- How often a controller took the campaign up: attempts are numbered anew each time, above all that went before.
ALTER TABLE campaign ADD COLUMN starts BIGINT NOT NULL DEFAULT 0;
-- The order in which things happened; the wall clock may step back.
ALTER TABLE event ADD COLUMN no BIGINT NOT NULL DEFAULT 0;
