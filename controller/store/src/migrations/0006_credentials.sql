-- Which agents were given a token, and whose tokens or certificates were revoked. Of a token only the SHA-256 is kept;
-- a certificate has a row once its name was revoked, with an empty hash.
CREATE TABLE credential (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    revoked_at TEXT,
    PRIMARY KEY (name, kind, sha256)
);
