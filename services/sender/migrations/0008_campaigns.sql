-- How far campaigns are, how they were launched, and what was asked of them.

-- depends: 0007_templates
-- contract: of the first release, so no version before it runs beside it

-- Messages of campaigns by where they stand. Whatever transaction moves messages adds what that
-- changes to `tally_changes`, where nobody waits for anybody; now and then changes are added up
-- into `tallies`. Both together are exact at any moment.
CREATE TABLE tallies (
    campaign_id text NOT NULL,
    variant text NOT NULL,
    state smallint NOT NULL,
    gate text NOT NULL, -- of those held or suppressed
    error_code integer NOT NULL, -- of those failed
    currency text NOT NULL,
    messages bigint NOT NULL,
    replied bigint NOT NULL,
    clicked bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (campaign_id, variant, state, gate, error_code, currency)
);
CREATE TABLE tally_changes (
    LIKE tallies,
    change_time bigint NOT NULL
);
CREATE INDEX tally_changes_of_campaign ON tally_changes (campaign_id, change_time);
CREATE INDEX tally_changes_by_time ON tally_changes (change_time);

-- By triggers, so that no statement can forget it.
CREATE FUNCTION tally_added() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO tally_changes
    SELECT campaign_id, variant, state, CASE WHEN state IN (2, 10) THEN gate ELSE '' END,
        CASE WHEN state = 9 THEN error_code ELSE 0 END, currency, count(*),
        count(*) FILTER (WHERE replied_time > 0), count(*) FILTER (WHERE clicked_time > 0),
        sum(cost_micros), extract(epoch FROM clock_timestamp()) * 1000
    FROM added WHERE campaign_id <> '' GROUP BY 1, 2, 3, 4, 5, 6;
    RETURN NULL;
END $$;
CREATE FUNCTION tally_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO tally_changes
    SELECT campaign_id, variant, state, gate, error_code, currency, sum(n), sum(replied),
        sum(clicked), sum(cost_micros), extract(epoch FROM clock_timestamp()) * 1000
    FROM (
        SELECT campaign_id, variant, state, CASE WHEN state IN (2, 10) THEN gate ELSE '' END AS gate,
            CASE WHEN state = 9 THEN error_code ELSE 0 END AS error_code, currency, 1 AS n,
            (replied_time > 0)::int AS replied, (clicked_time > 0)::int AS clicked, cost_micros
        FROM after WHERE campaign_id <> ''
        UNION ALL
        SELECT campaign_id, variant, state, CASE WHEN state IN (2, 10) THEN gate ELSE '' END,
            CASE WHEN state = 9 THEN error_code ELSE 0 END, currency, -1,
            -(replied_time > 0)::int, -(clicked_time > 0)::int, -cost_micros
        FROM before WHERE campaign_id <> ''
    ) AS moved GROUP BY 1, 2, 3, 4, 5, 6
    HAVING sum(n) <> 0 OR sum(replied) <> 0 OR sum(clicked) <> 0 OR sum(cost_micros) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER tally_added AFTER INSERT ON messages
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_added();
CREATE TRIGGER tally_changed AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION tally_changed();

INSERT INTO tallies
SELECT campaign_id, variant, state, CASE WHEN state IN (2, 10) THEN gate ELSE '' END,
    CASE WHEN state = 9 THEN error_code ELSE 0 END, currency, count(*),
    count(*) FILTER (WHERE replied_time > 0), count(*) FILTER (WHERE clicked_time > 0),
    sum(cost_micros)
FROM messages WHERE campaign_id <> '' GROUP BY 1, 2, 3, 4, 5, 6;

-- Test sends, which no cap counts.
ALTER TABLE messages ADD COLUMN trial boolean NOT NULL DEFAULT false;

ALTER TABLE campaigns
    -- 0: at once, else each contact's best time within so long.
    ADD COLUMN best_time_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN create_digest text NOT NULL DEFAULT '',
    ADD COLUMN launch_request text NOT NULL DEFAULT '',
    -- Of the definition, for the gates and for whoever ends what is too late; 0: never.
    ADD COLUMN not_after bigint NOT NULL DEFAULT 0;

-- How far audiences have been turned into messages, and who is at it until when. Beside their
-- campaigns, so that planning and claims, which both look at a campaign, do not wait for each other.
CREATE TABLE plans (
    campaign_id text PRIMARY KEY,
    cursor text NOT NULL DEFAULT '',
    planner text NOT NULL DEFAULT '',
    lease bigint NOT NULL DEFAULT 0,
    unresolved bigint NOT NULL DEFAULT 0
);
INSERT INTO plans (campaign_id, cursor, unresolved)
SELECT campaign_id, plan_cursor, unresolved FROM campaigns;
ALTER TABLE campaigns DROP COLUMN plan_cursor, DROP COLUMN plan_lease, DROP COLUMN unresolved;
DROP INDEX campaigns_moving;
CREATE INDEX campaigns_moving ON campaigns (state) WHERE state IN (2, 3, 4, 5, 7, 8);

-- Changes of weights that were made, by what asked for them.
CREATE TABLE weight_requests (
    request_id text PRIMARY KEY,
    campaign_id text NOT NULL,
    weights bytea NOT NULL,
    create_time bigint NOT NULL
);
