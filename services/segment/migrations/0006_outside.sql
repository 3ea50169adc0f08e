-- What comes from outside: where contacts are, the weather there, and who looked at which item.

-- depends: 0005_triggers

-- Only while a rule looks at weather.
CREATE TABLE whereabouts (
    contact_id uuid PRIMARY KEY,
    cell text NOT NULL,
    located_time bigint NOT NULL,
    told boolean NOT NULL DEFAULT false
);
CREATE INDEX whereabouts_by_cell ON whereabouts (cell, contact_id);
CREATE INDEX whereabouts_by_time ON whereabouts (located_time);
CREATE INDEX whereabouts_untold ON whereabouts (contact_id) WHERE NOT told;
COMMENT ON COLUMN whereabouts.cell IS 'cells.cell_of where the contact was last';
COMMENT ON COLUMN whereabouts.located_time IS 'ms since 1970 UTC';
COMMENT ON COLUMN whereabouts.told IS 'Whether the contact has the weather of the cell, or is about to get it by a fanout';

CREATE TABLE weather_cells (
    cell text PRIMARY KEY,
    weather bytea NOT NULL DEFAULT '',
    fetch_time bigint NOT NULL DEFAULT 0,
    lease_time timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON COLUMN weather_cells.weather IS 'Field → number as MessagePack; empty: not fetched yet';
COMMENT ON COLUMN weather_cells.fetch_time IS 'ms since 1970 UTC';

-- Only of events that a catalogue trigger names.
CREATE TABLE looks (
    item_id text NOT NULL,
    contact_id uuid NOT NULL,
    name text NOT NULL,
    first_time bigint NOT NULL,
    look_time bigint NOT NULL,
    PRIMARY KEY (item_id, contact_id, name)
);
CREATE INDEX looks_by_contact ON looks (contact_id);
CREATE INDEX looks_by_time ON looks USING brin (look_time);
COMMENT ON COLUMN looks.item_id IS 'As events name it: the product id or the SKU';
COMMENT ON COLUMN looks.name IS 'The event';
COMMENT ON COLUMN looks.look_time IS 'The last time, ms since 1970 UTC';

-- What concerns many at once, and how far it has come.
CREATE TABLE fanouts (
    fanout_id text PRIMARY KEY,
    subject text NOT NULL,
    fanout bytea NOT NULL,
    cursor uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    create_time timestamptz NOT NULL,
    lease_time timestamptz NOT NULL DEFAULT '-infinity',
    end_time timestamptz
);
CREATE INDEX fanouts_running ON fanouts (create_time) WHERE end_time IS NULL;
CREATE INDEX fanouts_ended ON fanouts (end_time) WHERE end_time IS NOT NULL;
COMMENT ON COLUMN fanouts.subject IS 'the item or the cell';
COMMENT ON COLUMN fanouts.fanout IS 'fanout.Fanout as MessagePack';
