-- Erasures and their receipts, for good: nothing in them is personal.

-- depends: 0004_segments

CREATE TABLE erasures (
    request_id text PRIMARY KEY,
    contact_id text NOT NULL,
    -- Dataset → how many records were erased so far.
    records jsonb NOT NULL DEFAULT '{}',
    receipt bytea,
    create_time timestamptz NOT NULL DEFAULT now()
);
