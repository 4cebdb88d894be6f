-- An agent's signature over the samples of an attempt that it finished, all of which count. The certificate is public:
-- it is the one with which the agent connected. The salt of the hashes of texts is not: with it, a text can be guessed.
CREATE TABLE signature (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    attempt BIGINT NOT NULL,
    agent BIGINT NOT NULL,
    certificate BYTEA NOT NULL,
    salt BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (campaign, attempt)
);
