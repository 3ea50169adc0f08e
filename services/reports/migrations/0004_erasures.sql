-- Erasures with their receipts, for good, and who was erased, for a year. Nothing in them is
-- personal. Facts of who was erased stand under names that nobody can tell.
-- depends: 0003_people

CREATE TABLE erasures (
    request_id text COLLATE "C" PRIMARY KEY,
    contact_id text COLLATE "C" NOT NULL,
    -- Dataset → how many records were erased so far.
    records jsonb NOT NULL DEFAULT '{}',
    receipt bytea,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tombstones (
    contact_id text COLLATE "C" PRIMARY KEY,
    erase_time timestamptz NOT NULL
);
CREATE INDEX tombstones_by_time ON tombstones (erase_time);
