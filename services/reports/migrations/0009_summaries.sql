-- Sums that answers read in milliseconds: of all messages, of what was planned of them, and of
-- people's consent and coming; and samples that are read from their index alone.
-- depends: 0008_answers
-- contract: of the first release. Replicas of a build before it add nothing to these sums, so they
-- are stopped first; so docs/operate/upgrade.md tells.

-- Sums of the sums. `cut` 0: all messages together; 1: by what is planned of a message, but for its
-- variant and language; 2: by segment, in each of which a message counts. By quarter of an hour here,
-- by day of the installation's zone below.
CREATE TABLE summaries (
    cut smallint NOT NULL,
    bucket timestamptz NOT NULL,
    segment_id text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    template text COLLATE "C" NOT NULL,
    market text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
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
    PRIMARY KEY (
        cut, bucket, segment_id, campaign_id, template, market, phone_number_id, category, currency
    )
) WITH (fillfactor = 70);
CREATE INDEX summaries_by_campaign ON summaries (campaign_id, bucket) WHERE cut = 1;
CREATE TABLE summary_days (LIKE summaries INCLUDING ALL) WITH (fillfactor = 70);

-- As `rollups_between`, of one cut.
CREATE FUNCTION summaries_between(
    wanted smallint,
    start_time timestamptz,
    first_day timestamptz,
    last_day timestamptz,
    end_time timestamptz,
    asked_zone text
) RETURNS SETOF summaries LANGUAGE sql STABLE AS $$
    SELECT d.* FROM summary_days d
    WHERE d.cut = wanted AND (SELECT zone FROM rollup_zone) = asked_zone
        AND d.bucket >= first_day AND d.bucket < last_day
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND (SELECT zone FROM rollup_zone) <> asked_zone
        AND s.bucket >= first_day AND s.bucket < last_day
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND s.bucket >= start_time AND s.bucket < first_day
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND s.bucket >= last_day AND s.bucket < end_time
$$;

INSERT INTO summaries
SELECT cuts.cut, r.bucket, '',
    CASE cuts.cut WHEN 1 THEN c.campaign_id ELSE '' END,
    CASE cuts.cut WHEN 1 THEN c.template ELSE '' END,
    CASE cuts.cut WHEN 1 THEN c.market ELSE '' END,
    CASE cuts.cut WHEN 1 THEN c.phone_number_id ELSE '' END,
    CASE cuts.cut WHEN 1 THEN c.category ELSE '' END,
    c.currency,
    sum(r.planned), sum(r.sent), sum(r.delivered), sum(r.read), sum(r.replied), sum(r.clicked),
    sum(r.opted_out), sum(r.blocked), sum(r.failed), sum(r.withheld), sum(r.suppressed),
    sum(r.held_out), sum(r.unknown), sum(r.pending), sum(r.decided), sum(r.billable),
    sum(r.unpriced), sum(r.cost_micros), sum(r.converted), sum(r.conversions),
    sum(r.revenue_micros), sum(r.touched), sum(r.touches), sum(r.touched_revenue_micros)
FROM rollups r
JOIN cubes c USING (cube_id)
CROSS JOIN (VALUES (0::smallint), (1::smallint)) AS cuts (cut)
GROUP BY 1, 2, 4, 5, 6, 7, 8, 9;
INSERT INTO summaries
SELECT 2, r.bucket, c.segment_id, '', '', '', '', '', c.currency,
    sum(r.planned), sum(r.sent), sum(r.delivered), sum(r.read), sum(r.replied), sum(r.clicked),
    sum(r.opted_out), sum(r.blocked), sum(r.failed), sum(r.withheld), sum(r.suppressed),
    sum(r.held_out), sum(r.unknown), sum(r.pending), sum(r.decided), sum(r.billable),
    sum(r.unpriced), sum(r.cost_micros), sum(r.converted), sum(r.conversions),
    sum(r.revenue_micros), sum(r.touched), sum(r.touches), sum(r.touched_revenue_micros)
FROM segment_rollups r
JOIN cubes c USING (cube_id)
GROUP BY 2, 3, 9;
INSERT INTO summary_days
SELECT cut, date_trunc('day', bucket AT TIME ZONE zone) AT TIME ZONE zone, segment_id,
    campaign_id, template, market, phone_number_id, category, currency,
    sum(planned), sum(sent), sum(delivered), sum(read), sum(replied), sum(clicked), sum(opted_out),
    sum(blocked), sum(failed), sum(withheld), sum(suppressed), sum(held_out), sum(unknown),
    sum(pending), sum(decided), sum(billable), sum(unpriced), sum(cost_micros), sum(converted),
    sum(conversions), sum(revenue_micros), sum(touched), sum(touches), sum(touched_revenue_micros)
