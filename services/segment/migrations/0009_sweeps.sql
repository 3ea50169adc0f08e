-- What the end of a trigger, or a change of a journey, makes of those who were there before; and
-- indexes by which only what may act is looked at.

-- depends: 0008_declared
-- contract: of the first release, so no version before it runs beside it

CREATE TABLE sweeps (
    owner_id text NOT NULL,
    generation bigint NOT NULL,
    work text NOT NULL CHECK (work IN ('cancel', 'people')),
    edit_time bigint NOT NULL,
    oldest_version int NOT NULL,
    step_ids text[] NOT NULL,
    at_version int NOT NULL DEFAULT 0,
    at_step text NOT NULL DEFAULT '',
    at_contact uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    lease_time timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (owner_id, generation, work)
);
COMMENT ON COLUMN sweeps.owner_id IS 'the trigger or the journey';
COMMENT ON COLUMN sweeps.generation IS 'of the definitions that the change made';
COMMENT ON COLUMN sweeps.edit_time IS 'ms since 1970 UTC';
COMMENT ON COLUMN sweeps.at_version IS 'of people: done up to this place in journey_instances_live';

DROP INDEX journey_instances_live;
CREATE INDEX journey_instances_live
    ON journey_instances (journey_id, version, step_id, contact_id) WHERE end_time IS NULL;

-- Which versions something waits of; with the due time before the version that would be a walk
-- through all that waits.
CREATE INDEX occurrences_versions ON occurrences (trigger_id, trigger_version)
    WHERE state = 'waiting';
DROP INDEX occurrences_due;
CREATE INDEX occurrences_due ON occurrences (trigger_id, due_time) WHERE state = 'waiting';

DROP INDEX deeds_due;
DROP INDEX deeds_by_owner;
CREATE INDEX deeds_due ON deeds (owner_id, next_time);
CREATE INDEX deeds_by_id ON deeds (deed_id);

-- Who became part of another while a fanout ran: what was begun before that is done again.
ALTER TABLE fanouts ADD COLUMN restarts int NOT NULL DEFAULT 0;
