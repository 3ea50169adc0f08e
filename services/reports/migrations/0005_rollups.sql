-- Facts of messages in a few columns and a document, and sums of them by quarter of an hour and
-- whatever messages are counted by. A message's own part of the sums is taken out and put in again
-- whenever the message changes, in the same transaction: what comes late corrects the time it
-- belongs to.
-- depends: 0004_erasures
-- contract: of the first release, so no version before it runs beside it

DROP TABLE message_facts;
CREATE TABLE message_facts (
    message_id text COLLATE "C" PRIMARY KEY,
    contact_id text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    occurrence_id text COLLATE "C" NOT NULL,
    -- When it counts: when it was sent, or planned if it never was
    counted_time timestamptz,
    -- Delivered by status, or implied
    reached_time timestamptz,
    -- From delivery to the person's answer
    response_ms bigint,
    -- How far it came, a bit for each thing
    progress integer NOT NULL,
    -- What it is counted by
    cube_id bigint NOT NULL,
    -- All that is known of it (MessagePack)
    fact bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX message_facts_by_campaign ON message_facts (campaign_id);
-- For whoever is found out late to have been somebody else when a message went
CREATE INDEX message_facts_by_contact ON message_facts (contact_id, counted_time);
CREATE INDEX message_facts_by_time ON message_facts (counted_time);
-- One contact in 64, from whom people are counted where there are too many to count each
CREATE INDEX message_facts_sample ON message_facts (counted_time)
    INCLUDE (contact_id, progress, cube_id) WHERE hashtext(contact_id) & 63 = 0;
CREATE INDEX message_facts_campaign_sample ON message_facts (campaign_id)
    INCLUDE (counted_time, contact_id, progress, cube_id) WHERE hashtext(contact_id) & 63 = 0;

-- What was said of a contact, and when: stage, zone, device, and each segment (`segment:<id>`, '1'
-- or ''). What held at a moment is the latest before it.
CREATE TABLE contact_history (
    contact_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    change_time timestamptz NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (contact_id, name, change_time)
);

-- What started messages: a trigger, or the step of a journey.
CREATE TABLE occurrences (
    occurrence_id text COLLATE "C" PRIMARY KEY,
    contact_id text COLLATE "C" NOT NULL,
    start_time timestamptz NOT NULL,
    trigger_id text COLLATE "C" NOT NULL,
    journey_id text COLLATE "C" NOT NULL,
    journey_step text COLLATE "C" NOT NULL
);
CREATE INDEX occurrences_by_contact ON occurrences (contact_id);

-- Contacts of whom something was said that may concern messages since then. They are looked at when
-- every transaction is over that may have written such a message without seeing it.
CREATE TABLE revisions (
    revision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id text COLLATE "C" NOT NULL,
    since_time timestamptz NOT NULL,
    -- Whatever ran when it was first seen has a smaller number
    horizon xid8
);

-- Combinations of what messages are counted by; the id follows from them. With a segment set there
-- is only the campaign besides: a message counts in each segment of its contact.
CREATE TABLE cubes (
    cube_id bigint PRIMARY KEY,
    segment_id text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    trigger_id text COLLATE "C" NOT NULL,
    journey_id text COLLATE "C" NOT NULL,
    journey_step text COLLATE "C" NOT NULL,
    template text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    market text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    stage text COLLATE "C" NOT NULL,
    zone text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    gate text COLLATE "C" NOT NULL,
    error_code text COLLATE "C" NOT NULL,
    pricing_type text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL
);
CREATE INDEX cubes_by_campaign ON cubes (campaign_id);

-- By quarter of an hour, which every zone's hours and days are made of.
CREATE TABLE rollups (
    bucket timestamptz NOT NULL,
    cube_id bigint NOT NULL,
    planned integer NOT NULL,
    sent integer NOT NULL,
    delivered integer NOT NULL,
    read integer NOT NULL,
    replied integer NOT NULL,
    clicked integer NOT NULL,
    opted_out integer NOT NULL,
    blocked integer NOT NULL,
    failed integer NOT NULL,
    withheld integer NOT NULL,
    suppressed integer NOT NULL,
    held_out integer NOT NULL,
    unknown integer NOT NULL,
    pending integer NOT NULL,
    decided integer NOT NULL,
    billable integer NOT NULL,
    unpriced integer NOT NULL,
    cost_micros bigint NOT NULL,
    converted integer NOT NULL,
    conversions integer NOT NULL,
    revenue_micros bigint NOT NULL,
    touched integer NOT NULL,
    touches integer NOT NULL,
    touched_revenue_micros bigint NOT NULL,
    PRIMARY KEY (bucket, cube_id)
) WITH (fillfactor = 70);
CREATE INDEX rollups_by_cube ON rollups (cube_id, bucket);

-- The same by day of the installation's zone, for long periods.
CREATE TABLE rollup_days (LIKE rollups INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE rollup_zone (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    zone text NOT NULL
);
INSERT INTO rollup_zone (zone) VALUES ('UTC');

-- Sums of a period: days where a question is about the zone in which days are kept, quarters of an
-- hour before the first whole day and after the last, and throughout where it is about another zone.
CREATE FUNCTION rollups_between(
    start_time timestamptz,
    first_day timestamptz,
    last_day timestamptz,
    end_time timestamptz,
    asked_zone text
) RETURNS SETOF rollups LANGUAGE sql STABLE AS $$
    SELECT d.* FROM rollup_days d
    WHERE (SELECT zone FROM rollup_zone) = asked_zone
        AND d.bucket >= first_day AND d.bucket < last_day
    UNION ALL
    SELECT r.* FROM rollups r
    WHERE (SELECT zone FROM rollup_zone) <> asked_zone
        AND r.bucket >= first_day AND r.bucket < last_day
    UNION ALL
    SELECT r.* FROM rollups r WHERE r.bucket >= start_time AND r.bucket < first_day
    UNION ALL
    SELECT r.* FROM rollups r WHERE r.bucket >= last_day AND r.bucket < end_time
$$;

-- The same for segments, by quarter of an hour.
CREATE TABLE segment_rollups (LIKE rollups INCLUDING ALL) WITH (fillfactor = 70);

-- Answers of which there is more than a page, so that all pages show the same.
CREATE TABLE answers (
    answer_id text PRIMARY KEY,
    create_time timestamptz NOT NULL,
    rows bytea NOT NULL
);
CREATE INDEX answers_by_time ON answers (create_time);
