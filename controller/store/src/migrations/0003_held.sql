-- How long a machine was held for the campaign, measuring or not: what the campaign itself cost.
ALTER TABLE agent ADD COLUMN held_ns BIGINT NOT NULL DEFAULT 0;
