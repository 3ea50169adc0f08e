-- Definitions, what is kept of each contact, and what waits for its time.

-- depends: 0000_chassis

-- Counts the states of all definitions. Whoever applies rules shares its lock until the end of the
-- transaction; whoever changes a definition takes it alone: so nothing is ever decided by rules
-- that are no longer in force.
CREATE TABLE generation (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    number bigint NOT NULL
);
INSERT INTO generation (number) VALUES (1);

CREATE TABLE segments (
    segment_id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    display_name text NOT NULL,
    description text NOT NULL,
    definition_name text NOT NULL,
    expression text NOT NULL,
    version int NOT NULL,
    live_expression text NOT NULL,
    live_version int NOT NULL,
    ready_version int NOT NULL,
    live_since bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('backfilling', 'active', 'archived')),
    edit int NOT NULL,
    backfill_id text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    archive_time timestamptz
);

CREATE TABLE segment_versions (
    segment_id text NOT NULL,
    version int NOT NULL,
    expression text NOT NULL,
    PRIMARY KEY (segment_id, version)
);

CREATE TABLE triggers (
    trigger_id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'archived')),
    trigger bytea NOT NULL
);
COMMENT ON COLUMN triggers.trigger IS 'model.TriggerRecord as JSON';

CREATE TABLE backfills (
    backfill_id text PRIMARY KEY,
    segment_id text NOT NULL,
    segment_version int NOT NULL,
    names text[] NOT NULL,
    start_time timestamptz,
    state text NOT NULL CHECK (state IN ('running', 'completed', 'superseded', 'failed')),
    phase text NOT NULL CHECK (phase IN ('history', 'members')),
    cursor text NOT NULL,
    passed_count bigint NOT NULL,
    total_count bigint NOT NULL,
    member_count bigint NOT NULL,
    failure text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    end_time timestamptz,
    lease_time timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX backfills_running ON backfills (create_time) WHERE state = 'running';

CREATE TABLE contact_states (
    contact_id uuid PRIMARY KEY,
    next_time bigint,
    generation bigint NOT NULL DEFAULT 0,
    state bytea NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX contact_states_due ON contact_states (next_time) WHERE next_time IS NOT NULL;
COMMENT ON COLUMN contact_states.next_time IS 'ms since 1970 UTC: when time alone changes something';
COMMENT ON COLUMN contact_states.state IS 'state.ContactState; empty: nothing is known yet';

CREATE TABLE memberships (
    contact_id uuid NOT NULL,
    segment_id text NOT NULL,
    version int NOT NULL,
    enter_time bigint NOT NULL,
    PRIMARY KEY (contact_id, segment_id)
);
CREATE INDEX memberships_by_segment ON memberships (segment_id, contact_id);
COMMENT ON COLUMN memberships.enter_time IS 'ms since 1970 UTC';

CREATE TABLE occurrences (
    contact_id uuid NOT NULL,
    occurrence_id text NOT NULL,
    trigger_id text NOT NULL,
    state text NOT NULL,
    cause_time bigint NOT NULL,
    due_time bigint NOT NULL,
    occurrence bytea NOT NULL,
    PRIMARY KEY (contact_id, occurrence_id)
);
CREATE INDEX occurrences_due ON occurrences (due_time) WHERE state = 'waiting';
CREATE INDEX occurrences_by_id ON occurrences (occurrence_id);
CREATE INDEX occurrences_by_trigger ON occurrences (trigger_id, cause_time DESC, occurrence_id);
COMMENT ON COLUMN occurrences.occurrence IS 'model.Occurrence as MessagePack; times in ms';
