-- What Meta says of a template beside its state, what it was created with, and what was asked of it.

-- depends: 0006_numbers
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE templates
    ADD COLUMN quality text NOT NULL DEFAULT '',
    ADD COLUMN ttl_s bigint NOT NULL DEFAULT 0, -- 0: Meta's default
    ADD COLUMN sub_category text NOT NULL DEFAULT '',
    ADD COLUMN link_tracking_disabled boolean NOT NULL DEFAULT false,
    ADD COLUMN library_name text NOT NULL DEFAULT '',
    ADD COLUMN opt_outs text[] NOT NULL DEFAULT '{}',
    ADD COLUMN sync_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN quality_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    -- Since when each of the facts that webhooks tell holds: what is older changes nothing.
    ADD COLUMN category_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN announcement_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN components_time bigint NOT NULL DEFAULT 0,
    -- When it was edited while approved, in the last 30 days: Meta counts.
    ADD COLUMN edit_times bigint[] NOT NULL DEFAULT '{}',
    DROP COLUMN request_id;

-- Templates that Meta was asked for. A request without an answer may have reached Meta: it is looked
-- up there before anything is submitted again.
CREATE TABLE template_requests (
    request_id text PRIMARY KEY,
    create_time bigint NOT NULL
);
CREATE INDEX template_requests_by_time ON template_requests (create_time);

-- When an account's templates are to be read from Meta again, and who is at it until then.
CREATE TABLE template_syncs (
    waba_id text PRIMARY KEY,
    ask_time bigint NOT NULL
);
