-- The archive by segments: one row for the webhooks of one batch. Columns say what is in any of them,
-- `heads` what is in each.

-- depends: 0003_imports
-- contract: of the first release, so no version before it runs beside it

DROP TABLE webhooks;

CREATE TABLE segments (
    -- Follows from the webhooks inside: a batch written twice is one segment.
    segment_id uuid PRIMARY KEY,
    first_webhook_id text COLLATE "C" NOT NULL,
    last_webhook_id text COLLATE "C" NOT NULL,
    first_receive_time timestamptz NOT NULL,
    last_receive_time timestamptz NOT NULL,
    webhook_count int NOT NULL,
    fields text[] NOT NULL,
    waba_ids text[] NOT NULL,
    phone_number_ids text[] NOT NULL,
    apps text[] NOT NULL,
    states text[] NOT NULL,
    -- 64 bits of a keyed hash of each identity inside.
    blind_indexes bigint[] NOT NULL,
    heads bytea NOT NULL,
    bodies bytea NOT NULL
);
-- Both are compressed already.
ALTER TABLE segments ALTER COLUMN heads SET STORAGE EXTERNAL;
ALTER TABLE segments ALTER COLUMN bodies SET STORAGE EXTERNAL;
-- Ids begin with the moment of receipt: a period lies between two of them. From either end, since
-- segments overlap.
CREATE INDEX segments_by_first ON segments (first_webhook_id, last_webhook_id, segment_id);
CREATE INDEX segments_by_last ON segments (last_webhook_id, first_webhook_id, segment_id);
CREATE INDEX segments_blind_indexes ON segments USING gin (blind_indexes);