FROM summaries, rollup_zone
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

-- People are counted among the facts of a campaign and a period, whichever of them is the narrower.
DROP INDEX message_facts_by_campaign;
CREATE INDEX message_facts_by_campaign ON message_facts (campaign_id, counted_time);
-- Facts of one contact in 64, from whom people are counted where there are too many to count each. A
-- table of their own leaves no index of all facts with what a status changes: those are updated
-- without touching any index.
DROP INDEX message_facts_sample;
DROP INDEX message_facts_campaign_sample;
CREATE TABLE sampled_facts (
    message_id text COLLATE "C" PRIMARY KEY,
    contact_id text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    counted_time timestamptz,
    reached_time timestamptz,
    response_ms bigint,
    progress integer NOT NULL,
    cube_id bigint NOT NULL
) WITH (fillfactor = 70);
INSERT INTO sampled_facts
SELECT message_id, contact_id, campaign_id, counted_time, reached_time, response_ms, progress,
    cube_id
FROM message_facts
WHERE get_byte(sha256(convert_to(contact_id, 'UTF8')), 0) % 64 = 0;
CREATE INDEX sampled_facts_by_time ON sampled_facts (counted_time);
CREATE INDEX sampled_facts_answered ON sampled_facts (counted_time) WHERE response_ms IS NOT NULL;
CREATE INDEX sampled_facts_by_campaign ON sampled_facts (campaign_id, counted_time);

-- How many more there were of something in a quarter of an hour than before it: `contacts`, people
-- who agreed to marketing (`consented`), messages of people (`received`).
CREATE TABLE base_changes (
    name text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    added bigint NOT NULL,
    PRIMARY KEY (name, bucket)
) WITH (fillfactor = 70);
INSERT INTO base_changes
SELECT CASE name WHEN 'message_received' THEN 'received' ELSE 'contacts' END,
    date_bin('15 minutes', minute, 'epoch'),
    sum(CASE WHEN name IN ('contact_merged', 'contact_erased') THEN -count ELSE count END)::bigint
FROM activity
WHERE kind = 'contact' AND name IN (
    'contact_created', 'contact_split', 'contact_merged', 'contact_erased', 'message_received'
)
GROUP BY 1, 2;
CREATE TABLE base_days (LIKE base_changes INCLUDING ALL) WITH (fillfactor = 70);
INSERT INTO base_days
SELECT name, date_trunc('day', bucket AT TIME ZONE zone) AT TIME ZONE zone, sum(added)
FROM base_changes, rollup_zone
GROUP BY 1, 2;

-- As `rollups_between`, of some of these.
CREATE FUNCTION base_between(
    wanted text[],
    start_time timestamptz,
    first_day timestamptz,
    last_day timestamptz,
    end_time timestamptz,
    asked_zone text
) RETURNS SETOF base_changes LANGUAGE sql STABLE AS $$
    SELECT d.* FROM base_days d
    WHERE d.name = ANY (wanted) AND (SELECT zone FROM rollup_zone) = asked_zone
        AND d.bucket >= first_day AND d.bucket < last_day
    UNION ALL
    SELECT c.* FROM base_changes c
    WHERE c.name = ANY (wanted) AND (SELECT zone FROM rollup_zone) <> asked_zone
        AND c.bucket >= first_day AND c.bucket < last_day
    UNION ALL
    SELECT c.* FROM base_changes c
    WHERE c.name = ANY (wanted) AND c.bucket >= start_time AND c.bucket < first_day
    UNION ALL
    SELECT c.* FROM base_changes c
    WHERE c.name = ANY (wanted) AND c.bucket >= last_day AND c.bucket < end_time
$$;

-- When a person's consent began and ended, by turns (epoch milliseconds), as it stands in
-- `base_changes`: what has to be taken out of there when something else turns out.
CREATE TABLE consents (
    contact_id text COLLATE "C" PRIMARY KEY,
    -- When consent was last given or withdrawn
    change_time timestamptz NOT NULL,
    turns bigint[] NOT NULL
);
-- Everybody's is found by looking at them again, their messages aside.
INSERT INTO revisions (contact_id, since_time)
SELECT DISTINCT contact_id, '9999-12-31 00:00:00+00'::timestamptz
FROM contact_history WHERE name = 'consent';

-- What people wrote, of one contact in eight: of whom it is found how long they waited.
CREATE INDEX letters_sample ON letters (write_time)
    INCLUDE (contact_id, phone_number_id) WHERE NOT ours AND hashtext(contact_id) & 7 = 0;
