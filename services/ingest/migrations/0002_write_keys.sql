-- Keys of the business's own sources. Of a secret only its hash is kept.

-- depends: 0001_ingest

CREATE TABLE write_keys (
    write_key_id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    -- Whose events these are. Keys may share one, so that one can take another's place.
    source text NOT NULL,
    secret_hash bytea NOT NULL UNIQUE,
    secret_prefix text NOT NULL,
    max_events_per_second int NOT NULL,
    version int NOT NULL DEFAULT 1,
    create_time timestamptz NOT NULL,
    revoke_time timestamptz,
    -- To the hour; not a change, so it leaves the version as it is.
    last_use_time timestamptz
);
