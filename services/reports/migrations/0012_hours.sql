-- What answers about hours of the day and about many people read.
-- depends: 0010_alerts_and_gates
-- contract: of the first release. Replicas of a build before it add nothing to these sums, so they
-- are stopped first; so docs/operate/upgrade.md tells.

-- The summaries by hour: of every zone that is whole hours from UTC.
CREATE TABLE summary_hours (LIKE summaries INCLUDING ALL) WITH (fillfactor = 70);
INSERT INTO summary_hours
SELECT cut, date_bin('1 hour', bucket, 'epoch'), segment_id, campaign_id, template, market,
    phone_number_id, category, currency,
    sum(planned), sum(sent), sum(delivered), sum(read), sum(replied), sum(clicked),
    sum(opted_out), sum(blocked), sum(failed), sum(withheld), sum(suppressed), sum(held_out),
    sum(unknown), sum(pending), sum(decided), sum(billable), sum(unpriced), sum(cost_micros),
    sum(converted), sum(conversions), sum(revenue_micros), sum(touched), sum(touches),
    sum(touched_revenue_micros)
FROM summaries
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

-- Those of a period: whole hours, and quarters of an hour before the first of them and after the last.
CREATE FUNCTION summary_hours_between(
    wanted smallint,
    start_time timestamptz,
    first_hour timestamptz,
    last_hour timestamptz,
    end_time timestamptz
) RETURNS SETOF summaries LANGUAGE sql STABLE AS $$
    SELECT h.* FROM summary_hours h
    WHERE h.cut = wanted AND h.bucket >= first_hour AND h.bucket < last_hour
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND s.bucket >= start_time AND s.bucket < first_hour
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND s.bucket >= last_hour AND s.bucket < end_time
$$;

-- As `summaries_between`, but for another zone than the installation's from whole hours where
-- `whole_hours` says that the zone is made of them.
CREATE FUNCTION summaries_within(
    wanted smallint,
    start_time timestamptz,
    first_day timestamptz,
    last_day timestamptz,
    end_time timestamptz,
    asked_zone text,
    whole_hours boolean
) RETURNS SETOF summaries LANGUAGE sql STABLE AS $$
    SELECT d.* FROM summary_days d
    WHERE d.cut = wanted AND (SELECT zone FROM rollup_zone) = asked_zone
        AND d.bucket >= first_day AND d.bucket < last_day
    UNION ALL
    SELECT h.* FROM summary_hours h
    WHERE h.cut = wanted AND (SELECT zone FROM rollup_zone) <> asked_zone AND whole_hours
        AND h.bucket >= first_day AND h.bucket < last_day
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND (SELECT zone FROM rollup_zone) <> asked_zone AND NOT whole_hours
        AND s.bucket >= first_day AND s.bucket < last_day
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND s.bucket >= start_time AND s.bucket < first_day
    UNION ALL
    SELECT s.* FROM summaries s
    WHERE s.cut = wanted AND s.bucket >= last_day AND s.bucket < end_time
$$;

-- Of campaigns that were called off nothing waits any more.
CREATE INDEX campaign_facts_called_off ON campaign_facts (campaign_id)
    WHERE state IN ('cancelled', 'stopped');

-- What is planned of messages, beside the facts from which people are counted; read from the index
-- alone where nothing has changed of late.
ALTER TABLE sampled_facts
    ADD COLUMN template text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN market text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN phone_number_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN category text COLLATE "C" NOT NULL DEFAULT '';
UPDATE sampled_facts f
SET template = c.template, market = c.market, phone_number_id = c.phone_number_id,
    category = c.category
FROM cubes c
WHERE c.cube_id = f.cube_id;
DROP INDEX sampled_facts_by_time;
CREATE INDEX sampled_facts_by_time ON sampled_facts (counted_time)
    INCLUDE (contact_id, reached_time, progress, market);
-- Of long periods people are counted from one contact in 256 or in 1,024, and how long people waited
-- from one in 64 or in 512.
CREATE INDEX sampled_facts_fewer ON sampled_facts (counted_time)
    INCLUDE (contact_id, reached_time, progress, market)
    WHERE hashtext(contact_id) & 3 = 0;
CREATE INDEX sampled_facts_fewest ON sampled_facts (counted_time)
    INCLUDE (contact_id, reached_time, progress, market)
    WHERE hashtext(contact_id) & 15 = 0;
CREATE INDEX letters_sample_fewer ON letters (write_time)
    INCLUDE (contact_id, phone_number_id) WHERE NOT ours AND hashtext(contact_id) & 63 = 0;
CREATE INDEX letters_sample_fewest ON letters (write_time)
    INCLUDE (contact_id, phone_number_id) WHERE NOT ours AND hashtext(contact_id) & 511 = 0;
