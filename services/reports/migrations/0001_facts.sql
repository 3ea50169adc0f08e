-- Facts, merged from events in any order. Text compares by code point ("C"), as the code does.
-- depends:

CREATE TABLE message_facts (
    message_id text COLLATE "C" PRIMARY KEY,
    contact_id text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    occurrence_id text COLLATE "C" NOT NULL,
    template text COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    market text COLLATE "C" NOT NULL,
    category_time timestamptz,
    category text COLLATE "C",
    planned_time timestamptz,
    suppressed_time timestamptz,
    gate text COLLATE "C",
    held_out_time timestamptz,
    sent_time timestamptz,
    delivered_time timestamptz,
    read_time timestamptz,
    clicked_time timestamptz,
    replied_time timestamptz,
    failed_time timestamptz,
    fail_code integer,
    unknown_time timestamptz,
    cost_rank integer,
    cost_micros bigint,
    currency text COLLATE "C",
    -- Delivered by status, or implied
    reached_time timestamptz GENERATED ALWAYS AS
        (least(delivered_time, read_time, clicked_time, replied_time)) STORED,
    -- When it counts: when it was sent, or planned if it never was
    counted_time timestamptz GENERATED ALWAYS AS (coalesce(
        least(sent_time, delivered_time, read_time, clicked_time, replied_time),
        planned_time,
        least(suppressed_time, held_out_time, failed_time, unknown_time)
    )) STORED
) WITH (fillfactor = 70);
CREATE INDEX message_facts_by_campaign ON message_facts (campaign_id);
CREATE INDEX message_facts_by_contact ON message_facts (contact_id, reached_time);
CREATE INDEX message_facts_by_time ON message_facts (counted_time);

CREATE TABLE campaign_facts (
    campaign_id text COLLATE "C" PRIMARY KEY,
    change_time timestamptz,
    state_rank integer,
    state text COLLATE "C",
    name text COLLATE "C",
    recipients bigint,
    launch_time timestamptz
);

CREATE TABLE order_facts (
    contact_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    order_time timestamptz,
    value_time timestamptz,
    value_micros bigint,
    currency text COLLATE "C",
    cancel_time timestamptz,
    PRIMARY KEY (contact_id, order_id)
);

CREATE TABLE withdrawals (
    contact_id text COLLATE "C" NOT NULL,
    withdraw_time timestamptz NOT NULL,
    PRIMARY KEY (contact_id, withdraw_time)
);

CREATE TABLE segment_facts (
    contact_id text COLLATE "C" NOT NULL,
    segment_id text COLLATE "C" NOT NULL,
    change_time timestamptz NOT NULL,
    version integer NOT NULL,
    member boolean NOT NULL,
    PRIMARY KEY (contact_id, segment_id)
);
CREATE INDEX segment_facts_members ON segment_facts (segment_id) WHERE member;

CREATE TABLE segment_moves (
    segment_id text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    entered boolean NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (segment_id, hour, entered)
);

CREATE TABLE activity (
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (kind, name, minute)
) WITH (fillfactor = 70);
CREATE INDEX activity_by_minute ON activity (minute);
