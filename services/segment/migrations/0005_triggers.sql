-- What triggers were, what is to be done because of them, and how occurrences ended.

-- depends: 0004_places
-- contract: of the first release, so no version before it runs beside it

-- A trigger names its cause and its action, of which there are several kinds now.
UPDATE triggers SET trigger = convert_to(jsonb_set(
    convert_from(trigger, 'UTF8')::jsonb,
    '{definition}',
    (convert_from(trigger, 'UTF8')::jsonb -> 'definition')
        - '{event_name,segment_id,leaving,campaign_id,parameters}'::text[]
        || jsonb_build_object(
            'cause', CASE convert_from(trigger, 'UTF8')::jsonb #>> '{definition,event_name}'
                WHEN '' THEN jsonb_build_object(
                    'type', 'segment',
                    'segment_id', convert_from(trigger, 'UTF8')::jsonb #> '{definition,segment_id}',
                    'leaving', convert_from(trigger, 'UTF8')::jsonb #> '{definition,leaving}')
                ELSE jsonb_build_object(
                    'type', 'event',
                    'name', convert_from(trigger, 'UTF8')::jsonb #> '{definition,event_name}')
                END,
            'action', jsonb_build_object(
                'type', 'send',
                'campaign_id', convert_from(trigger, 'UTF8')::jsonb #> '{definition,campaign_id}',
                'parameters', convert_from(trigger, 'UTF8')::jsonb #> '{definition,parameters}'))
    )::text, 'UTF8');

CREATE TABLE trigger_versions (
    trigger_id text NOT NULL,
    version int NOT NULL,
    trigger bytea NOT NULL,
    PRIMARY KEY (trigger_id, version)
);
COMMENT ON COLUMN trigger_versions.trigger IS 'model.TriggerRecord as JSON';
INSERT INTO trigger_versions (trigger_id, version, trigger)
    SELECT trigger_id, 1, trigger FROM triggers;

-- What became of it since it was written stands in columns.
ALTER TABLE occurrences
    ADD COLUMN trigger_version int NOT NULL DEFAULT 1,
    ADD COLUMN end_time bigint,
    ADD COLUMN reason text,
    ADD COLUMN attempt_count int NOT NULL DEFAULT 0;
DROP INDEX occurrences_due;
CREATE INDEX occurrences_due ON occurrences (trigger_id, due_time, trigger_version)
    WHERE state = 'waiting';
COMMENT ON COLUMN occurrences.end_time IS 'ms since 1970 UTC; unset: as in occurrence, as reason';

-- What is to be done outside because of an occurrence or a step.
CREATE TABLE deeds (
    deed_id text NOT NULL,
    contact_id uuid NOT NULL,
    origin text NOT NULL CHECK (origin IN ('occurrence', 'step')),
    owner_id text NOT NULL,
    next_time bigint NOT NULL,
    attempt_count int NOT NULL DEFAULT 0,
    deed bytea NOT NULL,
    PRIMARY KEY (contact_id, deed_id)
);
CREATE INDEX deeds_due ON deeds (next_time);
CREATE INDEX deeds_by_owner ON deeds (owner_id);
COMMENT ON COLUMN deeds.owner_id IS 'the trigger or the journey';
COMMENT ON COLUMN deeds.next_time IS 'ms since 1970 UTC: the next attempt, or the end of a lease';
COMMENT ON COLUMN deeds.deed IS 'actions.Deed as MessagePack';
