-- Exports: what was asked, how far each is, its file in pieces; and schedules.
-- depends: 0006_experiments

CREATE TABLE exports (
    export_id text COLLATE "C" PRIMARY KEY,
    schedule_id text COLLATE "C" NOT NULL,
    spec bytea NOT NULL,
    state text COLLATE "C" NOT NULL,
    -- What went wrong and what to do, for people
    failure text NOT NULL DEFAULT '',
    filename text NOT NULL,
    -- Whether it says who people are: then nobody may be able to fetch it once one was erased
    unmasked boolean NOT NULL,
    create_time timestamptz NOT NULL,
    -- Until when everything is in it that was accepted
    fold_time timestamptz NOT NULL,
    -- Who makes it has until then to say that it is still at it; then it is begun again
    lease_time timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    written_rows bigint NOT NULL DEFAULT 0,
    total_rows bigint NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0,
    sha256 text NOT NULL DEFAULT '',
    complete_time timestamptz,
    expire_time timestamptz,
    -- When it is to be delivered next; nothing once it was, or where it goes nowhere
    due_time timestamptz,
    deliveries integer NOT NULL DEFAULT 0
);
CREATE INDEX exports_by_create ON exports (create_time, export_id);
CREATE INDEX exports_open ON exports (create_time) WHERE state IN ('waiting', 'running');
CREATE INDEX exports_due ON exports (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX exports_by_end ON exports (expire_time) WHERE state = 'completed';

-- A file in pieces, each of which begins where the one before ended.
CREATE TABLE export_pieces (
    export_id text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (export_id, attempt, start)
);
-- Files are small already, or are read once
ALTER TABLE export_pieces ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE export_schedules (
    schedule_id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    -- All of it, as the contract writes it
    schedule bytea NOT NULL,
    -- Nothing while it is disabled
    next_run_time timestamptz,
    last_export_id text NOT NULL DEFAULT '',
    last_failure text NOT NULL DEFAULT ''
);
CREATE INDEX export_schedules_by_name ON export_schedules (name, schedule_id);
CREATE INDEX export_schedules_due ON export_schedules (next_run_time);
