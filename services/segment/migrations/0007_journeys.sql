-- Journeys: their versions, people in them and the steps they took; and moves between stages.

-- depends: 0006_outside

CREATE TABLE journeys (
    journey_id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'archived')),
    journey bytea NOT NULL
);
COMMENT ON COLUMN journeys.journey IS 'journeys.model.JourneyRecord as JSON';

CREATE TABLE journey_versions (
    journey_id text NOT NULL,
    version int NOT NULL,
    journey bytea NOT NULL,
    PRIMARY KEY (journey_id, version)
);
COMMENT ON COLUMN journey_versions.journey IS 'journeys.model.JourneyRecord as JSON, as it became this version';

-- Where people are, for people to look at; what decides is in their contact_states.
CREATE TABLE journey_instances (
    contact_id uuid NOT NULL,
    instance_id text NOT NULL,
    journey_id text NOT NULL,
    version int NOT NULL,
    key text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'completed', 'goal_reached', 'exited', 'failed')),
    reason text NOT NULL,
    step_id text NOT NULL,
    step_time bigint NOT NULL,
    due_time bigint,
    visits int NOT NULL,
    origin_id uuid NOT NULL,
    cause_id text NOT NULL,
    parameters bytea NOT NULL,
    start_time bigint NOT NULL,
    end_time bigint,
    PRIMARY KEY (contact_id, instance_id)
) WITH (fillfactor = 80);
CREATE INDEX journey_instances_by_id ON journey_instances (instance_id);
CREATE INDEX journey_instances_by_journey
    ON journey_instances (journey_id, start_time DESC, instance_id DESC);
CREATE INDEX journey_instances_live
    ON journey_instances (journey_id, version, step_id) WHERE end_time IS NULL;
COMMENT ON COLUMN journey_instances.origin_id IS 'The contact it was started for, which may have become part of another';
COMMENT ON COLUMN journey_instances.parameters IS 'A JSON object';

-- Steps that are over; the one somebody is in is in journey_instances.
CREATE TABLE journey_visits (
    contact_id uuid NOT NULL,
    instance_id text NOT NULL,
    number int NOT NULL,
    step_id text NOT NULL,
    version int NOT NULL,
    start_time bigint NOT NULL,
    end_time bigint NOT NULL,
    outcome text NOT NULL,
    PRIMARY KEY (contact_id, instance_id, number)
);

-- How often a step was left in which way. Nobody can be known by it.
CREATE TABLE journey_ways (
    journey_id text NOT NULL,
    version int NOT NULL,
    step_id text NOT NULL,
    outcome text NOT NULL,
    passages bigint NOT NULL,
    PRIMARY KEY (journey_id, version, step_id, outcome)
) WITH (fillfactor = 50);

-- Who stands in which stage, and how many moved in which quarter of an hour.
CREATE TABLE contact_stages (
    contact_id uuid PRIMARY KEY,
    stage text NOT NULL
);
CREATE INDEX contact_stages_by_stage ON contact_stages (stage);

CREATE TABLE stage_moves (
    bucket_time bigint NOT NULL,
    previous_stage text NOT NULL,
    stage text NOT NULL,
    moves bigint NOT NULL,
    PRIMARY KEY (bucket_time, previous_stage, stage)
) WITH (fillfactor = 50);
COMMENT ON COLUMN stage_moves.bucket_time IS 'ms since 1970 UTC, whole quarters of an hour';
