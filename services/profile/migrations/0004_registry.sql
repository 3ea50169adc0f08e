-- What can be known of people, where they stand because of it, and the runs that compute it anew.

-- depends: 0001_contacts

-- `generation` grows with every change of what is registered: whoever decides by it compares it in
-- the same transaction. `medium` and `high` are the scores from which levels of engagement begin.
CREATE TABLE registry (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation bigint NOT NULL DEFAULT 1,
    medium integer,
    high integer,
    borders_time bigint NOT NULL DEFAULT 0
);
INSERT INTO registry DEFAULT VALUES;

-- `registration` is null of attributes that nobody registered; then `seen` is their type.
CREATE TABLE attribute_types (
    name text PRIMARY KEY,
    seen smallint,
    registration bytea
);

CREATE TABLE event_types (
    name text PRIMARY KEY,
    last_time bigint NOT NULL DEFAULT 0,
    registration bytea
);

CREATE TABLE stage_rules (
    version integer PRIMARY KEY,
    update_time bigint NOT NULL,
    rules bytea NOT NULL
);

-- One row of each person, under the id that the person has now.
CREATE TABLE standings (
    contact_id uuid PRIMARY KEY,
    stage text NOT NULL,
    enter_time bigint NOT NULL,
    previous_stage text NOT NULL,
    score integer,
    level text NOT NULL,
    due_time bigint,
    version integer NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX standings_due ON standings (due_time) WHERE due_time IS NOT NULL;

CREATE TABLE recomputes (
    recompute_id text PRIMARY KEY,
    state smallint NOT NULL,
    names text[] NOT NULL,
    failure text NOT NULL DEFAULT '',
    create_time bigint NOT NULL,
    end_time bigint
);

-- A part of a run: contacts above `after`, up to and with `until`. Whoever works
-- on it holds the row; so a part is done once, and a crash takes back no more than a batch.
CREATE TABLE recompute_parts (
    recompute_id text NOT NULL,
    part integer NOT NULL,
    after uuid NOT NULL,
    until uuid NOT NULL,
    size integer NOT NULL,
    passed integer NOT NULL DEFAULT 0,
    changed integer NOT NULL DEFAULT 0,
    done boolean NOT NULL DEFAULT false,
    update_time bigint NOT NULL,
    PRIMARY KEY (recompute_id, part)
);
