-- Erasures with their receipts, for good, and who was erased, for a year. Nothing in them is
-- personal. Messages of who was erased stand under no contact.

-- depends: 0002_people
-- contract: of the first release, so no version before it runs beside it

CREATE TABLE erasures (
    request_id text PRIMARY KEY,
    contact_id text NOT NULL,
    -- Dataset → how many records were erased so far.
    records jsonb NOT NULL DEFAULT '{}',
    receipt bytea,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tombstones (
    contact_id text PRIMARY KEY,
    erase_time timestamptz NOT NULL
);
CREATE INDEX tombstones_by_time ON tombstones (erase_time);

CREATE INDEX people_by_person ON people (person_id);
