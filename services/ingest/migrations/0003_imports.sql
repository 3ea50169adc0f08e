-- Files on their way in, and the rows of theirs that were refused.

-- depends: 0002_write_keys

CREATE TABLE imports (
    import_id text PRIMARY KEY,
    -- A hash of the file and of how it is read: the same file, read in the same way.
    fingerprint uuid NOT NULL,
    name text NOT NULL,
    format text NOT NULL CHECK (format IN ('csv', 'ndjson')),
    sha256 text NOT NULL,
    size_bytes bigint NOT NULL,
    spec jsonb NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'cancelled')),
    offset_bytes bigint NOT NULL DEFAULT 0,
    line bigint NOT NULL DEFAULT 1,
    -- As it stands in the file, which need not be text.
    heading bytea NOT NULL DEFAULT '',
    accepted_count bigint NOT NULL DEFAULT 0,
    rejected_count bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    end_time timestamptz
);
-- One unfinished import of a file and a way to read it.
CREATE UNIQUE INDEX imports_running ON imports (fingerprint) WHERE state = 'running';
CREATE INDEX imports_update_time ON imports (update_time);

CREATE TABLE import_rejects (
    import_id text NOT NULL REFERENCES imports ON DELETE CASCADE,
    line bigint NOT NULL,
    offset_bytes bigint NOT NULL,
    raw bytea NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    facts jsonb NOT NULL,
    PRIMARY KEY (import_id, line)
);
