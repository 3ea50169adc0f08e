-- Places, things and names of the business, and who was a member when.

-- depends: 0003_erasures

CREATE TABLE places (
    place_id text PRIMARY KEY,
    present boolean NOT NULL DEFAULT false,
    labels text[] NOT NULL DEFAULT '{}',
    place bytea NOT NULL DEFAULT ''
);
COMMENT ON COLUMN places.place IS 'things.PlaceRecord as MessagePack; empty: nothing is known yet';

CREATE TABLE catalog_items (
    catalog_id text NOT NULL,
    item_id text NOT NULL,
    present boolean NOT NULL DEFAULT false,
    category text NOT NULL DEFAULT '',
    item bytea NOT NULL DEFAULT '',
    PRIMARY KEY (catalog_id, item_id)
);
CREATE INDEX catalog_items_by_category ON catalog_items (catalog_id, category, item_id);
COMMENT ON COLUMN catalog_items.item IS 'things.ItemRecord as MessagePack; empty: nothing is known yet';

-- Attributes and events that the business declared to profile.
CREATE TABLE declared_names (
    kind text NOT NULL CHECK (kind IN ('attribute', 'event')),
    name text NOT NULL,
    spec text NOT NULL,
    PRIMARY KEY (kind, name)
);
COMMENT ON COLUMN declared_names.spec IS 'expressions.schema.Spec as JSON';

-- Memberships that ended; those that last are in memberships.
CREATE TABLE stays (
    contact_id uuid NOT NULL,
    segment_id text NOT NULL,
    enter_time bigint NOT NULL,
    leave_time bigint NOT NULL,
    PRIMARY KEY (contact_id, segment_id, enter_time)
);
CREATE INDEX stays_by_segment ON stays (segment_id, contact_id);
CREATE INDEX stays_by_time ON stays USING brin (leave_time);
COMMENT ON COLUMN stays.leave_time IS 'ms since 1970 UTC; no longer a member from then on';
